/* Several workers: rounds of trainings, and what they show. */
#include "study/workers.h"

#include <inttypes.h>
#include <math.h>

#include "core/json.h"
#include "core/topology.h"
#include "measure/stats.h"
#include "study/study.h"

#define EPOCH_S 0.4    /* of the epoch that is measured, where nothing else is said */
#define EPOCHS_WORTH 4 /* what a training takes, at least, in epochs */
#define PROBE_STEPS 4
#define STEPS_MOST 5000

/* One number of workers, and beside it one worker with the part and the threads of each, by whose
 * step the model predicts. */
typedef struct crew {
    workers_job whole, part;
    workers_time times[WORKERS_ROUNDS];
    double step_s[WORKERS_ROUNDS], part_s[WORKERS_ROUNDS], reduce_s[WORKERS_ROUNDS];
} crew;

typedef struct trial {
    const study_request *request;
    const workers_question *question;
    const study_watch *watch;
    workers_hands hands;
    int64_t batch, steps;
    int count;
    crew crews[WORKERS_NUMBERS_MAX + 1]; /* the first is of one worker */
} trial;

/* ---------------------------------------------------------------- who */

static be_status check_numbers(const study_numbers *numbers, int64_t batch, bool each,
                               be_error *err)
{
    int64_t most = 0;
    if (numbers->count > WORKERS_NUMBERS_MAX)
        FAIL(err, BE_USAGE, "--workers: expected at most %d numbers, found %d", WORKERS_NUMBERS_MAX,
             numbers->count);
    for (int i = 0; i < numbers->count; i++) {
        int64_t n = numbers->number[i];
        if (n > most) most = n;
        if (!each && batch % n)
            FAIL(err, BE_USAGE,
                 "expected a batch that %" PRId64
                 " workers can cut into equal parts, found %" PRId64
                 "; use another --batch, or other --workers",
                 n, batch);
    }
    if (most < 2)
        FAIL(err, BE_USAGE, "--workers: expected a number above 1 to compare with one worker");
    return BE_OK;
}

static void add_crew(trial *t, int64_t workers)
{
    int cores = t->hands.cores, threads = workers > cores ? 1 : (int)(cores / workers);
    bool each = t->question->each;
    for (int c = 0; c < t->count; c++)
        if (t->crews[c].whole.workers == workers) return;
    t->crews[t->count++] = (crew){.whole = {.workers = workers,
                                            .batch = each ? t->batch * workers : t->batch,
                                            .steps = t->steps},
                                  .part = {.workers = 1,
                                           .batch = each ? t->batch : t->batch / workers,
                                           .threads = workers_on_gpus(t->request) ? 0 : threads,
                                           .steps = t->steps}};
}

/* ---------------------------------------------------------------- rounds */

static be_status measure(trial *t, const workers_job *job, workers_time *out, be_error *err)
{
    be_status status = t->hands.train(t->request, t->watch, job, out, err);
    if (status != BE_OK && status != BE_INTERRUPTED)
        status_prefix(err, "%" PRId64 " worker%s with a batch of %" PRId64, job->workers,
                      job->workers == 1 ? "" : "s", job->batch);
    return status;
}

static be_status find_steps(trial *t, be_error *err)
{
    workers_time probe;
    double seconds = t->request->least_s, trainings = 2.0 * (t->question->workers.count + 1);
    /* A time for all of it: each training has a start, a validation and two epochs. */
    if (isnan(seconds)) seconds = t->request->most_s / (WORKERS_ROUNDS * trainings * EPOCHS_WORTH);
    if (isnan(seconds)) seconds = EPOCH_S;
    TRY(measure(t, &(workers_job){.workers = 1, .batch = t->batch, .steps = PROBE_STEPS}, &probe,
                err));
    double steps = ceil(seconds / probe.step_s);
    t->steps = steps > STEPS_MOST ? STEPS_MOST : steps < 2 ? 2 : (int64_t)steps;
    return BE_OK;
}

static be_status run_round(trial *t, int round, be_error *err)
{
    for (int i = 0; i < t->count; i++) {
        crew *c = &t->crews[round % 2 ? t->count - 1 - i : i];
        workers_time part;
        study_progress(t->watch, "round %d of %d: %" PRId64 " worker%s", round + 1, WORKERS_ROUNDS,
                       c->whole.workers, c->whole.workers == 1 ? "" : "s");
        TRY(measure(t, &c->whole, &c->times[round], err));
        c->step_s[round] = c->times[round].step_s;
        c->part_s[round] = c->step_s[round];
        c->reduce_s[round] = c->times[round].reduce_s;
        if (c->whole.workers == 1) continue;
        TRY(measure(t, &c->part, &part, err));
        c->part_s[round] = part.step_s;
        /* Where nobody saw the sums: what a step takes beyond the same work without them. */
        if (isnan(c->reduce_s[round])) c->reduce_s[round] = c->step_s[round] - part.step_s;
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- what they show */

static json_t *bounds_json(stats_interval s)
{
    return json_pack("{s:o, s:o, s:o}", "point", json_of_real(s.point), "low", json_of_real(s.low),
                     "high", json_of_real(s.high));
}

static stats_interval times_of(stats_interval s, double factor)
{
    return (stats_interval){s.point * factor, s.low * factor, s.high * factor};
}

static be_status point_json(const trial *t, const crew *c, const scaling_link *link, double bytes,
                            json_t *points, be_error *err)
{
    stats_summary step;
    stats_interval ratio;
    double part_s = 0, reduce_s = 0, n = (double)c->whole.workers;
    uint64_t seed = t->request->seed;
    TRY(stats_summarize(c->step_s, WORKERS_ROUNDS, seed, &step, err));
    TRY(stats_ratio(t->crews[0].step_s, c->step_s, WORKERS_ROUNDS, seed, &ratio, err));
    TRY(stats_median(c->part_s, WORKERS_ROUNDS, &part_s, err));
    if (n > 1) TRY(stats_median(c->reduce_s, WORKERS_ROUNDS, &reduce_s, err));
    stats_interval speed_up = times_of(ratio, t->question->each ? n : 1);
    /* More workers than cores take turns. */
    double turns = link && n > t->hands.cores ? n / t->hands.cores : 1;
    double model_s = link ? scaling_all_reduce(link, bytes, n).seconds : (double)NAN;
    json_t *point = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "workers",
                              (json_int_t)c->whole.workers, "batch", (json_int_t)c->part.batch,
                              "step_s", bounds_json(step.median), "speed_up", bounds_json(speed_up),
                              "efficiency", bounds_json(times_of(speed_up, 1 / n)), "part_s",
                              json_of_real(part_s), "reduce_s", json_of_real(reduce_s),
                              "model_reduce_s", json_of_real(n > 1 ? model_s : 0), "predicted_s",
                              json_of_real(n > 1 ? turns * part_s + model_s : step.median.point));
    json_array_append_new(points, point);
    return BE_OK;
}

static be_status make_result(const trial *t, const scaling_link *link, double bytes, json_t **out,
                             be_error *err)
{
    const char *device = t->request->devices.count ? t->request->devices.name[0] : "cpu";
    json_t *points = json_array();
    be_status status = BE_OK;
    for (int c = 0; c < t->count && status == BE_OK; c++)
        status = point_json(t, &t->crews[c], link, bytes, points, err);
    if (status != BE_OK) {
        json_decref(points);
        return status;
    }
    *out =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:b, s:i, s:o, s:o, s:o, s:o}", "schema", 1,
                  "kind", "workers", "workload", t->request->workloads[0]->name, "device", device,
                  "precision", t->request->precision, "batch", (json_int_t)t->batch, "each",
                  t->question->each, "cores", t->hands.cores, "gradient_bytes", json_of_real(bytes),
                  "bytes_per_s", json_of_real(link ? link->bytes_per_s : (double)NAN), "latency_s",
                  json_of_real(link ? link->latency_s : (double)NAN), "points", points);
    return BE_OK;
}

be_status study_workers(const study_request *request, const workers_question *question,
                        const study_watch *watch, json_t **out, be_error *err)
{
    trial t = {.request = request,
               .question = question,
               .watch = watch,
               .hands = question->hands,
               .batch = study_batch(request, request->workloads[0])};
    scaling_link link;
    double bytes = (double)NAN;
    *out = NULL;
    if (!t.hands.train)
        t.hands = (workers_hands){workers_train, workers_link, topology_get()->cores};
    TRY(check_numbers(&question->workers, t.batch, question->each, err));
    TRY(find_steps(&t, err));
    add_crew(&t, 1);
    for (int i = 0; i < question->workers.count; i++) add_crew(&t, question->workers.number[i]);
    for (int round = 0; round < WORKERS_ROUNDS; round++) TRY(run_round(&t, round, err));
    bytes = t.crews[t.count - 1].times[0].bytes;
    bool has_link = bytes > 0;
    if (has_link) TRY(t.hands.link(bytes, &link, err));
    return make_result(&t, has_link ? &link : NULL, bytes, out, err);
}
