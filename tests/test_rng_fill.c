/* Tests of random numbers that are made many at once, against those made one by one in double. */
#include "support.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

#define COUNT 300001 /* more than one thread's, and no whole piece at the end */
#define PIECE 256

static const rng_key key = {.seed = 42, .stream = RNG_TEST, .sub = 7};
static float numbers[COUNT], others[COUNT];

static void uniform_ones_are_those_drawn_one_by_one(void **state)
{
    (void)state;
    rng_fill_uniform(key, 0.3f, numbers, COUNT);
    for (int64_t i = 0; i < COUNT; i++) {
        float one = (2.0f * rng_uniform(key, (uint64_t)i) - 1.0f) * 0.3f;
        if (memcmp(&one, &numbers[i], sizeof one) != 0)
            fail_msg("number %lld: %.9g, one by one %.9g", (long long)i, (double)numbers[i],
                     (double)one);
    }
}

/* Box and Muller's formulas on the same words, by the C library in double. */
static void normal_ones_follow_the_formulas(void **state)
{
    (void)state;
    const double turn = 6.283185307179586;
    double sums[5] = {0};
    rng_fill_normal(key, 1.0f, numbers, COUNT);
    for (int64_t i = 0; i < COUNT; i++) {
        uint64_t at = (uint64_t)(i / PIECE * PIECE), k = (uint64_t)(i % (PIECE / 2));
        double u = ((double)(rng_word(key, at + k) >> 8) + 1) * 0x1p-24;
        double v = (double)(rng_word(key, at + PIECE / 2 + k) >> 8) * 0x1p-24;
        double r = sqrt(-2 * log(u));
        double wanted = i % PIECE < PIECE / 2 ? r * cos(turn * v) : r * sin(turn * v);
        if (!(fabs((double)numbers[i] - wanted) <= 2e-6))
            fail_msg("number %lld: %.9g, by the formula %.9g", (long long)i, (double)numbers[i],
                     wanted);
        for (int p = 1; p <= 4; p++) sums[p] += pow((double)numbers[i], p);
    }
    /* The moments 0, 1, 0, 3 within five times their own spread: sqrt(1, 2, 15, 96 / COUNT). */
    const double moments[] = {1, 0, 1, 0, 3}, spreads[] = {0, 1, 2, 15, 96};
    for (int p = 1; p <= 4; p++)
        assert_float_equal(sums[p] / COUNT, moments[p], 5 * sqrt(spreads[p] / COUNT));
}

static void threads_and_counts_change_no_bit(void **state)
{
    (void)state;
    int before = omp_get_max_threads();
    rng_fill_normal(key, 0.02f, numbers, COUNT);
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        memset(others, 0, sizeof others);
        rng_fill_normal(key, 0.02f, others, COUNT);
        assert_memory_equal(numbers, others, sizeof others);
    }
    omp_set_num_threads(before);
    for (int64_t count = 0; count < 600; count += 37) {
        memset(others, 0, sizeof others);
        rng_fill_normal(key, 0.02f, others, count);
        assert_memory_equal(numbers, others, (size_t)count * sizeof *others);
        assert_true(others[count] == 0.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_ones_are_those_drawn_one_by_one),
        cmocka_unit_test(normal_ones_follow_the_formulas),
        cmocka_unit_test(threads_and_counts_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
