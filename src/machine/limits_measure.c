/* The clock around a device's probe. */
#include "machine/limits_measure.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "graph/device.h"

#define DOUBLE_LEAST 1.6 /* times the time, for twice the work */
#define DOUBLE_MOST 2.5
#define ENOUGH_S 0.0005 /* of one timing: short ones fit between two disturbances */
#define ROUNDS_LEAST 3
#define PATIENCE 4 /* times the share of the time that an unbelievable figure is tried for */
#define TRANSFER_LEAST 4096
#define TRANSFER_FACTOR 4
#define TIMES_MOST ((int64_t)1 << 28)

/* What is timed: `run` does it `times` times and waits. */
typedef struct limits_work {
    be_status (*run)(const struct limits_work *, int64_t times, be_error *);
    device_probe *probe;
    probe_kind kind;
    be_plan *plan;
    int64_t times; /* fixed; 0: as many as fill the time */
    double seconds;
} limits_work;

/* The best times of doing it `times` times, and twice that. */
typedef struct limits_pair {
    int64_t times;
    double one_s, two_s;
} limits_pair;

static be_status limits_time(const limits_work *w, int64_t times, double *best_s, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    TRY(w->run(w, times, err));
    *best_s = fmin(*best_s, (double)(clock_now_ns() - start_ns) * 1e-9);
    return BE_OK;
}

static bool limits_doubles(const limits_pair *p)
{
    double ratio = p->two_s / p->one_s;
    return ratio >= DOUBLE_LEAST && ratio <= DOUBLE_MOST;
}

/* How many times more fill a timing, when the best so far took so long; 1: no more. */
static double limits_growth(const limits_work *w, double best_s)
{
    double enough_s = fmin(ENOUGH_S, w->seconds / 10);
    if (w->times || best_s >= enough_s) return 1;
    return fmin(10, fmax(2, 1.5 * enough_s / fmax(best_s, 1e-9)));
}

/* Both anew, with what they need made ready outside the clock. */
static be_status limits_begin(const limits_work *w, int64_t times, limits_pair *out, be_error *err)
{
    *out = (limits_pair){.times = times, .one_s = INFINITY, .two_s = INFINITY};
    TRY(w->run(w, times, err));
    return w->run(w, 2 * times, err);
}

/* In turn until the time is over, with more work wherever a timing shows that it was too little.
 * *believed: twice the work took about twice the time. */
static be_status limits_take(const limits_work *w, limits_pair *out, bool *believed, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    TRY(limits_begin(w, w->times ? w->times : 1, out, err));
    for (int round = 1;; round++) {
        TRY(limits_time(w, out->times, &out->one_s, err));
        TRY(limits_time(w, 2 * out->times, &out->two_s, err));
        double growth = limits_growth(w, out->one_s);
        if (growth > 1 && out->times < TIMES_MOST) {
            TRY(limits_begin(w, (int64_t)((double)out->times * growth), out, err));
            round = 0;
        }
        double spent_s = (double)(clock_now_ns() - start_ns) * 1e-9;
        *believed = round >= ROUNDS_LEAST && limits_doubles(out);
        if (*believed && spent_s >= w->seconds) return BE_OK;
        if (round >= ROUNDS_LEAST && spent_s >= PATIENCE * w->seconds) return BE_OK;
    }
}

/* Seconds of doing it once, or NAN. */
static be_status limits_once(const limits_work *w, double *out_s, be_error *err)
{
    limits_pair pair;
    bool believed = false;
    *out_s = NAN;
    TRY(limits_take(w, &pair, &believed, err));
    double times = (double)pair.times;
    if (believed) *out_s = fmin(pair.one_s / times, pair.two_s / (2 * times));
    return BE_OK;
}

static be_status limits_run_probe(const limits_work *w, int64_t times, be_error *err)
{
    return w->probe->device->vtable->probe_run(w->probe, w->kind, times, err);
}

static be_status limits_rate(limits_work w, double *out, be_error *err)
{
    double once_s = NAN;
    *out = NAN;
    if (!(w.probe->amount[w.kind] > 0)) return BE_OK;
    TRY(limits_once(&w, &once_s, err));
    *out = w.probe->amount[w.kind] / once_s;
    return BE_OK;
}

/* What one more launch adds: starting the list and waiting for it cancels in the difference. */
static be_status limits_launch(limits_work w, double *out, be_error *err)
{
    limits_pair pair;
    bool believed = false;
    *out = NAN;
    w.times = w.probe->most_launches / 2;
    TRY(limits_take(&w, &pair, &believed, err));
    if (believed) *out = (pair.two_s - pair.one_s) / (double)pair.times;
    return BE_OK;
}

/* ---------------------------------------------------------------- the round trip */

static be_status limits_run_plan(const limits_work *w, int64_t times, be_error *err)
{
    for (int64_t t = 0; t < times; t++) TRY(be_plan_run(w->plan, 1, err));
    return BE_OK;
}

static be_status limits_trip_of(be_device *device, const be_graph *g, be_value x, double seconds,
                                double *out, be_error *err)
{
    limits_work w = {.run = limits_run_plan, .seconds = seconds};
    be_plan_options options = {.mode = BE_INFER};
    const float zeros[8] = {0};
    TRY(be_plan_new(g, device, &options, &w.plan, err));
    be_status status = be_plan_write(w.plan, x, zeros, sizeof zeros, err);
    if (status == BE_OK) status = limits_once(&w, out, err);
    be_plan_free(w.plan);
    return status;
}

/* A step that is one op on eight numbers. */
static be_status limits_trip(be_device *device, double seconds, double *out, be_error *err)
{
    be_graph *g = be_graph_new(0);
    be_value x = be_input(g, "x", (be_shape){.dtype = BE_F32, .rank = 2, .dim = {1, 8}});
    be_relu(g, x);
    be_status status = be_graph_check(g, err);
    if (status == BE_OK) status = limits_trip_of(device, g, x, seconds, out, err);
    be_graph_free(g);
    return status;
}

/* ---------------------------------------------------------------- all of it */

static be_status limits_copies(limits_work w, limits *out, be_error *err)
{
    int64_t limit = w.probe->transfer_most_bytes;
    int sizes = 0;
    for (int64_t bytes = TRANSFER_LEAST; bytes <= limit; bytes *= TRANSFER_FACTOR) sizes++;
    MUST(sizes <= LIMITS_TRANSFERS);
    w.seconds /= fmax(1, 2 * sizes);
    for (int64_t bytes = TRANSFER_LEAST; bytes <= limit; bytes *= TRANSFER_FACTOR) {
        limits_transfer *t = &out->transfers[out->transfer_count++];
        t->bytes = w.probe->transfer_bytes = bytes;
        w.kind = PROBE_UPLOAD;
        TRY(limits_once(&w, &t->up_s, err));
        w.kind = PROBE_DOWNLOAD;
        TRY(limits_once(&w, &t->down_s, err));
    }
    return BE_OK;
}

static be_status limits_all(device_probe *probe, double seconds, limits *out, be_error *err)
{
    /* Shares of the time; what a busy machine disturbs most has more of it. */
    static const struct {
        probe_kind kind;
        double share;
        size_t at;
    } rates[] = {{PROBE_ARITHMETIC, 0.2, offsetof(limits, flops_fp32)},
                 {PROBE_TF32, 0.1, offsetof(limits, flops_tf32)},
                 {PROBE_BF16, 0.1, offsetof(limits, flops_bf16)},
                 {PROBE_MEMORY, 0.2, offsetof(limits, memory_bytes_per_s)},
                 {PROBE_CACHE, 0.15, offsetof(limits, cache_bytes_per_s)}};
    limits_work w = {.run = limits_run_probe, .probe = probe};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        w.kind = rates[i].kind;
        w.seconds = rates[i].share * seconds;
        TRY(limits_rate(w, (double *)((char *)out + rates[i].at), err));
    }
    w.kind = PROBE_LAUNCH;
    w.seconds = 0.1 * seconds;
    TRY(limits_launch(w, &out->launch_s, err));
    TRY(limits_trip(probe->device, 0.1 * seconds, &out->round_trip_s, err));
    w.seconds = 0.25 * seconds;
    return limits_copies(w, out, err);
}

be_status limits_measure(be_device *device, double seconds, limits *out, be_error *err)
{
    device_probe *probe = NULL;
    limits peaks = limits_unknown();
    *out = peaks;
    snprintf(peaks.device, sizeof peaks.device, "%s", device->id);
    snprintf(peaks.device_name, sizeof peaks.device_name, "%s", device->name);
    peaks.threads = device->threads;
    TRY(device->vtable->probe_new(device, &probe, err));
    be_status status = limits_all(probe, seconds > 0 ? seconds : LIMITS_SECONDS, &peaks, err);
    device->vtable->probe_free(probe);
    peaks.unix_s = clock_unix_s();
    if (status == BE_OK) *out = peaks;
    return status;
}
