/* Tests of the statistics: quantiles by hand, intervals that cover, verdicts by the
 * interval, the stop rule and the length of blocks.  Whether verdicts are right often enough under
 * noise is tested with the whole conductor, in test_run_verdicts. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/rng.h"
#include "measure/stats.h"
#include "measure/stop.h"
#include "support.h"

static void quantiles_are_those_of_type_7(void **state)
{
    (void)state;
    const double sorted[] = {1, 2, 4, 8, 16};
    assert_float_equal(stats_quantile(sorted, 5, 0), 1, 0);
    assert_float_equal(stats_quantile(sorted, 5, 0.25), 2, 0);
    assert_float_equal(stats_quantile(sorted, 5, 0.6), 4 + 0.4 * 4, 1e-12);
    assert_float_equal(stats_quantile(sorted, 5, 1), 16, 0);
    assert_float_equal(stats_quantile(sorted, 1, 0.7), 1, 0);
}

static void medians_of_even_and_odd_counts(void **state)
{
    (void)state;
    be_error err = {0};
    double median = 0;
    ASSERT_OK(stats_median((double[]){9, 1, 5}, 3, &median, &err));
    assert_float_equal(median, 5, 0);
    ASSERT_OK(stats_median((double[]){9, 1, 5, 2}, 4, &median, &err));
    assert_float_equal(median, 3.5, 0);
    ASSERT_FAILS(stats_median(NULL, 0, &median, &err), BE_USAGE, "at least 1 value", "found 0");
}

static void a_summary_says_what_it_says(void **state)
{
    (void)state;
    be_error err = {0};
    stats_summary s;
    double values[21];
    for (int i = 0; i < 21; i++) values[i] = 100 + (i * 8) % 21;
    ASSERT_OK(stats_summarize(values, 21, 1, &s, &err));
    assert_int_equal(s.count, 21);
    assert_float_equal(s.median.point, 110, 0);
    assert_float_equal(s.minimum, 100, 0);
    assert_float_equal(s.maximum, 120, 0);
    assert_float_equal(s.p25, 105, 0);
    assert_float_equal(s.p75, 115, 0);
    assert_float_equal(s.spread, 18.0 / 110, 1e-12);
    /* The exact interval of order statistics of 21 values is [106, 114]. */
    assert_true(s.median.low >= 104 && s.median.low <= 107);
    assert_true(s.median.high >= 113 && s.median.high <= 116);
    ASSERT_OK(stats_summarize(values, 1, 1, &s, &err));
    assert_true(isnan(s.median.low) && isnan(s.median.high) && s.spread == 0);
    ASSERT_FAILS(stats_summarize(values, 0, 1, &s, &err), BE_USAGE, "at least 1 time");
    values[3] = NAN;
    ASSERT_FAILS(stats_summarize(values, 5, 1, &s, &err), BE_NUMERIC, "finite", "number 4 of 5");
}

static void the_same_seed_gives_the_same_interval(void **state)
{
    (void)state;
    be_error err = {0};
    rng r = {.key = {.seed = 5, .stream = RNG_TEST}};
    double values[40];
    stats_summary a, b, c;
    for (int i = 0; i < 40; i++) values[i] = 1 + 0.1 * rng_next_normal(&r);
    ASSERT_OK(stats_summarize(values, 40, 1, &a, &err));
    ASSERT_OK(stats_summarize(values, 40, 1, &b, &err));
    ASSERT_OK(stats_summarize(values, 40, 2, &c, &err));
    assert_memory_equal(&a.median, &b.median, sizeof a.median);
    assert_true(a.median.low <= a.median.point && a.median.point <= a.median.high);
    assert_float_equal(a.median.low, c.median.low, 0.02);
}

static void intervals_of_medians_cover(void **state)
{
    (void)state;
    be_error err = {0};
    rng r = {.key = {.seed = 6, .stream = RNG_TEST}};
    int covered = 0, trials = 1000;
    for (int t = 0; t < trials; t++) {
        double values[25];
        stats_summary s;
        for (int i = 0; i < 25; i++) values[i] = exp(0.1 * rng_next_normal(&r));
        ASSERT_OK(stats_summarize(values, 25, (uint64_t)t, &s, &err));
        covered += s.median.low <= 1 && 1 <= s.median.high;
    }
    assert_in_range(covered, 930, 985);
}

/* 1 … 20 lie evenly about 10.5, and so must the intervals: the median of an even count is the mean
 * of its two middle values, in a resample too. */
static void intervals_lean_to_no_side(void **state)
{
    (void)state;
    be_error err = {0};
    double values[20], sum = 0;
    stats_summary s;
    for (int i = 0; i < 20; i++) values[i] = i + 1;
    for (uint64_t seed = 0; seed < 200; seed++) {
        ASSERT_OK(stats_summarize(values, 20, seed, &s, &err));
        sum += s.median.low + s.median.high;
    }
    assert_float_equal(sum / 400, 10.5, 0.1);
}

static void ratios_of_few_rounds(void **state)
{
    (void)state;
    be_error err = {0};
    stats_interval ratio;
    const double slow[] = {10, 11, 12}, fast[] = {1, 1.25, 1};
    ASSERT_OK(stats_ratio(slow, fast, 1, 1, &ratio, &err));
    assert_float_equal(ratio.point, 10, 1e-12);
    assert_true(isnan(ratio.low) && isnan(ratio.high));
    assert_int_equal(stats_judge(&ratio), STATS_UNSURE);
    ASSERT_OK(stats_ratio(slow, fast, 3, 1, &ratio, &err));
    assert_float_equal(ratio.point, 10, 1e-12);
    assert_float_equal(ratio.low, 8, 1e-12);
    assert_float_equal(ratio.high, 12, 1e-12);
    assert_int_equal(stats_judge(&ratio), STATS_SLOWER);
    ASSERT_FAILS(stats_ratio(slow, fast, 0, 1, &ratio, &err), BE_USAGE, "at least 1 round");
    ASSERT_FAILS(stats_ratio(slow, (double[]){1, 0}, 2, 1, &ratio, &err), BE_NUMERIC, "positive",
                 "11 and 0 in round 2");
    ASSERT_FAILS(stats_ratio((double[]){-1}, (double[]){-2}, 1, 1, &ratio, &err), BE_NUMERIC,
                 "-1 and -2 in round 1");
}

/* Two series that were not interleaved: the interval of the ratio of their medians covers. */
static void ratios_apart_cover(void **state)
{
    (void)state;
    be_error err = {0};
    int covered = 0;
    rng_key key = {.seed = 5, .stream = RNG_TEST};
    for (int trial = 0; trial < 400; trial++) {
        double first[16], second[12];
        stats_interval ratio;
        for (int i = 0; i < 28; i++) {
            uint32_t words[4];
            rng_block(key, (uint64_t)(trial * 28 + i), words);
            double noise = 1 + 0.1 * ((double)words[0] / 4294967296.0 - 0.5);
            if (i < 16)
                first[i] = 0.030 * noise;
            else
                second[i - 16] = 0.010 * noise;
        }
        stats_series a = {.blocks_s = first, .count = 16, .batch = 20};
        stats_series b = {.blocks_s = second, .count = 12, .batch = 10};
        ASSERT_OK(stats_ratio_apart(&a, &b, (uint64_t)trial, &ratio, &err));
        assert_true(ratio.low <= ratio.point && ratio.point <= ratio.high);
        covered += ratio.low <= 1.5 && 1.5 <= ratio.high;
    }
    assert_in_range(covered, 368, 396); /* 92 % to 99 % */
}

static void ratios_apart_of_few_values(void **state)
{
    (void)state;
    be_error err = {0};
    stats_interval ratio;
    stats_series a = {.blocks_s = (double[]){4, 5, 6}, .count = 3, .batch = 1};
    stats_series b = {.blocks_s = (double[]){2}, .count = 1, .batch = 1};
    ASSERT_OK(stats_ratio_apart(&a, &b, 1, &ratio, &err));
    assert_float_equal(ratio.point, 2.5, 1e-12);
    assert_true(isnan(ratio.low) && isnan(ratio.high));
    b = (stats_series){.blocks_s = (double[]){2, 3}, .count = 2, .batch = 1};
    ASSERT_OK(stats_ratio_apart(&a, &b, 1, &ratio, &err));
    assert_float_equal(ratio.low, 4.0 / 3, 1e-12);
    assert_float_equal(ratio.high, 3, 1e-12);
    b.count = 0;
    ASSERT_FAILS(stats_ratio_apart(&a, &b, 1, &ratio, &err), BE_USAGE, "at least 1 time");
    b = (stats_series){.blocks_s = (double[]){2, 0}, .count = 2, .batch = 1};
    ASSERT_FAILS(stats_ratio_apart(&a, &b, 1, &ratio, &err), BE_NUMERIC, "positive times, found 0");
}

static void verdicts_follow_the_interval(void **state)
{
    (void)state;
    static const struct {
        stats_interval ratio;
        stats_verdict verdict;
    } cases[] = {
        {{0.90, 0.88, 0.93}, STATS_FASTER}, {{1.10, 1.02, 1.15}, STATS_SLOWER},
        {{1.10, 0.99, 1.20}, STATS_UNSURE}, {{1.00, 0.98, 1.02}, STATS_SAME},
        {{1.015, 1.01, 1.02}, STATS_SAME},  {{1.01, 0.94, 1.02}, STATS_UNSURE},
        {{1.01, 0.99, 1.06}, STATS_UNSURE}, {{0.96, 0.955, 0.965}, STATS_FASTER},
        {{0.98, 0.955, 0.999}, STATS_SAME}, {{1.03, 1.0, 1.04}, STATS_UNSURE},
        {{1.03, NAN, NAN}, STATS_UNSURE},   {{1.0, NAN, NAN}, STATS_UNSURE},
        {{NAN, NAN, NAN}, STATS_UNSURE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(stats_judge(&cases[i].ratio), cases[i].verdict);
    assert_string_equal(stats_verdict_name(STATS_FASTER), "FASTER");
    assert_string_equal(stats_verdict_name(STATS_UNSURE), "UNSURE");
}

/* ------------------------------------------------------------------- stop */

static void the_stop_rule_says_why(void **state)
{
    (void)state;
    stop_rule rule = {.min_samples = 10,
                      .max_samples = 50,
                      .min_time_s = 1,
                      .max_time_s = 10,
                      .target_relative = 0.01};
    stop_state s = {
        .samples = 10, .time_s = 1, .relative_half_width = 0.01, .ratios_settled = true};
    assert_int_equal(stop_decide(&rule, &s), STOP_PRECISE);
    s.ratios_settled = false;
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    s = (stop_state){9, 1, 0.001, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    s = (stop_state){10, 0.9, 0.001, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    s = (stop_state){49, 9.9, INFINITY, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    s = (stop_state){2, 10, 0.02, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_TIME_LIMIT);
    s = (stop_state){50, 2, 0.02, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_MAX_SAMPLES);
    rule.max_samples = 0;
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    s = (stop_state){0, 20, INFINITY, true};
    assert_int_equal(stop_decide(&rule, &s), STOP_NONE);
    assert_string_equal(stop_reason_text(STOP_PRECISE), "precise");
    assert_string_equal(stop_reason_text(STOP_TIME_LIMIT), "time limit");
}

static void ratios_settle_when_narrow_or_clear(void **state)
{
    (void)state;
    assert_true(stats_ratio_settled(&(stats_interval){1.0, 0.99, 1.01}, 0.0101, 0.1));
    assert_false(stats_ratio_settled(&(stats_interval){1.0, 0.98, 1.02}, 0.0101, 0.1));
    assert_true(stats_ratio_settled(&(stats_interval){2.0, 1.2, 2.8}, 0.01, 0.1));
    assert_true(stats_ratio_settled(&(stats_interval){0.5, 0.3, 0.9}, 0.01, 0.1));
    assert_false(stats_ratio_settled(&(stats_interval){0.5, 0.3, 0.95}, 0.01, 0.1));
    assert_false(stats_ratio_settled(&(stats_interval){0.5, NAN, NAN}, 0.01, 0.1));
}

static void blocks_are_long_enough_and_not_too_long(void **state)
{
    (void)state;
    stop_block block = {.step_s = 0.003, .clock_read_s = 50e-9, .target_s = 0.1, .limit_s = 1};
    assert_int_equal(stop_block_steps(&block), 34);
    block.step_s = 0.7;
    assert_int_equal(stop_block_steps(&block), 1);
    block.step_s = 100;
    assert_int_equal(stop_block_steps(&block), 1);
    block.step_s = 0;
    assert_int_equal(stop_block_steps(&block), 1);
    block.step_s = 1e-12;
    assert_int_equal(stop_block_steps(&block), 1000000000);
    /* A clock so slow that two readings need a block of a second to be under 0.1 % of it. */
    block = (stop_block){.step_s = 0.01, .clock_read_s = 0.5e-3, .target_s = 0.1, .limit_s = 5};
    assert_int_equal(stop_block_steps(&block), 100);
    block.limit_s = 0.5;
    assert_int_equal(stop_block_steps(&block), 50);
    static const int64_t leads[][2] = {{1, 0}, {4, 0}, {5, 1}, {10, 1}, {11, 2}, {1000, 100}};
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
        assert_int_equal(stop_lead_steps(leads[i][0]), leads[i][1]);
    double read_s = clock_read_s();
    assert_true(read_s > 1e-10 && read_s < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_type_7),
        cmocka_unit_test(medians_of_even_and_odd_counts),
        cmocka_unit_test(a_summary_says_what_it_says),
        cmocka_unit_test(the_same_seed_gives_the_same_interval),
        cmocka_unit_test(intervals_of_medians_cover),
        cmocka_unit_test(intervals_lean_to_no_side),
        cmocka_unit_test(ratios_of_few_rounds),
        cmocka_unit_test(ratios_apart_cover),
        cmocka_unit_test(ratios_apart_of_few_values),
        cmocka_unit_test(verdicts_follow_the_interval),
        cmocka_unit_test(the_stop_rule_says_why),
        cmocka_unit_test(ratios_settle_when_narrow_or_clear),
        cmocka_unit_test(blocks_are_long_enough_and_not_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
