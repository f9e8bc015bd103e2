/* See view.h. */
#include "serve/view.h"

#include <stdlib.h>
#include <string.h>

#include "report/contender.h"
#include "report/members.h"
#include "run/engine.h"
#include "serve/markup.h"
#include "serve/panel.h"
#include "study/axis.h"
#include "workloads/workload.h"

/* ---------------------------------------------------------------- forms */

static void write_select(const settings *s, setting_id id, const char *const names[], FILE *out)
{
    markup_put(out, "<label>%s<select name=%s>", setting_titles[id], setting_names[id]);
    for (; *names; names++)
        markup_put(out, strcmp(*names, s->value[id]) == 0 ? "<option selected>%s" : "<option>%s",
                   *names);
    fputs("</select></label>\n", out);
}

/* A number with a slider beside it, which the script moves with it. */
static void write_slider(const settings *s, setting_id id, double low, double high, FILE *out)
{
    const char *name = setting_names[id];
    bool whole = setting_least[id] >= 1;
    markup_put(out,
               "<label>%s<span class=slider><input type=range data-for=%s data-least=%g "
               "data-most=%g min=0 max=1000 aria-label=\"%s, slider\">"
               "<input type=number id=%s name=%s min=%g max=%g step=%s value=\"%s\"%s></span>"
               "</label>\n",
               setting_titles[id], name, low, high, setting_titles[id], name, name,
               setting_least[id], setting_most[id], whole ? "1" : "any", s->value[id],
               s->value[id][0] ? "" : " placeholder=usual");
}

static void write_box(const settings *s, setting_id id, const char *name, const char *title,
                      FILE *out)
{
    markup_put(out, "<label class=box><input type=checkbox name=%s value=\"%s\"%s> %s</label>\n",
               setting_names[id], name, settings_has(s, id, name) ? " checked" : "", title);
}

/* Each device that some engine can use, once. */
static void write_devices(const view *p, const settings *s, job_kind kind, FILE *out)
{
    size_t i, k;
    json_t *record, *before;
    char hardware[REPORT_TEXT_BYTES], title[REPORT_TEXT_BYTES + 40];
    markup_put(out, "<fieldset><legend>devices (none: %s)</legend>",
               kind == JOB_TRY ? "cpu" : "all");
    json_array_foreach(p->queue->machine, i, record)
    {
        const char *device = report_string(record, device, device);
        bool is_known = !report_is(record, device, usable);
        json_array_foreach(p->queue->machine, k, before)
        {
            if (k >= i) break;
            is_known |= report_is(before, device, usable) &&
                        strcmp(report_string(before, device, device), device) == 0;
        }
        if (is_known) continue;
        snprintf(title, sizeof title, "%.30s: %s", device,
                 report_hardware(report_string(record, device, device_name), hardware));
        write_box(s, SETTING_DEVICE, device, title, out);
    }
    if (!p->queue->machine) fputs("<p class=dim>being asked for ...</p>", out);
    fputs("</fieldset>\n<fieldset><legend>engines (none: all)</legend>", out);
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (engine_is_usual(engine_names[e]))
            write_box(s, SETTING_ENGINE, engine_names[e], engine_title(engine_names[e]), out);
    fputs("</fieldset>\n", out);
}

static void write_workloads(const settings *s, FILE *out)
{
    const char *names[WORKLOAD_COUNT + 1] = {0};
    for (int w = 0; w < WORKLOAD_COUNT; w++) names[w] = workload_table[w]->name;
    write_select(s, SETTING_WORKLOAD, names, out);
}

static void write_axis(const settings *s, FILE *out)
{
    const char *names[AXIS_COUNT + 1] = {0};
    for (int a = 0; a < AXIS_COUNT; a++) names[a] = axis_table[a].name;
    write_select(s, SETTING_AXIS, names, out);
    write_slider(s, SETTING_FROM, 1, 65536, out);
    write_slider(s, SETTING_TO, 1, 65536, out);
}

static void write_form(const view *p, const settings *s, job_kind kind, FILE *out)
{
    static const char *const precisions[] = {"fp32", "tf32", "bf16", NULL};
    markup_put(out, "<form id=study method=get data-study=%s>\n<div class=fields>",
               job_names[kind]);
    write_workloads(s, out);
    if (kind == JOB_BREAKEVEN) write_axis(s, out);
    write_slider(s, SETTING_BATCH, 1, 8192, out);
    if (kind == JOB_TRY) {
        write_slider(s, SETTING_EPOCHS, 1, 100, out);
        write_slider(s, SETTING_RATE, 1e-5, 1, out);
    }
    write_select(s, SETTING_PRECISION, precisions, out);
    write_slider(s, SETTING_SECONDS, 0.1, 600, out);
    write_slider(s, SETTING_LIMIT, 100, 100000, out);
    write_box(s, SETTING_SYNTHETIC, "1", "generated data", out);
    fputs("</div><div class=fields>", out);
    write_devices(p, s, kind, out);
    fputs("</div>\n<p class=actions><button id=start>Start</button> "
          "<button id=stop type=button hidden>Stop</button> "
          "<span id=status role=status></span></p>\n</form>\n"
          "<noscript><p class=fault>Starting a study takes the script of this page; the views of "
          "what was measured do without.</p></noscript>\n",
          out);
}

/* ---------------------------------------------------------------- studies */

static be_status take_settings(const view *p, settings *out, int64_t *job, be_error *err)
{
    *out = settings_usual();
    *job = 0;
    for (int i = 0; i < p->address->count; i++) {
        const char *name = p->address->pairs[i].name, *value = p->address->pairs[i].value;
        if (strcmp(name, "job") == 0) {
            *job = address_number(value);
            continue;
        }
        be_status status = settings_take(out, p->queue->machine, name, value, err);
        /* A view that was sent is opened while the devices are still asked for. */
        if (status != BE_UNAVAILABLE) TRY(status);
    }
    return BE_OK;
}

/* The newest that asks for, or has, the devices of the machine. */
static int64_t machine_job(const queue *q)
{
    int64_t job = 0;
    for (int i = 0; i < q->count; i++)
        if (q->jobs[i]->kind == JOB_MACHINE) job = q->jobs[i]->id;
    return job;
}

be_status view_study(const view *p, job_kind kind, FILE *out, be_error *err)
{
    static const char *const titles[JOB_KINDS] = {
        "What is here to train on, and what each engine says of it.",
        "Train on some devices, watch them, and hear which one wins and by how much.",
        "Where one device overtakes the other: over the batch, the steps or the size of the model.",
        "Where a step's time goes on each device, and why the fastest wins."};
    settings s;
    int64_t job = 0;
    be_error fault = {0};
    (void)err;
    be_status status = take_settings(p, &s, &job, &fault);
    view_begin(p, kind == JOB_MACHINE ? "This machine" : job_titles[kind], out);
    markup_put(out, "<p class=dim>%s</p>\n", titles[kind]);
    if (status != BE_OK) markup_put(out, "<p class=fault role=alert>%s</p>\n", fault.text);
    if (kind == JOB_MACHINE)
        job = machine_job(p->queue);
    else
        write_form(p, &s, kind, out);
    markup_put(out, "<section id=panel data-job=%l", job);
    if (kind != JOB_MACHINE && !p->queue->machine)
        markup_put(out, " data-wait=%l", machine_job(p->queue));
    fputs(">", out);
    if (job) panel_write(p->queue, job, out);
    fputs("</section>\n", out);
    view_end(out);
    return BE_OK;
}

be_status view_write(const view *p, FILE *out, be_error *err)
{
    static const char *const paths[JOB_KINDS] = {"/", "/try", "/breakeven", "/explain"};
    const char *path = p->address->path;
    for (int kind = 0; kind < JOB_KINDS; kind++)
        if (strcmp(path, paths[kind]) == 0) return view_study(p, (job_kind)kind, out, err);
    if (strcmp(path, "/runs") == 0) return view_runs(p, out, err);
    if (strcmp(path, "/compare") == 0) return view_compare(p, out, err);
    if (strcmp(path, "/report") == 0) return view_report(p, out, err);
    int64_t run = address_part(path, "/runs/", "");
    if (run) return view_run(p, run, out, err);
    *p->missing = true;
    FAIL(err, BE_USAGE, "there is no such page; the views are linked above");
}
