/* The cause of a difference, and the counterfactual that checks it. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/explain.h"
#include "measure/cause.h"
#include "report/explain.h"

#define TRY_MAX_S 1.2

static bool explained(const json_t *record)
{
    return isfinite(report_real(record, "explain.wall_s"));
}

static double rate(const json_t *record)
{
    return explained(record) ? report_real(record, "samples_per_s") : 0;
}

/* How much two records differ in kind: by device, by engine, by threads alone. */
static int apart(const json_t *a, const json_t *b)
{
    if (strcmp(report_string(a, "device"), report_string(b, "device")) != 0) return 3;
    return strcmp(report_string(a, "engine"), report_string(b, "engine")) != 0 ? 2 : 1;
}

void explain_pair(const json_t *records, int *winner, int *loser)
{
    int count = (int)json_array_size(records);
    *winner = *loser = -1;
    for (int i = 0; i < count; i++) {
        const json_t *record = json_array_get(records, (size_t)i);
        if (rate(record) > (*winner < 0 ? 0 : rate(json_array_get(records, (size_t)*winner))))
            *winner = i;
    }
    for (int i = 0; i < count && *winner >= 0; i++) {
        const json_t *best = json_array_get(records, (size_t)*winner);
        const json_t *record = json_array_get(records, (size_t)i);
        const json_t *now = *loser < 0 ? NULL : json_array_get(records, (size_t)*loser);
        if (i == *winner || !(rate(record) > 0)) continue;
        int kind = apart(best, record), known = now ? apart(best, now) : 0;
        if (kind > known || (kind == known && rate(record) > rate(now))) *loser = i;
    }
}

/* ---------------------------------------------------------------- the cause */

static cause_side side_of(const json_t *record, const json_t *records)
{
    cause_side side = {.engine = report_string(record, "engine"),
                       .device = report_string(record, "device"),
                       .threads = (int)report_real(record, "threads"),
                       .step_s = report_real(record, "explain.wall_s"),
                       .upload_s = report_real(record, "explain.phases_s.upload"),
                       .idle_host_s = report_real(record, "explain.phases_s.idle_host"),
                       .launches = report_real(record, "explain.launches"),
                       .launch_s = report_real(record, "explain.limits.launch_s"),
                       .waits = report_real(record, "explain.synchronisations"),
                       .round_trip_s = report_real(record, "explain.limits.round_trip_s"),
                       .native_s = NAN};
    double read = report_real(record, "explain.phases_s.loss_read");
    double idle = report_real(record, "explain.phases_s.idle_other");
    side.rest_s = (read > 0 ? read : 0) + (idle > 0 ? idle : 0);
    side.arithmetic_s =
        report_real(record, "flops_per_step") / report_real(record, "explain.limits.flops_fp32");
    side.memory_s = report_real(record, "bytes_per_step") /
                    report_real(record, "explain.limits.memory_bytes_per_s");
    side.native = strcmp(side.engine, "native") == 0;
    side.data_on_host = strcmp(report_string(record, "data_on"), "host") == 0;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *other = json_array_get(records, i);
        if (explained(other) && strcmp(report_string(other, "engine"), "native") == 0 &&
            strcmp(report_string(other, "device"), side.device) == 0)
            side.native_s = fmin(side.native_s, report_real(other, "explain.wall_s"));
    }
    return side;
}

static json_t *split_json(const cause_side *side)
{
    double terms[CAUSE_TERMS];
    json_t *out = json_object();
    cause_split(side, terms);
    for (int t = 0; t < CAUSE_TERMS; t++)
        json_object_set_new(out, cause_name((cause_kind)t), json_real(terms[t]));
    return out;
}

/* ---------------------------------------------------------------- the counterfactual */

typedef struct trial {
    const cause *cause;
    const json_t *winner, *loser; /* loser NULL: alone */
    int pair[2];                  /* contenders of the plan */
    int64_t batch;
} trial;

/* Run the pair as it would be, into `records`. */
static be_status run_trial(measurement *m, const trial *t, json_t *records, be_error *err)
{
    static engine other;
    bench_contender kept[2], *mine = &m->plan.contenders[t->pair[t->loser ? 1 : 0]];
    const char *data_on = m->plan.data_on;
    kept[0] = *mine;
    be_status status = BE_OK;
    if (t->cause->action == CAUSE_TRY_ONE_THREAD) mine->threads = 1;
    if (t->cause->action == CAUSE_TRY_DATA_ON_DEVICE) m->plan.data_on = "device";
    if (t->cause->action == CAUSE_TRY_LIBRARY) {
        const char *library = m->plan.native_options.library;
        bool own = library && strcmp(library, "native") == 0;
        engine_options asking = {.isa = m->plan.native_options.isa,
                                 .library = own ? "onednn" : "native",
                                 .interrupted = &cli_signal};
        status = engine_find(&other, "native", &asking, err);
        mine->engine = &other;
    }
    measurement_point point = {.batch = t->batch, .contenders = t->pair, .count = t->loser ? 2 : 1};
    m->conducting.stop.max_time_s = fmin(m->conducting.stop.max_time_s, TRY_MAX_S);
    if (status == BE_OK) status = measurement_run(m, &point, records, err);
    *mine = kept[0];
    m->plan.data_on = data_on;
    return status;
}

/* What came out: the loser's time of a sample against the winner's; alone, against its own. */
static json_t *outcome(const trial *t, const json_t *records)
{
    const json_t *first = json_array_get(records, 0);
    const json_t *tried = t->loser ? json_array_get(records, 1) : first;
    double base =
        t->loser ? report_real(first, "samples_per_s") : report_real(t->winner, "samples_per_s");
    double before =
        t->loser ? report_real(t->winner, "samples_per_s") / report_real(t->loser, "samples_per_s")
                 : 1;
    static const char *const names[] = {"nothing", "batch", "one thread", "data on device",
                                        "library"};
    const char *error = report_string(tried, "error");
    if (!*error && t->loser) error = report_string(first, "error");
    return json_pack(
        "{s:s, s:I, s:o, s:o, s:o, s:s, s:o}", "action", names[t->cause->action], "batch",
        (json_int_t)t->batch, "flip_batch", report_json_real(t->cause->flip_batch), "ratio_before",
        report_json_real(before), "ratio",
        report_json_real(base / report_real(tried, "samples_per_s")), "implementation",
        report_string(tried, "implementation"), "error", *error ? json_string(error) : json_null());
}

be_status explain_cause(measurement *m, int64_t batch, json_t *records, be_error *err)
{
    trial t = {.batch = batch};
    explain_pair(records, &t.pair[0], &t.pair[1]);
    if (t.pair[0] < 0) return BE_OK;
    t.winner = json_array_get(records, (size_t)t.pair[0]);
    if (t.pair[1] >= 0) t.loser = json_array_get(records, (size_t)t.pair[1]);
    cause_side winner = side_of(t.winner, records), loser = {0};
    if (t.loser) loser = side_of(t.loser, records);
    cause_question question = {&winner, t.loser ? &loser : NULL, batch, m->set->count};
    cause found = cause_of(&question);
    t.cause = &found;
    if (found.action == CAUSE_TRY_BATCH) t.batch = found.batch;
    json_t *out =
        json_pack("{s:s, s:f, s:f, s:o, s:O?, s:o}", "kind", cause_name(found.kind), "seconds",
                  found.seconds, "share", found.share, "winner", split_json(&winner), "versus",
                  t.loser ? json_object_get(t.loser, "asked") : NULL, "tried", json_null());
    json_object_set_new(json_array_get(records, (size_t)t.pair[0]), "cause", out);
    if (t.loser) json_object_set_new(out, "loser", split_json(&loser));
    json_object_set_new(out, "loser_index", json_integer(t.pair[1]));
    if (found.action == CAUSE_TRY_NOTHING) return BE_OK;
    json_t *tried = json_array();
    be_status status = run_trial(m, &t, tried, err);
    if (json_array_size(tried)) json_object_set_new(out, "tried", outcome(&t, tried));
    json_decref(tried);
    return status;
}
