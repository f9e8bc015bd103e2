/* What two workers add up gradients at, against a plain copy of as many bytes.
 *
 * Usage: bench_all_reduce [BYTES [ROUNDS]]     (the 44.7 MB of resnet18-cifar's gradients, 30)
 *
 * Two threads are the ranks, with the same memory between them as workers have.  A round is one sum
 * and one memcpy by one thread, next to each other, so that the machine's ups and downs cancel; the
 * first rounds touch the memory and are left out.  Prints one line; exit code 0 if the median of
 * the ratios is 0.6 or more. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "group/group.h"
#include "measure/stats.h"

#define GRADIENTS 11173962 /* of resnet18-cifar */
#define FIRST 3
#define ROUNDS_MOST 1000
#define PROMISED 0.6

typedef struct rank {
    be_group *group;
    float *x, *copy;
    int64_t count;
    int rounds;
    double sum_s[ROUNDS_MOST], copy_s[ROUNDS_MOST];
    be_status status;
    be_error err;
} rank;

static be_status run_rounds(rank *r, be_error *err)
{
    for (int i = -FIRST; i < r->rounds; i++) {
        int64_t start_ns = clock_now_ns();
        if (be_group_rank(r->group) == 0) memcpy(r->copy, r->x, (size_t)r->count * sizeof(float));
        int64_t copied_ns = clock_now_ns();
        TRY(group_wait(r->group, GROUP_LIMIT_NS, err));
        int64_t begun_ns = clock_now_ns();
        TRY(group_mean(r->group, r->x, r->count, err));
        int64_t end_ns = clock_now_ns();
        if (i < 0) continue;
        r->copy_s[i] = (double)(copied_ns - start_ns) * 1e-9;
        r->sum_s[i] = (double)(end_ns - begun_ns) * 1e-9;
    }
    return BE_OK;
}

static void *run(void *argument)
{
    rank *r = argument;
    r->status = run_rounds(r, &r->err);
    if (r->status != BE_OK) group_end(r->group, &r->err);
    return NULL;
}

static int fail(const be_error *err)
{
    fprintf(stderr, "bench_all_reduce: %s\n", err->text);
    return 1;
}

static int tell(const rank *r, int64_t bytes)
{
    stats_interval ratio;
    double sum_s = 0, copy_s = 0;
    be_error err = {0};
    if (stats_ratio(r->copy_s, r->sum_s, r->rounds, 1, &ratio, &err) != BE_OK ||
        stats_median(r->sum_s, r->rounds, &sum_s, &err) != BE_OK ||
        stats_median(r->copy_s, r->rounds, &copy_s, &err) != BE_OK)
        return fail(&err);
    printf("%.1f MB on two workers: summed at %.3g GB/s, copied at %.3g GB/s: %.2f (%.2f to %.2f), "
           "promised %.1f\n",
           (double)bytes * 1e-6, (double)bytes / sum_s * 1e-9, (double)bytes / copy_s * 1e-9,
           ratio.point, ratio.low, ratio.high, PROMISED);
    return ratio.point < PROMISED;
}

int main(int argc, char **argv)
{
    static rank ranks[2];
    be_group *groups[2];
    pthread_t other;
    be_error err = {0};
    int64_t bytes = argc > 1 ? atoll(argv[1]) : INT64_C(4) * GRADIENTS;
    int rounds = argc > 2 ? atoi(argv[2]) : 30;
    if (bytes < 4 || rounds < 1 || rounds > ROUNDS_MOST) {
        fprintf(stderr, "usage: bench_all_reduce [BYTES [ROUNDS]], at most %d rounds\n",
                ROUNDS_MOST);
        return 2;
    }
    if (group_of_threads(2, groups, &err) != BE_OK) return fail(&err);
    for (int r = 0; r < 2; r++) {
        ranks[r] = (rank){.group = groups[r], .count = bytes / 4, .rounds = rounds};
        ranks[r].x = calloc((size_t)ranks[r].count, sizeof(float));
        ranks[r].copy = calloc((size_t)ranks[r].count, sizeof(float));
        if (!ranks[r].x || !ranks[r].copy) return fail(&(be_error){.text = "no memory"});
    }
    if (pthread_create(&other, NULL, run, &ranks[1]) != 0)
        return fail(&(be_error){.text = "no thread"});
    run(&ranks[0]);
    pthread_join(other, NULL);
    int code = ranks[0].status == BE_OK ? tell(&ranks[0], bytes) : fail(&ranks[0].err);
    for (int r = 0; r < 2; r++) {
        be_group_close(groups[r]);
        free(ranks[r].x);
        free(ranks[r].copy);
    }
    return code;
}
