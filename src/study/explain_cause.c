/* The cause of a difference, and the counterfactual that checks it. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "measure/cause.h"
#include "report/explain_sides.h"
#include "study/explain.h"

#define TRY_MAX_S 0.5
#define TRY_LEAST_S 4 /* of a budget: with less, nothing would be ready in time */

/* ---------------------------------------------------------------- the cause */

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
    bench_contender before[2], *mine = &m->plan.contenders[t->pair[t->loser ? 1 : 0]];
    const char *data_on = m->plan.data_on;
    before[0] = *mine;
    be_status status = BE_OK;
    if (t->cause->action == CAUSE_TRY_ONE_THREAD) mine->threads = 1;
    if (t->cause->action == CAUSE_TRY_DATA_ON_DEVICE) m->plan.data_on = "device";
    if (t->cause->action == CAUSE_TRY_LIBRARY) {
        const char *library = m->plan.native_options.library;
        bool own = library && strcmp(library, "native") == 0;
        engine_options asking = {.isa = m->plan.native_options.isa,
                                 .library = own ? "onednn" : "native",
                                 .interrupted = m->watch->stop};
        status = engine_find(&m->trial, "native", &asking, err);
        mine->engine = &m->trial;
    }
    measurement_point point = {.batch = t->batch, .contenders = t->pair, .count = t->loser ? 2 : 1};
    m->conducting.stop.max_time_s = fmin(m->conducting.stop.max_time_s, TRY_MAX_S);
    if (status == BE_OK) status = m->hands.run(m, &point, records, err);
    *mine = before[0];
    m->plan.data_on = data_on;
    return status;
}

/* What came out: the loser's time of a sample against the winner's; alone, against its own. */
static json_t *outcome(const trial *t, const json_t *records)
{
    const json_t *first = json_array_get(records, 0);
    const json_t *other = t->loser ? json_array_get(records, 1) : first;
    static const char *const names[] = {"nothing", "batch", "one thread", "data on device",
                                        "library"};
    const char *error = report_string(other, bench, error);
    if (!*error && t->loser) error = report_string(first, bench, error);
    json_t *out =
        t->loser ? explain_verdict(first, other) : explain_verdict_alone(t->winner, other);
    json_t *more =
        json_pack("{s:s, s:I, s:o, s:s, s:o}", "action", names[t->cause->action], "batch",
                  (json_int_t)t->batch, "flip_batch", json_of_real(t->cause->flip_batch),
                  "implementation", report_string(other, bench, implementation), "error",
                  *error ? json_of_text(error) : json_null());
    if (!out || !more || json_object_update(out, more) != 0) {
        json_decref(out);
        out = NULL;
    }
    json_decref(more);
    return out;
}

/* The terms and what stands out among them: nothing does where it is not sure that one loses. */
static json_t *cause_json(const trial *t, const cause_side sides[2])
{
    json_t *out = t->loser ? explain_verdict(t->winner, t->loser) : json_object();
    bool sure = !t->loser || strcmp(report_string(out, cause, verdict), "SLOWER") == 0;
    const cause *c = t->cause;
    bool steady = explain_is_steady(t->winner) && (!t->loser || explain_is_steady(t->loser));
    if (sure && !steady) {
        sure = false;
        json_object_set_new(out, "verdict", json_string("UNSURE"));
        json_object_set_new(out, "reason",
                            json_string("a step that was taken apart took another time than when "
                                        "it was measured; stop other programs"));
    }
    json_object_set_new(out, "kind", sure ? json_string(cause_name(c->kind)) : json_null());
    json_object_set_new(out, "seconds", json_of_real(sure ? c->seconds : (double)NAN));
    json_object_set_new(out, "share", json_of_real(sure ? c->share : (double)NAN));
    json_object_set_new(out, "winner", split_json(&sides[0]));
    if (t->loser) json_object_set_new(out, "loser", split_json(&sides[1]));
    json_object_set_new(out, "loser_index", json_integer(t->pair[1]));
    json_object_set_new(out, "tried", json_null());
    return out;
}

be_status explain_cause(measurement *m, int64_t batch, json_t *records, be_error *err)
{
    trial t = {.batch = batch};
    explain_pair(records, &t.pair[0], &t.pair[1]);
    if (t.pair[0] < 0) return BE_OK;
    t.winner = json_array_get(records, (size_t)t.pair[0]);
    if (t.pair[1] >= 0) t.loser = json_array_get(records, (size_t)t.pair[1]);
    cause_side sides[2] = {explain_side(t.winner, records), {0}};
    if (t.loser) sides[1] = explain_side(t.loser, records);
    cause_question question = {&sides[0], t.loser ? &sides[1] : NULL, batch, m->set->count};
    cause result = cause_of(&question);
    t.cause = &result;
    if (result.action == CAUSE_TRY_BATCH) t.batch = result.batch;
    json_t *out = cause_json(&t, sides);
    json_object_set_new(json_array_get(records, (size_t)t.pair[0]), "cause", out);
    if (result.action == CAUSE_TRY_NOTHING || !*report_string(out, cause, kind)) return BE_OK;
    if (measurement_left_s(m) < TRY_LEAST_S) return BE_OK;
    json_t *trials = json_array();
    be_status status = run_trial(m, &t, trials, err);
    if (json_array_size(trials)) json_object_set_new(out, "tried", outcome(&t, trials));
    json_decref(trials);
    return status;
}
