/* Tests of the verdicts that the whole conductor comes to, on simulated machines and in no time:
 * its rounds, its stop rule as often as it applies it, its ratios.  The lanes are replaced: this
 * file defines the functions of run/lane.h that the conductor calls. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "core/memory.h"
#include "core/rng.h"
#include "run/lane.h"
#include "run/lane_checks.h"

#define BLOCK_S 0.1

/* ------------------------------------------------------ noisy machines */

/* A machine's noise, as the logarithm of the factor on one block's time. */
typedef enum noise { QUIET, SKEWED, OUTLIERS, DRIFT, THROTTLE, WANDER, PHASES, NOISES } noise;

static const char *const noise_names[NOISES] = {"quiet",    "skewed", "outliers", "drift",
                                                "throttle", "wander", "phases"};

typedef struct machine {
    noise noise;
    rng r;
    int block;
    double level;     /* of the wandering, or of the slow phase */
    double throttles; /* the block at which it becomes slow */
} machine;

static machine machine_new(noise model, uint64_t seed)
{
    machine m = {.noise = model, .r = {.key = {.seed = seed, .stream = RNG_TEST, .sub = model}}};
    m.throttles = 60 * rng_next_uniform(&m.r);
    return m;
}

static double machine_noise(machine *m)
{
    double z = 0.02 * rng_next_normal(&m->r), u = rng_next_uniform(&m->r);
    double v = rng_next_uniform(&m->r);
    int block = m->block++;
    switch (m->noise) {
    case SKEWED: /* one-sided, as interrupts are */
        return -0.03 * log(1 - u);
    case OUTLIERS: /* one block in ten is hit by something else */
        return z + (u < 0.1 ? -0.4 * log(1 - v) : 0);
    case DRIFT: /* a laptop grows warm: 30 % over 80 blocks */
        return z + 0.3 * block / 80;
    case THROTTLE: /* and loses 30 % at once */
        return z + (block > m->throttles ? 0.3 : 0);
    case WANDER:
        m->level += 0.01 * rng_next_normal(&m->r);
        return z + m->level;
    case PHASES: /* a neighbour comes and goes, some 10 blocks each time */
        if (u < 0.1) m->level = 0.15 - m->level;
        return z + m->level;
    default:
        return z;
    }
}

/* ---------------------------------------------------- lanes in their place */

static machine simulated; /* that both contenders run on, one block after the other */
static double factors[2]; /* on the times of each */

be_status lane_open(lane *l, be_error *err)
{
    (void)err;
    l->active = true;
    l->result->block_steps = 1;
    return BE_OK;
}

be_status lane_block(lane *l, be_error *err)
{
    conductor_result *result = l->result;
    void *blocks = result->blocks_s;
    TRY(memory_grow(&blocks, &result->capacity, (size_t)result->count + 1, sizeof(double), err));
    result->blocks_s = blocks;
    result->blocks_s[result->count++] =
        BLOCK_S * exp(machine_noise(&simulated)) * factors[l->index];
    l->measured_s += BLOCK_S;
    return BE_OK;
}

be_status lane_prove(lane *l, be_error *err)
{
    (void)l, (void)err;
    return BE_OK;
}

void lane_fail(lane *l, const be_error *err)
{
    fail_msg("%d: %s", l->index, err->text);
}

void lane_close(lane *l)
{
    (void)l;
}

void lane_warn(lane *l, warning_kind kind, double value, const char *format, ...)
{
    (void)l, (void)kind, (void)value, (void)format;
}

void lane_progress(const lane *l, conductor_phase phase)
{
    (void)l, (void)phase;
}

/* ------------------------------------------------------------------ */

typedef struct outcome {
    stats_verdict verdict; /* on the first against the second */
    int rounds;
} outcome;

static outcome measure(noise model, uint64_t seed, double factor)
{
    be_error err = {0};
    stats_interval ratio;
    outcome out;
    const protocol_job job = {.workload = "mlp-mnist",
                              .device = "cpu",
                              .mode = "train",
                              .precision = "fp32",
                              .batch = 100};
    conductor_contender both[2] = {{.job = job}, {.job = job}};
    conductor_options options = conductor_options_default();
    conductor_report *report = NULL;
    options.seed = seed;
    simulated = machine_new(model, seed);
    factors[0] = factor;
    factors[1] = 1;
    ASSERT_OK(conductor_run(both, 2, &options, &report, &err));
    ASSERT_OK(conductor_compare(report, 0, 1, &ratio, &out.verdict, &err));
    out.rounds = report->rounds;
    /* One judgement, seen from both sides. */
    assert_int_equal(report->results[0].verdict,
                     stats_verdict_of_other(report->results[1].verdict));
    assert_float_equal(report->results[0].ratio.low * report->results[1].ratio.high, 1, 1e-12);
    assert_int_equal(report->results[0].unsure != NULL, report->results[0].verdict == STATS_UNSURE);
    conductor_report_free(report);
    return out;
}

/* Rule: two runs of the same thing come out SAME at least 95 times in 100, and a planted 5 % is
 * found at least 95 times in 100: 210 pairs of each, 30 on every kind of machine; fewer for a
 * sanitizer, which looks at how the numbers are handled. */
static void pairs_are_judged_rightly(void **state)
{
    (void)state;
    const int each = strcmp(BUILD_SANITIZERS, "none") == 0 ? 30 : 4;
    int all_same = 0, all_found = 0;
    for (noise model = 0; model < NOISES; model++) {
        int same = 0, found = 0, rounds = 0;
        for (uint64_t t = 0; t < (uint64_t)each; t++) {
            stats_verdict planted = t % 2 ? STATS_SLOWER : STATS_FASTER;
            outcome alike = measure(model, 5000 + t, 1);
            outcome apart = measure(model, 9000 + t, t % 2 ? 1.05 : 1 / 1.05);
            same += alike.verdict == STATS_SAME;
            found += apart.verdict == planted;
            rounds += alike.rounds + apart.rounds;
            assert_true(apart.verdict == planted || apart.verdict == STATS_UNSURE ||
                        apart.verdict == STATS_SAME);
        }
        print_message("%-9s the same: %d of %d, 5 %% found: %d, in %.0f rounds\n",
                      noise_names[model], same, each, found, rounds / (2.0 * each));
        all_same += same;
        all_found += found;
    }
    print_message("altogether the same: %d of %d, 5 %% found: %d\n", all_same, each * NOISES,
                  all_found);
    assert_true(all_same * 100 >= 95 * each * NOISES);
    assert_true(all_found * 100 >= 95 * each * NOISES);
}

/* Round by round the first is faster, but by its median, which tables go by, it is slower. */
static void medians_that_say_the_opposite_leave_it_open(void **state)
{
    (void)state;
    double first[20], second[20];
    conductor_result results[2] = {{.blocks_s = first, .samples_per_s = 900},
                                   {.blocks_s = second, .samples_per_s = 1000}};
    const int64_t batches[2] = {100, 100};
    conductor_report report = {.results = results, .count = 2, .batches = (int64_t *)batches};
    stats_interval ratio;
    stats_verdict verdict;
    be_error err = {0};
    for (int i = 0; i < 20; i++) first[i] = 0.9 * (second[i] = BLOCK_S * (1 + 0.01 * i));
    for (int k = 0; k < 2; k++) {
        results[k].count = 20;
        results[k].step.count = 20;
    }
    ASSERT_OK(conductor_compare(&report, 0, 1, &ratio, &verdict, &err));
    assert_true(ratio.high < 1);
    assert_int_equal(verdict, STATS_UNSURE);
    ASSERT_OK(conductor_compare(&report, 1, 0, &ratio, &verdict, &err));
    assert_int_equal(verdict, STATS_UNSURE);
    results[0].samples_per_s = 1100;
    ASSERT_OK(conductor_compare(&report, 0, 1, &ratio, &verdict, &err));
    assert_int_equal(verdict, STATS_FASTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians_that_say_the_opposite_leave_it_open),
        cmocka_unit_test(pairs_are_judged_rightly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
