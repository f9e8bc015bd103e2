/* Pairs that are known: how often does the conductor find that a program is as fast as itself, and
 * that 5 % slower is slower?  Real processes and real time, so the machine must be idle.
 *
 * Usage: bench_pairs PROGRAM PROXY [PAIRS [SECONDS [THREADS [WORKLOAD]]]]
 *   PROGRAM is breakeven, PROXY is tests/proxy_runner.py; by default 40 pairs of each kind, of at
 *   most 5 s a contender, on 1 thread, of cnn-fashion.
 * One line per pair, in the end the counts.  Exit code 0 if at least 95 % of each kind are right.
 */
#include <stdio.h>
#include <stdlib.h>

#include "contest.h"

#define FIRST_SEED 100

typedef struct pairs {
    const char *const *plain;     /* the runner */
    const char *const *unchanged; /* through the proxy, so that both of a pair are */
    const char *const *slower;    /* by 5 % */
    double seconds;
    int threads;
    contest contest;
} pairs;

static conductor_contender contender(pairs *p, const char *const *argv)
{
    return contest_contender(&p->contest, argv, p->threads);
}

/* The verdict on the first of the pair. */
static be_status judge_pair(pairs *p, int number, bool alike, stats_verdict *verdict, be_error *err)
{
    conductor_report *report = NULL;
    stats_interval ratio;
    conductor_options options = conductor_options_default();
    options.stop.max_time_s = p->seconds;
    options.seed = FIRST_SEED + (uint64_t)number;
    conductor_contender both[] = {contender(p, alike ? p->plain : p->slower),
                                  contender(p, alike ? p->plain : p->unchanged)};
    TRY(conductor_run(both, 2, &options, &report, err));
    be_status status = conductor_compare(report, 0, 1, &ratio, verdict, err);
    for (int i = 0; i < 2 && status == BE_OK; i++) {
        status = report->results[i].status;
        if (status != BE_OK) *err = report->results[i].error;
    }
    if (status == BE_OK)
        printf("%-8s %2d: %-6s %.4f [%.4f, %.4f], %d rounds, others %.0f %%\n",
               alike ? "the same" : "slower", number + 1, stats_verdict_name(*verdict), ratio.point,
               ratio.low, ratio.high, report->rounds, 100 * report->other_load);
    fflush(stdout);
    conductor_report_free(report);
    return status;
}

static be_status judge_all(pairs *p, int count, bool *good, be_error *err)
{
    int same = 0, found = 0;
    for (int i = 0; i < count; i++) {
        stats_verdict verdict;
        TRY(judge_pair(p, i, true, &verdict, err));
        same += verdict == STATS_SAME;
        TRY(judge_pair(p, i, false, &verdict, err));
        found += verdict == STATS_SLOWER;
    }
    printf("the same: SAME %d of %d; 5 %% slower: SLOWER %d of %d\n", same, count, found, count);
    *good = 100 * same >= 95 * count && 100 * found >= 95 * count;
    return BE_OK;
}

static be_status measure(pairs *p, const char *name, int count, bool *good, be_error *err)
{
    be_status status = contest_open(&p->contest, name, err);
    if (status == BE_OK) status = judge_all(p, count, good, err);
    contest_close(&p->contest);
    return status;
}

int main(int argc, char **argv)
{
    be_error err = {0};
    bool good = false;
    if (argc < 3) {
        fprintf(stderr,
                "usage: bench_pairs PROGRAM PROXY [PAIRS [SECONDS [THREADS [WORKLOAD]]]]\n");
        return 2;
    }
    setenv("BREAKEVEN_PROGRAM", argv[1], 1);
    const char *plain[] = {argv[1], "runner", NULL}, *unchanged[] = {argv[2], NULL};
    const char *slower[] = {argv[2], "--slower", "0.05", NULL};
    pairs p = {.plain = plain,
               .unchanged = unchanged,
               .slower = slower,
               .seconds = argc > 4 ? atof(argv[4]) : 5,
               .threads = argc > 5 ? atoi(argv[5]) : 1};
    be_status status =
        measure(&p, argc > 6 ? argv[6] : "cnn-fashion", argc > 3 ? atoi(argv[3]) : 40, &good, &err);
    if (status != BE_OK) fprintf(stderr, "bench_pairs: %s\n", err.text);
    return status != BE_OK ? be_status_exit_code(status) : good ? 0 : 1;
}
