/* Which device to train with: measure what the question needs, or take what was measured, then
 * choose. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "protocol/protocol.h"
#include "report/advice.h"
#include "report/text.h"
#include "run/candidates.h"
#include "study/advise.h"
#include "study/measurement.h"
#include "study/study.h"

#define MAX_TIME_S 3.0    /* of each contender at the batch that was asked for */
#define AROUND_TIME_S 1.0 /* of the best two at the batches around it */
#define AROUND_FACTOR 4   /* how far those are away */

typedef struct advise {
    const study_request *request;
    const study_watch *watch;
    study_training training;
    measurement m; /* request NULL: not open */
    const workload *workload;
    int64_t batch;
    double samples, epochs; /* epochs: NAN where steps were asked for */
    advice_question question;
    json_t *records; /* that were measured now; NULL: they came from a file */
    record_set set;
    candidates candidates;
    advice_choice choice;
} advise;

/* ---------------------------------------------------------------- the question */

static const char *const goal_names[] = {
#define X(id, text) text,
    ADVICE_GOAL_LIST(X)
#undef X
};

static be_status find_goal(const char *name, advice_goal *out, be_error *err)
{
    *out = ADVICE_TIME;
    if (!name) return BE_OK;
    for (int i = 0; i < (int)(sizeof goal_names / sizeof goal_names[0]); i++) {
        if (strcmp(goal_names[i], name) != 0) continue;
        *out = (advice_goal)i;
        return BE_OK;
    }
    FAIL(err, BE_USAGE, "expected the goal time, energy or memory, found \"%s\"", name);
}

/* `count`: samples of an epoch. */
static void ask(advise *c, double count)
{
    const study_training *t = &c->training;
    if (c->workload->file) count = (double)t->samples;
    c->epochs = t->steps    ? (double)NAN
                : t->epochs ? (double)t->epochs
                            : (double)c->workload->epochs;
    /* An epoch leaves out what fills no batch. */
    double whole = (double)c->batch * floor(count / (double)c->batch);
    c->samples = t->steps ? (double)t->steps * (double)c->batch : c->epochs * whole;
    c->question.batch = (double)c->batch;
    c->question.samples = c->samples;
}

/* ---------------------------------------------------------------- evidence */

static be_status choose(advise *c, be_error *err)
{
    const char *data_on = c->request->data_on;
    record_measured like = {.workload = c->workload->name,
                            .mode = "train",
                            .precision = c->request->precision,
                            .data_on = data_on ? data_on : "device"};
    record_take_variant(&like, &c->request->variant);
    if (c->records) {
        record_set_free(&c->set);
        TRY(record_set_take(&c->set, c->records, err));
    }
    candidates_collect(&c->candidates, &c->set, &like);
    candidates_estimate(&c->candidates, &c->question);
    return candidates_choose(&c->candidates, &c->question, &c->choice, err);
}

/* The contender that made the records of a candidate. */
static int contender_of(const measurement *m, const candidate *of)
{
    for (int i = 0; i < m->plan.contender_count; i++) {
        const bench_contender *who = &m->plan.contenders[i];
        if (strcmp(who->engine->name, of->record->engine) == 0 &&
            strcmp(who->device, of->record->device) == 0 &&
            who->threads == of->record->asked.threads)
            return i;
    }
    return -1;
}

/* The best two a factor below and above the batch: whether they change places near it. */
static be_status measure_around(advise *c, be_error *err)
{
    measurement *m = &c->m;
    int both[2] = {contender_of(m, &c->candidates.list[c->choice.best]),
                   contender_of(m, &c->candidates.list[c->choice.second])};
    int64_t low = c->batch / AROUND_FACTOR, high = c->batch * AROUND_FACTOR;
    int64_t batches[2] = {low < 1 ? 1 : low, high > m->set->count ? m->set->count : high};
    if (both[0] < 0 || both[1] < 0) return BE_OK;
    if (m->conducting.stop.max_time_s > AROUND_TIME_S)
        m->conducting.stop.max_time_s = AROUND_TIME_S;
    if (m->conducting.stop.min_time_s > AROUND_TIME_S)
        m->conducting.stop.min_time_s = AROUND_TIME_S;
    for (int i = 0; i < 2; i++) {
        measurement_point point = {.batch = batches[i], .contenders = both, .count = 2};
        if (batches[i] != c->batch) TRY(m->hands.run(m, &point, c->records, err));
    }
    return BE_OK;
}

/* Parts of the batch, as workers would compute them, on the best one. */
static be_status measure_parts(advise *c, be_error *err)
{
    measurement *m = &c->m;
    int best = contender_of(m, &c->candidates.list[c->choice.best]);
    if (best < 0) return BE_OK;
    for (int64_t part = c->batch; (part = advise_next_part(c->batch, part, &c->training)) > 0;) {
        measurement_point point = {.batch = part, .contenders = &best, .count = 1};
        bool is_there = c->choice.second >= 0 && part == c->batch / AROUND_FACTOR;
        if (!is_there) TRY(m->hands.run(m, &point, c->records, err));
    }
    return BE_OK;
}

static be_status measure(advise *c, be_error *err)
{
    measurement *m = &c->m;
    measurement_point point = {.batch = c->batch};
    TRY(measurement_open(m, c->request, c->watch, err));
    measurement_times(m, m->conducting.stop.min_time_s, MAX_TIME_S);
    TRY(m->hands.begin(m, c->workload, err));
    ask(c, (double)m->set->count);
    TRY(m->hands.run(m, &point, c->records, err));
    TRY(choose(c, err));
    if (c->choice.best < 0) return BE_OK;
    if (c->choice.second >= 0) TRY(measure_around(c, err));
    TRY(measure_parts(c, err));
    return choose(c, err);
}

/* The samples of an epoch: records of two numbers of them answer two questions. */
static be_status check_samples(const record_measured *first, const record_measured *r,
                               be_error *err)
{
    char place[300], before[300], names[2][81], samples[REPORT_TEXT_BYTES];
    if (r->data_count == first->data_count && strcmp(r->data, first->data) == 0) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s: expected the %" PRId64 " %s of %s as in %s, found the %" PRId64
         " of %s; give the records of each data set apart",
         record_place_text(&r->place, place), first->data_count,
         report_samples(r->workload, samples),
         text_clean(first->data, strlen(first->data), false, names[0], sizeof names[0]),
         record_place_text(&first->place, before), r->data_count,
         text_clean(r->data, strlen(r->data), false, names[1], sizeof names[1]));
}

static be_status take_records(advise *c, const char *path, be_error *err)
{
    const record_measured *first = NULL;
    TRY(record_set_read(&c->set, path, err));
    for (size_t i = 0; i < c->set.count; i++) {
        const record_measured *r = &c->set.list[i];
        if ((r->data_count < 0 && !c->workload->file) ||
            strcmp(r->workload, c->workload->name) != 0)
            continue;
        if (first) TRY(check_samples(first, r, err));
        if (!first) first = r;
    }
    if (first) {
        ask(c, (double)first->data_count);
        return choose(c, err);
    }
    FAIL(err, BE_USAGE,
         "%s: expected records of %s, found none; measure it first: 'breakeven bench %s --batch "
         "8..4096*4 --format jsonl'",
         path, c->workload->name, c->workload->name);
}

/* ---------------------------------------------------------------- the answer */

static json_t *interval_json(const stats_interval *s)
{
    return json_pack("{s:o, s:o, s:o}", "point", json_of_real(s->point), "low",
                     json_of_real(s->low), "high", json_of_real(s->high));
}

static json_t *candidate_json(const advise *c, int i)
{
    const candidate *of = &c->candidates.list[i];
    const advice_estimate *e = &of->estimate;
    json_t *object =
        json_pack("{s:s, s:s, s:O?, s:O?, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o}", "engine",
                  of->record->engine, "device", of->record->device, "device_name",
                  report_member(of->record->json, bench, device_name), "threads",
                  report_member(of->record->json, bench, threads), "step_s",
                  interval_json(&e->step_s), "start_s", interval_json(&of->advice.start_s),
                  "total_s", interval_json(&e->total_s), "energy_j", json_of_real(e->energy_j),
                  "memory_bytes", json_of_real(e->memory_bytes), "measured", e->measured,
                  "in_range", e->in_range, "fits", e->fits, "held_out", json_of_real(e->held_out));
    json_object_set_new(object, "standing",
                        i == c->choice.best     ? json_string("best")
                        : i == c->choice.second ? json_string("runner-up")
                                                : json_null());
    return object;
}

static json_t *candidates_json(const advise *c)
{
    json_t *list = json_array();
    if (c->choice.best >= 0) json_array_append_new(list, candidate_json(c, c->choice.best));
    if (c->choice.second >= 0) json_array_append_new(list, candidate_json(c, c->choice.second));
    for (int i = 0; i < c->candidates.count; i++)
        if (i != c->choice.best && i != c->choice.second)
            json_array_append_new(list, candidate_json(c, i));
    return list;
}

/* Failed, and measured at no other batch either. */
static bool is_out(const advise *c, const record_measured *record)
{
    for (int i = 0; i < c->candidates.count; i++)
        if (candidates_same_place(c->candidates.list[i].record, record)) return false;
    return record->status != BE_OK && strcmp(record->workload, c->workload->name) == 0;
}

static json_t *failed_json(const advise *c)
{
    static const char *const members[] = {"engine", "device", "threads", "batch", "error"};
    json_t *list = json_array();
    for (size_t i = 0; i < c->set.count; i++) {
        const record_measured *record = &c->set.list[i];
        if (!is_out(c, record)) continue;
        json_t *out = json_object();
        for (size_t k = 0; k < sizeof members / sizeof *members; k++)
            json_object_set(out, members[k], json_object_get(record->json, members[k]));
        json_array_append_new(list, out);
    }
    return list;
}

static json_t *flip_json(const advice_choice *choice)
{
    json_t *batches = json_array();
    for (int i = 0; i < choice->flip_count; i++)
        json_array_append_new(batches, json_of_real(choice->flip_batches[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:b}", "samples",
                     json_of_real(choice->flip_samples), "batches", batches, "batch_low",
                     json_of_real(choice->batch_low), "batch_high",
                     json_of_real(choice->batch_high), "sure", choice->flips_are_sure, "start_sure",
                     choice->start_is_sure);
}

/* The two steps alone; they were taken side by side, or each by itself. */
static json_t *step_json(const advice_choice *choice)
{
    json_t *step = interval_json(&choice->step_ratio);
    json_object_set_new(step, "verdict", json_string(stats_verdict_name(choice->step_verdict)));
    json_object_set_new(step, "paired", json_boolean(choice->paired));
    return step;
}

static json_t *advice_json(const advise *c)
{
    const char *from = c->training.from;
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}",
        "schema", 1, "kind", "advice", "workload", c->workload->name, "goal",
        goal_names[c->question.goal], "batch", (json_int_t)c->batch, "epochs",
        json_of_real(c->epochs), "steps", json_of_real(ceil(c->samples / (double)c->batch)),
        "samples", json_of_real(c->samples), "from", from ? json_of_text(from) : json_null(),
        "candidates", candidates_json(c), "failed", failed_json(c), "verdict",
        stats_verdict_name(c->choice.verdict), "ratio", interval_json(&c->choice.ratio), "step",
        step_json(&c->choice), "flip", flip_json(&c->choice), "scaling",
        c->choice.best < 0
            ? json_null()
            : advise_workers(&c->candidates.list[c->choice.best], &c->question, &c->training));
}

/* Nothing can be said of the batch: why, as an error. */
static be_status check_answer(const advise *c, be_error *err)
{
    if (c->choice.best >= 0 && c->training.worker_count &&
        c->candidates.list[c->choice.best].record->params < 1)
        FAIL(
            err, BE_BAD_DATA,
            "%s: expected records with \"params\", the number of parameters, found none; gradients "
            "of unknown size cannot be told of; measure again: leave --from out",
            c->training.from ? c->training.from : "what was measured");
    if (c->choice.best >= 0) return BE_OK;
    if (!c->training.from) TRY(measurement_check(c->records, err));
    if (c->question.goal == ADVICE_ENERGY)
        FAIL(err, BE_UNAVAILABLE,
             "goal energy: no device here has a sensor that tells its energy ('breakeven devices "
             "--measure' lists the sensors); choose by --goal time");
    FAIL(err, BE_USAGE,
         "batch %" PRId64 ": expected one between the batches that were measured, found none that "
         "reach it; measure there: leave --from out",
         c->batch);
}

static be_status answer_question(advise *c, json_t **answer, be_error *err)
{
    const char *from = c->training.from;
    TRY(find_goal(c->training.goal, &c->question.goal, err));
    TRY(from ? take_records(c, from, err) : measure(c, err));
    TRY(check_answer(c, err));
    *answer = advice_json(c);
    return BE_OK;
}

static be_status new_question(const study_request *request, const study_watch *watch, advise **out,
                              be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(advise), "a question", err));
    *out = memory;
    (*out)->request = request;
    (*out)->watch = watch;
    (*out)->workload = request->workloads[0];
    return BE_OK;
}

json_t *advise_from(const study_request *request, const study_watch *watch, const workload *w,
                    int64_t batch, const json_t *records)
{
    be_error err = {0};
    advise *c = NULL;
    json_t *advice = NULL;
    be_status status = new_question(request, watch, &c, &err);
    if (status == BE_OK) {
        c->workload = w;
        c->batch = batch;
        c->records = (json_t *)records;
        ask(c, report_real(json_array_get(records, 0), bench, data_count));
        status = choose(c, &err);
        if (status == BE_OK && c->choice.best >= 0) advice = advice_json(c);
        record_set_free(&c->set);
    }
    if (status != BE_OK) study_note(watch, "there is no advice: %s", err.text);
    memory_free(c);
    return advice;
}

be_status study_advise(const study_request *request, const study_training *training,
                       const study_watch *watch, json_t **answer, be_error *err)
{
    advise *c = NULL;
    *answer = NULL;
    TRY(new_question(request, watch, &c, err));
    c->training = *training;
    c->batch = study_batch(request, c->workload);
    if (!training->from) c->records = json_array();
    json_t *workers = NULL;
    be_status status = advise_measure_workers(request, watch, &c->training, &workers, err);
    if (status == BE_OK) status = answer_question(c, answer, err);
    if (status == BE_OK) advise_add_measured(json_object_get(*answer, "scaling"), workers);
    json_decref(workers);
    if (c->m.request) measurement_close(&c->m);
    record_set_free(&c->set);
    json_decref(c->records);
    memory_free(c);
    return status;
}
