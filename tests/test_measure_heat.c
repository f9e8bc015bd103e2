/* Tests of heat: which readings are slow, what blocks are counted, how long is waited, burst and
 * sustained. */
#include "support.h"

#include <math.h>

#include "measure/heat.h"

static void readings_are_slow_beside_the_best(void **state)
{
    (void)state;
    be_error err = {0};
    heat h;
    heat_begin(&h);
    assert_false(heat_is_slow(&h, 1));
    ASSERT_OK(heat_add(&h, 0.0020, &err));
    ASSERT_OK(heat_add(&h, 0.0030, &err));
    ASSERT_OK(heat_add(&h, 0.0021, &err));
    assert_true(heat_is_slow(&h, 0.00221));
    assert_false(heat_is_slow(&h, 0.00219));
    assert_false(heat_is_slow(&h, NAN));
    assert_false(heat_count_block(&h, 0.0020, 0.0021));
    assert_true(heat_count_block(&h, 0.0025, 0.0020));
    assert_true(heat_count_block(&h, 0.0020, 0.0025));
    assert_false(heat_count_block(&h, NAN, NAN));
    assert_int_equal(h.slow_blocks, 2);
    heat_summary s;
    const double steps_s[] = {1, 2, 9, 4, 5, 6, 20, 30, 40};
    ASSERT_OK(heat_summarize(&h, steps_s, 9, &s, &err));
    assert_float_equal(s.best_s, 0.0020, 0);
    assert_float_equal(s.median_s, 0.0021, 0);
    assert_float_equal(s.worst_s, 0.0030, 0);
    assert_float_equal(s.slow_speed, 0.8, 1e-9);
    assert_float_equal(s.burst_step_s, 2, 0);
    assert_float_equal(s.sustained_step_s, 30, 0);
    heat_free(&h);
}

static void nothing_is_known_without_readings(void **state)
{
    (void)state;
    be_error err = {0};
    heat h;
    heat_summary s;
    heat_begin(&h);
    ASSERT_OK(heat_summarize(&h, (double[]){1, 2}, 2, &s, &err));
    assert_true(isnan(s.best_s) && isnan(s.median_s) && isnan(s.burst_step_s));
    ASSERT_OK(heat_add(&h, 0.002, &err));
    ASSERT_OK(heat_summarize(&h, NULL, 0, &s, &err));
    assert_true(isnan(s.best_s) && isnan(s.sustained_step_s));
    ASSERT_OK(heat_summarize(&h, (double[]){7}, 1, &s, &err));
    assert_float_equal(s.burst_step_s, 7, 0);
    assert_float_equal(s.sustained_step_s, 7, 0);
    assert_true(isnan(s.slow_speed));
    heat_free(&h);
}

static void patience_ends(void **state)
{
    (void)state;
    heat h;
    heat_begin(&h);
    assert_float_equal(heat_patience_s(&h, 1, 2), 1, 0);
    h.waited_s = 1.5;
    assert_float_equal(heat_patience_s(&h, 1, 2), 0.5, 1e-12);
    h.waited_s = 2.1;
    assert_float_equal(heat_patience_s(&h, 1, 2), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readings_are_slow_beside_the_best),
        cmocka_unit_test(nothing_is_known_without_readings),
        cmocka_unit_test(patience_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
