/* See api.h. */
#include "serve/api.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "build_info.h"
#include "core/clock.h"
#include "core/json.h"
#include "report/members.h"
#include "workloads/workload.h"

#define NOTE_MOST 1000 /* bytes of a note */

/* ---------------------------------------------------------------- studies */

static json_t *settings_json(const settings *s)
{
    json_t *all = json_object();
    for (int i = 0; i < SETTING_COUNT; i++)
        json_put(&all, setting_names[i], json_of_known(s->value[i]));
    return all;
}

static json_t *command_json(const command *c)
{
    json_t *words = json_array();
    json_add(&words, json_string("breakeven"));
    for (int i = 1; i < c->count; i++) json_add(&words, json_string(c->word[i]));
    return words;
}

static json_t *stage_json(const stage *s, bool whole)
{
    json_t *out = json_object();
    json_put(&out, "command", command_json(&s->command));
    json_put(&out, "state", json_string(job_state_name(s->state)));
    json_put(&out, "device", json_of_known(s->device));
    json_put(&out, "step", s->step ? json_incref(s->step) : json_null());
    json_put(&out, "fault", json_of_known(s->fault));
    if (!whole) return out;
    json_put(&out, "curve", json_incref(s->curve));
    json_put(&out, "records", json_incref(s->records));
    json_put(&out, "result", s->result ? json_incref(s->result) : json_null());
    return out;
}

json_t *api_job(const queue *q, const job *j, bool whole)
{
    json_t *out = json_object(), *stages = json_array();
    json_put(&out, "job", json_integer(j->id));
    json_put(&out, "study", json_string(job_names[j->kind]));
    json_put(&out, "state", json_string(job_state_name(j->state)));
    json_put(&out, "ahead", json_integer(j->state == JOB_WAITING ? queue_ahead(q, j->id) : 0));
    json_put(&out, "settings", settings_json(&j->settings));
    json_put(&out, "line", json_of_known(j->line));
    json_put(&out, "note", json_of_known(j->note));
    for (int s = 0; s < j->count; s++) json_add(&stages, stage_json(&j->stages[s], whole));
    json_put(&out, "stages", stages);
    return out;
}

/* ---------------------------------------------------------------- reading */

static json_t *jobs_json(const queue *q)
{
    json_t *list = json_array();
    for (int i = 0; i < q->count; i++) json_add(&list, api_job(q, q->jobs[i], false));
    return list;
}

static json_t *workloads_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        const workload *w = workload_table[i];
        json_add(&list, json_pack("{s:s, s:s, s:I, s:i, s:i}", "workload", w->name, "summary",
                                  w->summary, "params", (json_int_t)w->parameters, "batch",
                                  w->batch, "epochs", w->epochs));
    }
    return list;
}

static be_status list_runs(const view *p, json_t **out, be_error *err)
{
    int64_t rest = 0;
    json_t *runs = NULL;
    be_status status = view_load_runs(p->address, &runs, &rest, err);
    *out = json_object();
    json_put(out, "runs", runs ? runs : json_array());
    json_put(out, "older", json_integer(rest));
    return status;
}

static be_status read_run(const view *p, int64_t run, json_t **out, be_error *err)
{
    view_data data;
    be_status status = view_load_run(run, p->missing, &data, err);
    *out = json_object();
    json_put(out, "run", data.run ? json_incref(data.run) : json_null());
    json_put(out, "notes", json_incref(data.notes));
    json_put(out, "records", json_incref(data.records));
    view_release(&data);
    return status;
}

be_status api_read(const view *p, json_t **out, be_error *err)
{
    const queue *q = p->queue;
    const char *path = p->address->path;
    int64_t job = address_part(path, "/api/jobs/", ""), run = address_part(path, "/api/runs/", "");
    *out = NULL;
    if (strcmp(path, "/api/machine") == 0)
        *out = q->machine ? json_incref(q->machine) : json_null();
    else if (strcmp(path, "/api/workloads") == 0)
        *out = workloads_json();
    else if (strcmp(path, "/api/jobs") == 0)
        *out = jobs_json(q);
    else if (job && queue_find(q, job))
        *out = api_job(q, queue_find(q, job), true);
    else if (strcmp(path, "/api/runs") == 0)
        TRY(list_runs(p, out, err));
    else if (run)
        TRY(read_run(p, run, out, err));
    else if (strcmp(path, "/api/compare") == 0) {
        view_data data;
        be_status status = view_load_comparison(p->address, &data, err);
        *out = data.comparison;
        TRY(status);
    } else {
        *p->missing = true;
        FAIL(err, BE_USAGE, "there is nothing at this path; docs/api.md lists what there is");
    }
    return json_check(*out, "an answer", err);
}

static be_status write_line(void *context, const char *line, int64_t run, be_error *err)
{
    (void)run;
    (void)err;
    fprintf(context, "%s\n", line);
    return BE_OK;
}

be_status api_write_records(int64_t run, bool *missing, FILE *out, be_error *err)
{
    store *s = NULL;
    store_filter filter = {.run = run, .since_s = -1, .until_s = -1};
    TRY(store_open_to_read(&s, NULL, err));
    be_status status = store_check_run(s, run, err);
    *missing |= status == BE_USAGE;
    if (status == BE_OK) status = store_read(s, &filter, write_line, out, err);
    store_close(s);
    return status;
}

/* ---------------------------------------------------------------- changes */

static be_status add_job(queue *q, const json_t *body, json_t **out, be_error *err)
{
    static const char *const others[] = {"study", NULL};
    settings s = settings_usual();
    job_kind kind = job_find_kind(json_text_at(body, "study"));
    int64_t id = 0;
    if (kind == JOB_KINDS)
        FAIL(err, BE_USAGE, "study: expected machine, try, breakeven or explain");
    TRY(settings_read(&s, q->machine, body, others, err));
    if (kind != JOB_MACHINE && !q->machine)
        FAIL(err, BE_UNAVAILABLE,
             "the devices of this machine are still being asked for; try again in a moment");
    TRY(queue_add(q, kind, &s, &id, err));
    *out = api_job(q, queue_find(q, id), false);
    return json_check(*out, "an answer", err);
}

static be_status stop_job(queue *q, int64_t id, json_t **out, be_error *err)
{
    TRY(queue_stop(q, id, err));
    *out = api_job(q, queue_find(q, id), false);
    return json_check(*out, "an answer", err);
}

static be_status add_note(int64_t run, const json_t *body, json_t **out, be_error *err)
{
    store *s = NULL;
    const char *text = json_text_at(body, "text");
    if (!*text || strlen(text) > NOTE_MOST)
        FAIL(err, BE_USAGE, "text: expected a note of 1 to %d bytes", NOTE_MOST);
    TRY(store_open(&s, NULL, err));
    be_status status = store_add_note(s, run, text, clock_unix_s(), err);
    store_close(s);
    TRY(status);
    *out = json_pack("{s:I}", "run", (json_int_t)run);
    return json_check(*out, "an answer", err);
}

be_status api_change(queue *q, const char *path, const char *body, size_t length, json_t **out,
                     be_error *err)
{
    json_t *request = NULL;
    int64_t stop = address_part(path, "/api/jobs/", "/stop"),
            noted = address_part(path, "/api/runs/", "/note");
    json_source source = {"the request", "an object in JSON", "docs/api.md says what it has"};
    *out = NULL;
    if (!stop && !noted && strcmp(path, "/api/jobs") != 0)
        FAIL(err, BE_USAGE, "there is nothing to change at this path; docs/api.md lists what is");
    if (json_parse(&request, body, length, &source, err) != BE_OK) return BE_USAGE;
    be_status status = stop    ? stop_job(q, stop, out, err)
                       : noted ? add_note(noted, request, out, err)
                               : add_job(q, request, out, err);
    json_decref(request);
    return status;
}

/* ---------------------------------------------------------------- metrics */

static void put_label(const char *name, const char *value, const char *next, FILE *out)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else {
            if (*value == '"' || *value == '\\') fputc('\\', out);
            fputc(*value, out);
        }
    }
    fprintf(out, "\"%s", next);
}

static void put_family(const char *name, const char *type, const char *help, FILE *out)
{
    fprintf(out, "# HELP breakeven_%s %s\n# TYPE breakeven_%s %s\n", name, help, name, type);
}

/* A member of the newest step of each training of the study at hand. */
static void put_training(const job *j, const char *name, const char *member, const char *help,
                         FILE *out)
{
    put_family(name, "gauge", help, out);
    for (int s = 0; j && s < j->count; s++) {
        double value = json_real_at(j->stages[s].step, member);
        if (isnan(value)) continue;
        fprintf(out, "breakeven_%s{", name);
        put_label("workload", j->settings.value[SETTING_WORKLOAD], ",", out);
        put_label("device", j->stages[s].device, "} ", out);
        fprintf(out, "%.9g\n", value);
    }
}

static void put_steps(const job *j, FILE *out)
{
    size_t i;
    json_t *record;
    put_family("step_seconds", "gauge", "Median time of a step, of what was measured last.", out);
    for (int s = 0; j && s < j->count; s++) json_array_foreach(j->stages[s].records, i, record)
        {
            double median = report_real(record, bench, step_s.median);
            char batch[32], threads[32];
            if (!(median > 0)) continue;
            snprintf(batch, sizeof batch, "%.0f", report_real(record, bench, batch));
            snprintf(threads, sizeof threads, "%.0f", report_real(record, bench, threads));
            fputs("breakeven_step_seconds{", out);
            put_label("workload", report_string(record, bench, workload), ",", out);
            put_label("engine", report_string(record, bench, engine), ",", out);
            put_label("device", report_string(record, bench, device), ",", out);
            put_label("batch", batch, ",", out);
            put_label("threads", threads, "} ", out);
            fprintf(out, "%.9g\n", median);
        }
}

void api_write_metrics(const queue *q, int streams, FILE *out)
{
    const job *running = queue_running(q), *last = running;
    for (int i = 0; !last && i < q->count; i++)
        if (q->jobs[q->count - 1 - i]->kind != JOB_MACHINE) last = q->jobs[q->count - 1 - i];
    put_family("build_info", "gauge", "The program.", out);
    fputs("breakeven_build_info{", out);
    put_label("version", BUILD_VERSION, ",", out);
    put_label("commit", BUILD_COMMIT, "} 1\n", out);
    put_family("studies_running", "gauge", "Studies that measure now.", out);
    fprintf(out, "breakeven_studies_running %d\n", running != NULL);
    put_family("studies_waiting", "gauge", "Studies that wait.", out);
    fprintf(out, "breakeven_studies_waiting %d\n", queue_waiting(q));
    put_family("studies_total", "counter", "Studies that have ended.", out);
    fprintf(out,
            "breakeven_studies_total{state=\"done\"} %" PRId64
            "\nbreakeven_studies_total{state=\"failed\"} %" PRId64
            "\nbreakeven_studies_total{state=\"stopped\"} %" PRId64 "\n",
            q->done, q->failed, q->stopped);
    put_family("event_streams", "gauge", "Event streams that are open.", out);
    fprintf(out, "breakeven_event_streams %d\n", streams);
    put_training(running, "training_loss", "loss", "Mean loss of the epoch so far.", out);
    put_training(running, "training_accuracy", "accuracy", "Accuracy of the epoch so far.", out);
    put_training(running, "training_units_per_second", "units_per_s", "Rate of a training.", out);
    put_training(running, "training_left_seconds", "left_s", "Time to the end of a training.", out);
    put_steps(last, out);
}
