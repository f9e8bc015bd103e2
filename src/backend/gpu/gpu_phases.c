/* See gpu_phases.h. */
#include "backend/gpu/gpu_phases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"

#define LAP_NS 10000000  /* of whole steps: the wait at its end is lost in it */
#define REPEATS_MOST 160 /* ... and its steps: the queue must not run full */
#define REPEATS_GROUP 16 /* steps that a driver may hand over at once */
#define BUDGET_NS 300000000
#define PASSES_LEAST 3
#define PASSES_MOST 9
#define STREAMED_RUNS 3
#define AHEAD 0.8 /* of a lap: who has handed it over by then did not keep the device waiting */

/* What is timed.  Point k is the first k nodes; point 0 is the first node that launches anything,
 * twice in a step, from which what a step without nodes takes can be told. */
typedef struct timer {
    const gpu_phases_job *job;
    gpu_sequence **sequences; /* of point 0 … nodes; NULL: as the point before */
    int64_t *laps;            /* [nodes + 3][PASSES_MOST] */
    double *until;            /* [nodes + 1] ns of a lap of the first k nodes */
    size_t first;             /* node that launches */
    int64_t streamed_ns;      /* of the steps of the job */
    int passes;
    int64_t repeats; /* steps of a lap, or turns */
} timer;

/* Beside the points: all nodes, each step alone; and the time until whole steps were handed over.
 */
static size_t alone_row(const timer *t)
{
    return t->job->nodes + 1;
}

static size_t handed_row(const timer *t)
{
    return t->job->nodes + 2;
}

static int64_t *lap_at(const timer *t, size_t row, int pass)
{
    return &t->laps[row * PASSES_MOST + (size_t)pass];
}

/* ---------------------------------------------------------------- sequences */

static be_status make_sequence(timer *t, size_t point, const gpu_launch *launches, size_t count,
                               be_error *err)
{
    gpu_driver *driver = t->job->driver;
    return driver->vtable->sequence(driver, launches, (int)count, &t->sequences[point], err);
}

/* `launches` is a copy, with room for twice the first node.  Without its end a step would not hold
 * up the next one, and they would overlap as whole steps do not: so each begins alone. */
static be_status make_points(timer *t, gpu_launch *launches, be_error *err)
{
    const gpu_phases_job *job = t->job;
    size_t total = job->first_launch[job->nodes];
    size_t once = job->first_launch[t->first + 1];
    memcpy(launches, job->launches, total * sizeof *launches);
    launches[0].alone = true;
    for (size_t k = 1; k < job->nodes; k++) {
        size_t count = job->first_launch[k];
        if (count == job->first_launch[k - 1] || count == total) continue;
        TRY(make_sequence(t, k, launches, count, err));
    }
    t->sequences[job->nodes] = job->whole;
    TRY(make_sequence(t, alone_row(t), launches, total, err));
    memcpy(launches + once, launches, once * sizeof *launches);
    return make_sequence(t, 0, launches, 2 * once, err);
}

static be_status make_sequences(timer *t, be_error *err)
{
    const gpu_phases_job *job = t->job;
    void *memory = NULL;
    while (t->first < job->nodes && job->first_launch[t->first + 1] == 0) t->first++;
    if (t->first == job->nodes) return BE_OK;
    TRY(memory_alloc(&memory, 2 * job->first_launch[job->nodes] * sizeof(gpu_launch), "launches",
                     err));
    be_status status = make_points(t, memory, err);
    memory_free(memory);
    return status;
}

static void free_sequences(timer *t)
{
    for (size_t k = 0; k <= alone_row(t); k++)
        if (t->sequences[k] && k != t->job->nodes)
            t->job->driver->vtable->sequence_free(t->job->driver, t->sequences[k]);
}

/* ---------------------------------------------------------------- laps */

static be_status lap(timer *t, size_t point, int pass, be_error *err)
{
    gpu_driver *driver = t->job->driver;
    if (!t->sequences[point]) return BE_OK;
    int64_t start_ns = clock_now_ns();
    TRY(driver->vtable->replay(driver, t->sequences[point], t->repeats, err));
    int64_t handed_ns = clock_now_ns();
    TRY(driver->vtable->synchronise(driver, err));
    *lap_at(t, point, pass) = clock_now_ns() - start_ns;
    if (point == t->job->nodes) *lap_at(t, handed_row(t), pass) = handed_ns - start_ns;
    return BE_OK;
}

/* In turning order, so that a device that grows slower does so for all. */
static be_status one_pass(timer *t, int pass, be_error *err)
{
    size_t points = alone_row(t) + 1;
    for (size_t i = 0; i < points; i++) TRY(lap(t, pass % 2 ? points - 1 - i : i, pass, err));
    return BE_OK;
}

/* How often, from what one lap takes. */
static be_status choose(timer *t, be_error *err)
{
    int64_t turns = t->job->steps * t->job->turns;
    int64_t most = turns < REPEATS_MOST ? turns : REPEATS_MOST;
    t->repeats = 1;
    TRY(lap(t, t->job->nodes, 0, err));
    int64_t step_ns = *lap_at(t, t->job->nodes, 0) + 1;
    t->repeats = LAP_NS / step_ns;
    if (t->repeats > most) t->repeats = most;
    if (t->repeats > REPEATS_GROUP) t->repeats -= t->repeats % REPEATS_GROUP;
    if (t->repeats < 1) t->repeats = 1;
    double pass_ns = (double)(step_ns * t->repeats) * ((double)t->job->nodes / 2 + 2);
    double passes = BUDGET_NS / pass_ns;
    t->passes = passes < PASSES_LEAST  ? PASSES_LEAST
                : passes > PASSES_MOST ? PASSES_MOST
                                       : (int)passes;
    return BE_OK;
}

/* ---------------------------------------------------------------- what they say */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median(const timer *t, size_t row)
{
    int64_t *laps = lap_at(t, row, 0);
    qsort(laps, (size_t)t->passes, sizeof *laps, by_size);
    return (double)laps[t->passes / 2];
}

/* From behind: more nodes never take less, and what noise says otherwise is given to those before,
 * so that the whole stays what it is.  What whole steps are faster by than steps alone is the begin
 * of a step beside the end of the one before: it is taken from the first nodes. */
static void find_until(timer *t, double wall)
{
    size_t nodes = t->job->nodes;
    double whole = median(t, nodes), hidden = median(t, alone_row(t)) - whole;
    if (hidden < 0) hidden = 0;
    t->until[nodes] = whole < wall ? whole : wall;
    for (size_t k = nodes; k-- > t->first + 1;) {
        double here = t->sequences[k] ? median(t, k) - hidden : t->until[k + 1];
        if (here < 0) here = 0;
        t->until[k] = here < t->until[k + 1] ? here : t->until[k + 1];
    }
    /* A node without launches takes nothing: it ends where the one before does. */
    for (size_t k = t->first + 2; k < nodes; k++)
        if (!t->sequences[k] && t->job->first_launch[k] == t->job->first_launch[k - 1])
            t->until[k] = t->until[k - 1];
    double one = t->until[t->first + 1], none = -median(t, 0);
    none += 2 * (t->sequences[t->first + 1] ? median(t, t->first + 1) : one);
    for (size_t k = 0; k <= t->first; k++) t->until[k] = none < 0 ? 0 : none > one ? one : none;
}

static void summarise(timer *t, device_times *times)
{
    const gpu_phases_job *job = t->job;
    double scale = (double)(job->steps * job->turns) / (double)t->repeats;
    double wall = job->is_streamed ? (double)t->streamed_ns / scale : median(t, job->nodes);
    find_until(t, wall);
    int64_t before = llround(t->until[0] * scale);
    times->idle_other_ns = before;
    for (size_t n = 0; n < job->nodes; n++) {
        int64_t until = llround(t->until[n + 1] * scale);
        times->node_ns[n] = until - before;
        before = until;
    }
    times->wall_ns = llround(wall * scale);
    times->upload_ns = times->wall_ns - before;
    bool is_ahead = median(t, handed_row(t)) < AHEAD * median(t, job->nodes);
    times->idle_host_ns = is_ahead && !job->is_streamed ? 0 : -1;
}

/* Some runs, one behind the other, so that each finds its first batches sent ahead. */
static be_status time_streamed(timer *t, be_error *err)
{
    int64_t ns[STREAMED_RUNS];
    for (int i = 0; i < STREAMED_RUNS; i++) {
        int64_t start_ns = clock_now_ns();
        TRY(t->job->run(t->job->program, t->job->steps, false, err));
        ns[i] = clock_now_ns() - start_ns;
    }
    qsort(ns, STREAMED_RUNS, sizeof ns[0], by_size);
    t->streamed_ns = ns[STREAMED_RUNS / 2];
    return BE_OK;
}

static be_status measure(timer *t, device_times *times, be_error *err)
{
    if (t->job->is_streamed) TRY(time_streamed(t, err));
    TRY(make_sequences(t, err));
    if (t->first == t->job->nodes) return BE_OK;
    TRY(choose(t, err));
    for (int pass = 0; pass < t->passes; pass++) TRY(one_pass(t, pass, err));
    summarise(t, times);
    return BE_OK;
}

be_status gpu_phases_measure(const gpu_phases_job *job, device_times *times, be_error *err)
{
    timer t = {.job = job};
    void *sequences = NULL, *laps = NULL, *until = NULL;
    size_t rows = job->nodes + 3;
    be_status status = memory_alloc(&sequences, rows * sizeof(gpu_sequence *), "sequences", err);
    if (status == BE_OK)
        status = memory_alloc(&laps, rows * PASSES_MOST * sizeof(int64_t), "times", err);
    if (status == BE_OK) status = memory_alloc(&until, rows * sizeof(double), "times", err);
    t.sequences = sequences;
    t.laps = laps;
    t.until = until;
    if (status == BE_OK) {
        status = measure(&t, times, err);
        free_sequences(&t);
    }
    memory_free(sequences);
    memory_free(laps);
    memory_free(until);
    return status;
}
