/* Several workers: rounds of trainings, and what they show. */
#include "study/workers.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

/* All numbers of workers of an engine. */
typedef struct side {
    const char *engine; /* NULL: the native one, the first of a trial */
    int count;
    crew crews[WORKERS_NUMBERS_MAX + 1]; /* the first is of one worker */
} side;

#define SIDES_MOST 4 /* the native engine, and the forms of PyTorch that several workers have */

typedef struct trial {
    const study_request *request;
    const workers_question *question;
    const study_watch *watch;
    workers_hands hands;
    int64_t batch, steps;
    int count;
    side sides[SIDES_MOST];
} trial;

/* ---------------------------------------------------------------- who */

static be_status check_numbers(const study_numbers *numbers, int64_t batch, bool each,
                               be_error *err)
{
    int64_t largest = 0;
    if (numbers->count > WORKERS_NUMBERS_MAX)
        FAIL(err, BE_USAGE, "--workers: expected at most %d numbers, found %d", WORKERS_NUMBERS_MAX,
             numbers->count);
    for (int i = 0; i < numbers->count; i++) {
        int64_t n = numbers->number[i];
        if (n > largest) largest = n;
        if (!each && batch % n)
            FAIL(err, BE_USAGE,
                 "expected a batch that %" PRId64
                 " workers can cut into equal parts, found %" PRId64
                 "; use another --batch, or other --workers",
                 n, batch);
    }
    if (largest < 2)
        FAIL(err, BE_USAGE, "--workers: expected a number above 1 to compare with one worker");
    return BE_OK;
}

static void add_crew(const trial *t, side *s, int64_t workers)
{
    int cores = t->hands.cores, threads = workers > cores ? 1 : (int)(cores / workers);
    bool each = t->question->each;
    for (int c = 0; c < s->count; c++)
        if (s->crews[c].whole.workers == workers) return;
    crew *c = &s->crews[s->count++];
    c->part = (workers_job){.engine = s->engine,
                            .workers = 1,
                            .batch = each ? t->batch : t->batch / workers,
                            .threads = workers_on_gpus(t->request) ? 0 : threads,
                            .steps = t->steps};
    c->whole = c->part;
    c->whole.workers = workers;
    c->whole.batch = each ? t->batch * workers : t->batch;
    if (!s->engine) c->whole.threads = 0; /* it shares the cores out itself */
}

static be_status add_side(trial *t, const char *engine, be_error *err)
{
    static const char *const forms[] = {"torch", "torch-compile", "torch-channels-last"};
    bool is_known = !engine;
    for (size_t i = 0; engine && i < sizeof forms / sizeof *forms; i++)
        is_known |= strcmp(engine, forms[i]) == 0;
    if (!is_known || t->count == SIDES_MOST)
        FAIL(err, BE_USAGE,
             "--engine: beside the native engine several workers are measured of torch, "
             "torch-compile and torch-channels-last, found %s; leave it out",
             engine);
    side *s = &t->sides[t->count++];
    *s = (side){.engine = engine};
    add_crew(t, s, 1);
    for (int i = 0; i < t->question->workers.count; i++)
        add_crew(t, s, t->question->workers.number[i]);
    return BE_OK;
}

/* The native engine is what the others are compared with, whether it is named or not. */
static be_status add_sides(trial *t, be_error *err)
{
    const study_names *engines = &t->request->engines;
    TRY(add_side(t, NULL, err));
    for (int e = 0; e < engines->count; e++)
        if (strcmp(engines->name[e], "native") != 0) TRY(add_side(t, engines->name[e], err));
    return BE_OK;
}

/* Steps are known when one training has been seen. */
static void set_steps(trial *t)
{
    for (int s = 0; s < t->count; s++)
        for (int c = 0; c < t->sides[s].count; c++)
            t->sides[s].crews[c].whole.steps = t->sides[s].crews[c].part.steps = t->steps;
}

/* ---------------------------------------------------------------- rounds */

static be_status measure(trial *t, const workers_job *job, workers_time *out, be_error *err)
{
    be_status status = job->engine ? t->hands.peer(t->hands.peers, job, out, err)
                                   : t->hands.train(t->request, t->watch, job, out, err);
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

static be_status measure_crew(trial *t, crew *c, int round, be_error *err)
{
    workers_time part;
    study_progress(t->watch, "round %d of %d: %s%s%" PRId64 " worker%s", round + 1, WORKERS_ROUNDS,
                   c->whole.engine ? c->whole.engine : "", c->whole.engine ? ", " : "",
                   c->whole.workers, c->whole.workers == 1 ? "" : "s");
    TRY(measure(t, &c->whole, &c->times[round], err));
    c->step_s[round] = c->times[round].step_s;
    c->part_s[round] = c->step_s[round];
    c->reduce_s[round] = c->times[round].reduce_s;
    if (c->whole.workers == 1) return BE_OK;
    TRY(measure(t, &c->part, &part, err));
    c->part_s[round] = part.step_s;
    /* Where nobody saw the sums: what a step takes beyond the same work without them. */
    if (isnan(c->reduce_s[round])) c->reduce_s[round] = c->step_s[round] - part.step_s;
    return BE_OK;
}

/* All engines with the same number of workers one after another. */
static be_status run_round(trial *t, int round, be_error *err)
{
    int all = t->count * t->sides[0].count;
    for (int i = 0; i < all; i++) {
        int at = round % 2 ? all - 1 - i : i;
        TRY(measure_crew(t, &t->sides[at % t->count].crews[at / t->count], round, err));
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

/* The link that a prediction is made from; NULL: there is none. */
typedef struct linked {
    const scaling_link *link;
    double bytes;
} linked;

static be_status point_json(const trial *t, const side *s, const crew *c, const linked *by,
                            json_t *points, be_error *err)
{
    const scaling_link *link = by->link;
    stats_summary step;
    stats_interval ratio;
    double part_s = 0, reduce_s = 0, n = (double)c->whole.workers;
    uint64_t seed = t->request->seed;
    TRY(stats_summarize(c->step_s, WORKERS_ROUNDS, seed, &step, err));
    TRY(stats_ratio(s->crews[0].step_s, c->step_s, WORKERS_ROUNDS, seed, &ratio, err));
    TRY(stats_median(c->part_s, WORKERS_ROUNDS, &part_s, err));
    if (n > 1) TRY(stats_median(c->reduce_s, WORKERS_ROUNDS, &reduce_s, err));
    stats_interval speed_up = times_of(ratio, t->question->each ? n : 1);
    /* More workers than cores take turns. */
    double turns = link && n > t->hands.cores ? n / t->hands.cores : 1;
    double model_s = link ? scaling_all_reduce(link, by->bytes, n).seconds : (double)NAN;
    json_t *point = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "workers",
                              (json_int_t)c->whole.workers, "batch", (json_int_t)c->part.batch,
                              "step_s", bounds_json(step.median), "speed_up", bounds_json(speed_up),
                              "efficiency", bounds_json(times_of(speed_up, 1 / n)), "part_s",
                              json_of_real(part_s), "reduce_s", json_of_real(reduce_s),
                              "model_reduce_s", json_of_real(n > 1 ? model_s : 0), "predicted_s",
                              json_of_real(n > 1 ? turns * part_s + model_s : step.median.point));
    json_array_append_new(points, point);
    if (!s->engine) return BE_OK;
    const crew *native = &t->sides[0].crews[c - s->crews];
    TRY(stats_ratio(c->step_s, native->step_s, WORKERS_ROUNDS, seed, &ratio, err));
    json_object_set_new(point, "versus_native", bounds_json(ratio));
    return BE_OK;
}

static be_status points_json(const trial *t, const side *s, const linked *by, json_t **out,
                             be_error *err)
{
    *out = json_array();
    for (int c = 0; c < s->count; c++) TRY(point_json(t, s, &s->crews[c], by, *out, err));
    return BE_OK;
}

static be_status peers_json(const trial *t, const linked *by, json_t **out, be_error *err)
{
    *out = json_array();
    for (int i = 1; i < t->count; i++) {
        const side *s = &t->sides[i];
        json_t *points = NULL;
        be_status status = points_json(t, s, by, &points, err);
        json_array_append_new(
            *out, json_pack("{s:s, s:o, s:o}", "engine", s->engine, "implementation",
                            json_of_known(s->crews[0].times[0].implementation), "points", points));
        TRY(status);
    }
    return BE_OK;
}

static be_status make_result(const trial *t, const linked *by, json_t **out, be_error *err)
{
    const char *device = t->request->devices.count ? t->request->devices.name[0] : "cpu";
    const scaling_link *link = by->link;
    json_t *points = NULL, *peers = NULL;
    be_status status = points_json(t, &t->sides[0], by, &points, err);
    if (status == BE_OK) status = peers_json(t, by, &peers, err);
    if (status != BE_OK) {
        json_decref(points);
        json_decref(peers);
        return status;
    }
    *out = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:I, s:b, s:i, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "kind",
        "workers", "workload", t->request->workloads[0]->name, "device", device, "precision",
        t->request->precision, "batch", (json_int_t)t->batch, "each", t->question->each, "cores",
        t->hands.cores, "gradient_bytes", json_of_real(by->bytes), "bytes_per_s",
        json_of_real(link ? link->bytes_per_s : (double)NAN), "latency_s",
        json_of_real(link ? link->latency_s : (double)NAN), "points", points, "peers", peers);
    return BE_OK;
}

static be_status run_all(trial *t, json_t **out, be_error *err)
{
    scaling_link link;
    TRY(find_steps(t, err));
    set_steps(t);
    for (int round = 0; round < WORKERS_ROUNDS; round++) TRY(run_round(t, round, err));
    const side *native = &t->sides[0];
    linked by = {.bytes = native->crews[native->count - 1].times[0].bytes};
    if (by.bytes > 0) {
        TRY(t->hands.link(by.bytes, &link, err));
        by.link = &link;
    }
    return make_result(t, &by, out, err);
}

be_status study_workers(const study_request *request, const workers_question *question,
                        const study_watch *watch, json_t **out, be_error *err)
{
    trial t = {.request = request,
               .question = question,
               .watch = watch,
               .hands = question->hands,
               .batch = study_batch(request, request->workloads[0])};
    workers_peers *peers = NULL;
    *out = NULL;
    if (!t.hands.train)
        t.hands = (workers_hands){.train = workers_train,
                                  .peer = workers_peers_train,
                                  .link = workers_link,
                                  .cores = topology_get()->cores};
    TRY(check_numbers(&question->workers, t.batch, question->each, err));
    TRY(add_sides(&t, err));
    if (t.count > 1 && !t.hands.peers) {
        TRY(workers_peers_new(&peers, request, watch, err));
        t.hands.peers = peers;
    }
    be_status status = run_all(&t, out, err);
    workers_peers_close(peers);
    return status;
}
