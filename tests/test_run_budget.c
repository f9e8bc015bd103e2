/* Tests of a measurement that has a budget, on a clock of the test's own (fake_child.h): whatever
 * the contenders do and however many there are, it ends in time, and who gets none is told. */
#include "conductor_fixture.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "fake.h"
#include "fake_child.h"

#define WHOLE_S 40
#define MANY 24

static double since(int64_t began_ns)
{
    return (double)(clock_now_ns() - began_ns) * 1e-9;
}

static conductor_options budgeted(void)
{
    conductor_options options = quick_options();
    options.stop.min_samples = 10;
    options.stop.max_samples = 400;
    options.stop.max_time_s = 10;
    options.start_limit_s = options.prepare_limit_s = options.first_limit_s = 300;
    options.run_limit_s = 60;
    options.budget.whole_s = WHOLE_S;
    options.budget_from_ns = clock_now_ns();
    return options;
}

/* How many of `count` contenders of this kind, which end in time, have a speed. */
static int measured_of(int count, const char *const *wishes)
{
    be_error err = {0};
    static fake fakes[MANY];
    conductor_contender all[MANY];
    conductor_report *report = NULL;
    conductor_options options = budgeted();
    for (int i = 0; i < count; i++) all[i] = contender(fake_fill(&fakes[i], wishes));
    ASSERT_OK(conductor_run(all, count, &options, &report, &err));
    double took_s = since(options.budget_from_ns);
    if (!(took_s <= WHOLE_S)) fail_msg("%d contenders with %s took %g s", count, *wishes, took_s);
    int measured = 0;
    for (int i = 0; i < count; i++) {
        const conductor_result *r = &report->results[i];
        measured += r->status == BE_OK && r->samples_per_s > 0;
        if (r->status == BE_OK) continue;
        assert_int_equal(r->status, BE_UNAVAILABLE);
        assert_int_equal(r->stop, STOP_LEFT_OUT);
        ASSERT_TEXT(r->error.text, "fake on cuda:0", "no time was left", "of the 40 s",
                    "breakeven bench");
    }
    conductor_report_free(report);
    return measured;
}

#define MEASURED_OF(count, ...) measured_of((count), (const char *[]){__VA_ARGS__, NULL})

static void few_have_all_the_time_that_they_need(void **state)
{
    (void)state;
    assert_int_equal(MEASURED_OF(1, "--step", "0.002"), 1);
    assert_int_equal(MEASURED_OF(6, "--step", "0.002", "--noise", "0.2"), 6);
}

static void many_end_in_time(void **state)
{
    (void)state;
    assert_true(MEASURED_OF(MANY, "--step", "0.002", "--noise", "0.3") > 0);
}

static void slow_ones_end_in_time(void **state)
{
    (void)state;
    int measured = MEASURED_OF(MANY, "--first", "6", "--step", "0.002");
    assert_in_range(measured, 1, MANY / 2);
    assert_int_equal(MEASURED_OF(3, "--first", "50", "--step", "0.002"), 0);
    (void)MEASURED_OF(MANY, "--step", "0.7");
}

/* Of steps that take seconds no more are done than are measured: beside those the first one, one to
 * warm up, one to check, and one that is taken apart. */
static void long_steps_are_not_wasted(void **state)
{
    (void)state;
    be_error err = {0};
    fake fakes[2];
    conductor_contender both[2];
    conductor_report *report = NULL;
    conductor_options options = budgeted();
    const double step_s = 2.5;
    options.stop.max_time_s = 8;
    options.budget.whole_s = 0;
    for (int i = 0; i < 2; i++) both[i] = contender(FAKE(&fakes[i], "--step", "2.5"));
    ASSERT_OK(conductor_run(both, 2, &options, &report, &err));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(report->results[i].status, BE_OK);
        assert_int_equal(report->results[i].count, 4); /* the first beyond 8 s */
        assert_int_equal(report->results[i].phases_steps, 1);
    }
    if (!(report->elapsed_s < 2 * (4 + 4) * step_s + 1)) fail_msg("took %g s", report->elapsed_s);
    conductor_report_free(report);
    /* Work that is left behind is seen nevertheless. */
    both[0] = contender(FAKE(&fakes[0], "--step", "10", "--unsynchronised"));
    ASSERT_OK(conductor_run(both, 1, &options, &report, &err));
    assert_int_equal(report->results[0].stop, STOP_REFUSED);
    ASSERT_TEXT(report->results[0].error.text, "does not wait for its device");
    conductor_report_free(report);
}

/* Of slow starters the one on an accelerator is measured, however late it is named. */
static void accelerators_start_first(void **state)
{
    (void)state;
    be_error err = {0};
    fake fakes[MANY];
    conductor_contender all[MANY];
    conductor_report *report = NULL;
    conductor_options options = budgeted();
    for (int i = 0; i < MANY; i++) {
        all[i] = contender(
            fake_fill(&fakes[i], (const char *[]){"--first", "6", "--step", "0.002", NULL}));
        if (i + 1 < MANY) all[i].job.device = "cpu";
    }
    ASSERT_OK(conductor_run(all, MANY, &options, &report, &err));
    assert_int_equal(report->results[MANY - 1].status, BE_OK);
    assert_int_equal(report->results[MANY - 2].status, BE_UNAVAILABLE);
    conductor_report_free(report);
}

/* Nothing is left when it begins: no runner is started. */
static void who_comes_late_is_not_started(void **state)
{
    (void)state;
    be_error err = {0};
    fake a;
    conductor_options options = budgeted();
    conductor_contender one = contender(FAKE(&a, "--step", "0.002"));
    conductor_report *report = NULL;
    clock_sleep_ns((int64_t)(WHOLE_S + 1) * 1000000000);
    int64_t began_ns = clock_now_ns();
    ASSERT_OK(conductor_run(&one, 1, &options, &report, &err));
    assert_true(since(began_ns) < 0.001);
    assert_int_equal(report->rounds, 0);
    assert_int_equal(report->results[0].stop, STOP_LEFT_OUT);
    assert_true(isnan(report->results[0].start_s));
    conductor_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_have_all_the_time_that_they_need),
        cmocka_unit_test(many_end_in_time),
        cmocka_unit_test(slow_ones_end_in_time),
        cmocka_unit_test(long_steps_are_not_wasted),
        cmocka_unit_test(accelerators_start_first),
        cmocka_unit_test(who_comes_late_is_not_started),
    };
    return cmocka_run_group_tests(tests, fake_child_set_up, NULL);
}
