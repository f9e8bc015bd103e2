/* What measuring costs: the conductor's time of a step against that of a loop that nobody watches.
 *
 * Usage: bench_overhead PROGRAM LOOP [ROUNDS [THREADS [LIMIT]]]
 *   PROGRAM is breakeven, LOOP is bench_loop; by default 200 rounds, 1 thread, a limit of 0.01.
 * Before every block of the conductor the loop does a stretch of LOOP_S on the same cores; each
 * block is compared with the mean of the stretches before and after it, so that the machine's ups
 * and downs cancel.  Prints one line; exit code 0 if the difference is within the limit. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contest.h"
#include "core/clock.h"
#include "core/topology.h"
#include "run/child.h"

#define LOOP_S 0.2
#define LOOP_LEAD_S 0.04 /* untimed: the caches were another's */
#define LOOP_LIMIT_S 60
#define LINE_MAX_BYTES 100

typedef struct overhead {
    child *loop;
    double step_s;     /* the loop's latest */
    double *stretch_s; /* a step, before each block and after the last one */
    int32_t count, rounds;
    be_status status;
    be_error err;
} overhead;

/* The loop, for about `seconds` seconds. */
static be_status loop_run(overhead *o, double seconds, be_error *err)
{
    char text[LINE_MAX_BYTES];
    const char *line = NULL;
    size_t length = 0;
    int64_t steps = 1 + (int64_t)(seconds / o->step_s);
    int64_t deadline_ns = clock_now_ns() + LOOP_LIMIT_S * INT64_C(1000000000);
    snprintf(text, sizeof text, "%" PRId64 "\n", steps);
    TRY(child_send(o->loop, text, strlen(text), deadline_ns, err));
    TRY(child_read_line(o->loop, &line, &length, NULL, deadline_ns, err));
    o->step_s = (double)strtoll(line, NULL, 10) * 1e-9 / (double)steps;
    return BE_OK;
}

static be_status loop_stretch(overhead *o, be_error *err)
{
    if (o->count > o->rounds) return BE_OK;
    TRY(loop_run(o, LOOP_LEAD_S, err));
    TRY(loop_run(o, LOOP_S, err));
    o->stretch_s[o->count++] = o->step_s;
    child_settle(o->loop, 1);
    return BE_OK;
}

static void before_block(void *context, const conductor_progress *progress)
{
    overhead *o = context;
    if (progress->phase == CONDUCTOR_MEASURE && o->status == BE_OK)
        o->status = loop_stretch(o, &o->err);
}

static be_status loop_start(overhead *o, const char *program, int threads, be_error *err)
{
    char count[16], processors[256];
    const char *argv[] = {program, count, NULL};
    child_options options = {.argv = argv, .line_max = LINE_MAX_BYTES};
    snprintf(count, sizeof count, "%d", threads);
    topology_bind(threads, processors, sizeof processors);
    be_status status = child_start(&o->loop, &options, err);
    topology_unbind();
    o->step_s = INFINITY; /* one step at first */
    if (status == BE_OK) status = loop_run(o, LOOP_S, err);
    if (status == BE_OK) status = loop_run(o, LOOP_S, err);
    return status;
}

static be_status compare(const overhead *o, const conductor_result *result, double limit,
                         bool *good, be_error *err)
{
    stats_interval ratio;
    double *around_s = o->stretch_s; /* [r]: of the stretches before and after block r */
    for (int32_t r = 0; r < result->count; r++) around_s[r] = (around_s[r] + around_s[r + 1]) / 2;
    TRY(stats_ratio(result->blocks_s, around_s, result->count, 1, &ratio, err));
    *good = fabs(ratio.point - 1) <= limit;
    printf("bench %.4f ms a step on processor %s; bench / loop - 1: %+.2f %% [%+.2f, %+.2f], %d "
           "rounds; limit %.1f %%: %s\n",
           result->step.median.point * 1e3, result->processors ? result->processors : "any",
           100 * (ratio.point - 1), 100 * (ratio.low - 1), 100 * (ratio.high - 1), result->count,
           100 * limit, *good ? "kept" : "BROKEN");
    return BE_OK;
}

static be_status measure(overhead *o, contest *c, const char *program, int threads,
                         conductor_report **report, be_error *err)
{
    const char *argv[] = {program, "runner", NULL};
    conductor_contender contender = contest_contender(c, argv, threads);
    conductor_options options = conductor_options_default();
    options.stop.min_samples = options.stop.max_samples = o->rounds;
    options.stop.max_time_s = options.stop.min_time_s = 1e6;
    options.progress = before_block;
    options.context = o;
    options.cool_share = 0;
    TRY(conductor_run(&contender, 1, &options, report, err));
    if (o->status != BE_OK) *err = o->err;
    TRY(o->status);
    if ((*report)->results[0].status != BE_OK) *err = (*report)->results[0].error;
    TRY((*report)->results[0].status);
    return loop_stretch(o, err);
}

int main(int argc, char **argv)
{
    be_error err = {0};
    contest c = {0};
    overhead o = {.rounds = argc > 3 ? atoi(argv[3]) : 200};
    conductor_report *report = NULL;
    int threads = argc > 4 ? atoi(argv[4]) : 1;
    bool good = false;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_overhead PROGRAM LOOP [ROUNDS [THREADS [LIMIT]]]\n");
        return 2;
    }
    o.stretch_s = calloc((size_t)o.rounds + 1, sizeof(double));
    if (!o.stretch_s) {
        fprintf(stderr, "bench_overhead: no memory for %d rounds; ask for fewer\n", o.rounds);
        return 5;
    }
    be_status status = contest_open(&c, "cnn-fashion", &err);
    if (status == BE_OK) status = loop_start(&o, argv[2], threads, &err);
    if (status == BE_OK) status = measure(&o, &c, argv[1], threads, &report, &err);
    if (status == BE_OK)
        status = compare(&o, &report->results[0], argc > 5 ? atof(argv[5]) : 0.01, &good, &err);
    if (status != BE_OK) fprintf(stderr, "bench_overhead: %s\n", err.text);
    conductor_report_free(report);
    if (o.loop) child_stop(o.loop, 5, NULL, 0, NULL);
    contest_close(&c);
    free(o.stretch_s);
    return status != BE_OK ? be_status_exit_code(status) : good ? 0 : 1;
}
