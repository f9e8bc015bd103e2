/* Tests of what the conductor holds a contender against while it measures and after it: where it
 * worked, what is possible, its device's speed, its clock; with fakes inside the test. */
#include "conductor_fixture.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "fake.h"
#include "fake_child.h"

/* One fake alone. */
static conductor_report *alone(const conductor_contender *c, const conductor_options *options)
{
    be_error err = {0};
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(c, 1, options, &report, &err));
    return report;
}

/* ------------------------------------------------------------------ energy */

/* A package of RAPL below root, which stands at 7 J. */
static void make_counter(const char *root, char *energy, size_t room)
{
    static const char *const files[][2] = {
        {"name", "package-0\n"}, {"energy_uj", "7000000"}, {"max_energy_range_uj", "100000000000"}};
    be_error err = {0};
    for (int i = 0; i < 3; i++) {
        char folder[300], path[400];
        snprintf(folder, sizeof folder, "%s/sys/class/powercap/intel-rapl:0", root);
        ASSERT_OK(file_make_folders(folder, &err));
        snprintf(path, sizeof path, "%s/%s", folder, files[i][0]);
        support_write_file(path, files[i][1], strlen(files[i][1]));
        if (i == 1) snprintf(energy, room, "%s", path);
    }
}

/* A step adds 0.25 J to the counter, whatever the blocks. */
static void energy_is_that_of_the_blocks(void **state)
{
    (void)state;
    fake f;
    char energy[400], *root = support_make_folder();
    make_counter(root, energy, sizeof energy);
    conductor_options o = quick_options();
    o.sensors_root = root;
    conductor_contender c =
        contender(FAKE(&f, "--step", "0.005", "--spin", "--energy", energy, "250000"));
    c.job.device = "cpu";
    conductor_report *report = alone(&c, &o);
    const conductor_result *result = &report->results[0];
    assert_int_equal(result->status, BE_OK);
    assert_float_equal(result->energy_per_step_j, 0.25, 1e-6);
    assert_text(result->energy_sensor, (const char *[]){"RAPL package-0", NULL});
    conductor_report_free(report);
    /* Where there is no counter nothing is told, never 0. */
    o.sensors_root = "/nowhere";
    report = alone(&c, &o);
    assert_true(isnan(report->results[0].energy_per_step_j));
    assert_null(report->results[0].energy_sensor);
    conductor_report_free(report);
    support_remove_folder(root);
}

/* ------------------------------------------------------------------- proof */

static void work_elsewhere_is_refused(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--works-on", "cpu", "--step", "0.004"), BE_FAILED, STOP_REFUSED,
                  "fake cuda:0: expected its operations on cuda:0", "on cpu", "no speed");
}

/* The other way round: it says cpu, and the processor does nothing. */
static void a_cpu_that_idles_is_refused(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(FAKE(&f, "--step", "0.005"));
    c.job.device = "cpu";
    ASSERT_FAILED(alone(&c, &o), BE_FAILED, STOP_REFUSED, "fake cpu",
                  "uses the processor while it computes there", "runs elsewhere than it says");
}

/* Few threads at work are no proof where other programs had the processors. */
static void a_cpu_that_others_have_is_no_idle_one(void **state)
{
    (void)state;
    fake f;
    char stat[420], *root = make_proc(stat, sizeof stat);
    conductor_options o = quick_options();
    o.sensors_root = root;
    conductor_contender c =
        contender(FAKE(&f, "--step", "0.005", "--stat", stat, "--others", "0.9"));
    c.job.device = "cpu";
    conductor_report *report = alone(&c, &o);
    assert_int_equal(report->results[0].status, BE_OK);
    assert_true(warned(&report->results[0], "where it worked could not be told"));
    conductor_report_free(report);
    support_remove_folder(root);
}

static void a_runner_that_keeps_silent_is_warned_of(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    conductor_report *report = BESIDE(&o, "--works-on", "", "--step", "0.004");
    assert_true(warned(&report->results[0], "does not tell where it worked"));
    conductor_report_free(report);
    report = BESIDE(&o, "--refuse", "UNAVAILABLE:phases", "--step", "0.004");
    assert_int_equal(report->results[0].status, BE_OK);
    assert_true(warned(&report->results[0], "does not tell where it worked"));
    assert_false(warned(&report->results[1], "does not tell where it worked"));
    assert_int_equal(report->results[0].proof.launches, -1);
    assert_true(report->results[1].proof.launches > 0);
    conductor_report_free(report);
}

/* A step of 10 ms while it is slow, of 5 ms while it is as it was measured. */
static void phases_are_those_of_the_measured_step(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    o.phases_s = 0.5;
    conductor_contender c = contender(FAKE(&f, "--step", "0.005", "--spin", "--moody", "2"));
    c.job.device = "cpu";
    conductor_report *report = alone(&c, &o);
    const conductor_result *result = &report->results[0];
    assert_int_equal(result->status, BE_OK);
    json_int_t wall_ns = json_integer_value(json_object_get(result->phases, "wall_ns"));
    assert_float_equal((double)wall_ns, 5e6 * (double)result->phases_steps, 1e4);
    conductor_report_free(report);
}

static void the_impossible_is_refused(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(FAKE(&f, "--step", "0.005"));
    c.flops_per_step = 1e9;
    c.bytes_per_step = 1e6;
    c.limit_flops_per_s = 1e12;
    c.limit_bytes_per_s = 1e9;
    conductor_report *report = alone(&c, &o);
    assert_int_equal(report->results[0].status, BE_OK);
    assert_float_equal(report->results[0].proof.of_peak, 0.2, 1e-3);
    conductor_report_free(report);
    c.limit_flops_per_s = 1e9; /* so that a step would take a second */
    report = alone(&c, &o);
    assert_int_equal(report->fastest, -1);
    ASSERT_FAILED(report, BE_FAILED, STOP_REFUSED, "at most the 1 GFLOP/s",
                  "of cuda:0, found 200 GFLOP/s", "that is impossible");
}

/* -------------------------------------------------------------------- heat */

static void a_steady_device_is_not_waited_for(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(FAKE(&f, "--step", "0.005", "--reference", "0.002"));
    conductor_report *report = alone(&c, &o);
    const conductor_result *r = &report->results[0];
    assert_true(r->has_reference);
    assert_float_equal(r->heat.best_s, 0.002, 1e-9);
    assert_float_equal(r->heat.worst_s, 0.002, 1e-9);
    assert_int_equal(r->slow_blocks, 0);
    assert_float_equal(r->waited_s, 0, 0);
    assert_true(r->heat.burst_step_s >= 0.005 && r->heat.sustained_step_s >= 0.005);
    assert_false(warned(r, "best speed"));
    conductor_report_free(report);
}

static void without_a_reference_nothing_is_known(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(FAKE(&f, "--step", "0.005"));
    conductor_report *report = alone(&c, &o);
    assert_int_equal(report->results[0].status, BE_OK);
    assert_false(report->results[0].has_reference);
    assert_true(isnan(report->results[0].heat.burst_step_s));
    conductor_report_free(report);
}

/* Hot for a while: it is waited for until it recovers, and what was slow is counted. */
static void a_hot_device_is_waited_for(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(FAKE(&f, "--step", "0.005", "--reference", "0.002", "--hot",
                                           "1.5", "--hot-from", "8", "--hot-for", "9"));
    o.stop.max_time_s = 5;
    conductor_report *report = alone(&c, &o);
    const conductor_result *r = &report->results[0];
    assert_int_equal(r->status, BE_OK);
    assert_float_equal(r->heat.worst_s, 0.003, 1e-9);
    assert_in_range(r->slow_blocks, 1, 2);
    assert_true(r->waited_s >= 0.05 && r->waited_s < 0.2);
    conductor_report_free(report);
}

/* It stays hot: the wait ends, and the result says it. */
static void waiting_ends(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    conductor_contender c = contender(
        FAKE(&f, "--step", "0.005", "--reference", "0.002", "--hot", "1.35", "--hot-from", "6"));
    o.stop.min_samples = o.stop.max_samples = 10;
    o.cool_limit_s = 0.2;
    conductor_report *report = alone(&c, &o);
    const conductor_result *r = &report->results[0];
    assert_int_equal(r->status, BE_OK);
    assert_int_equal(r->count, 10);
    assert_in_range(r->slow_blocks, 9, 10);
    assert_true(r->waited_s > 0.3 && r->waited_s < 0.4 + 0.1); /* a fifth of max_time_s */
    assert_true(warned(r, "the device ran at 0.74 of its best speed in"));
    assert_true(warned(r, "of 10 blocks: burst "));
    conductor_report_free(report);
}

/* A reference that grows slow means heat only where the steps grow with it. */
static void heat_shows_in_the_steps(void **state)
{
    (void)state;
    static const char *const factors[] = {"1", "1.3"};
    for (int grew = 0; grew < 2; grew++) {
        fake f;
        conductor_options o = quick_options();
        conductor_contender c =
            contender(FAKE(&f, "--step", "0.005", "--reference", "0.002", "--hot", "1.35",
                           "--hot-from", "12", "--hot-step", factors[grew]));
        o.stop.min_samples = o.stop.max_samples = 12;
        o.cool_limit_s = 0.01;
        conductor_report *report = alone(&c, &o);
        const conductor_result *r = &report->results[0];
        assert_float_equal(r->heat.burst_step_s, 0.005, 1e-9);
        assert_float_equal(r->heat.sustained_step_s, grew ? 0.0065 : 0.005, 1e-9);
        assert_int_equal(warned(r, "let the machine cool"), grew);
        assert_int_equal(warned(r, "a step; its steps did not grow longer, so rather than heat it "
                                   "is other programs, or threads of its own that still wait"),
                         !grew);
        conductor_report_free(report);
    }
}

/* ------------------------------------------------------------------ clocks */

static void a_clock_that_jumps_is_found(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--jump", "7", "--at", "9", "--step", "0.005"), BE_FAILED,
                  STOP_REFUSED, "the runner's clock is wrong");
    /* Backwards, once: it can only have claimed less than nothing; one short block is no median. */
    conductor_report *report = BESIDE(&o, "--jump", "-7", "--at", "19", "--step", "0.005");
    const conductor_result *r = &report->results[0];
    assert_int_equal(r->status, BE_OK);
    assert_float_equal(r->step.median.point, 0.005, 1e-6);
    conductor_report_free(report);
}

static conductor_report *noisy_pair(const char *seed, const char *other_seed)
{
    be_error err = {0};
    fake f[2];
    conductor_options o = quick_options();
    o.stop.max_samples = 0;
    o.stop.max_time_s = 1;
    conductor_contender both[] = {
        contender(FAKE(&f[0], "--step", "0.002", "--noise", "0.4", "--seed", seed)),
        contender(FAKE(&f[1], "--step", "0.002", "--noise", "0.4", "--seed", other_seed))};
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
    assert_true(report->elapsed_s < 6); /* a second each, and what comes before and after */
    return report;
}

/* So noisy that nothing can be decided: UNSURE and why, within the time limit.  Intervals of 95 %
 * are wrong once in twenty; twice in a row they are not. */
static void noise_ends_unsure_with_its_reason(void **state)
{
    (void)state;
    conductor_report *report = noisy_pair("1", "2");
    if (report->results[0].verdict != STATS_UNSURE) {
        conductor_report_free(report);
        report = noisy_pair("3", "4");
    }
    const conductor_result *r = &report->results[0];
    if (r->verdict != STATS_UNSURE) fail_msg("%s", stats_verdict_name(r->verdict));
    assert_int_equal(r->stop, STOP_TIME_LIMIT);
    ASSERT_TEXT(r->unsure, "the ratio of the two lies between", "(time limit)", "spread by",
                "--max-time");
    ASSERT_TEXT(report->results[1].unsure, "the ratio of the two lies between");
    conductor_report_free(report);
}

/* Losses that rise though the first one was right. */
static void a_training_that_diverges_is_refused(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    o.stop.min_samples = o.stop.max_samples = 8;
    be_error err = {0};
    fake f;
    conductor_contender c = contender(FAKE(&f, "--step", "0.002", "--rise", "1"));
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(&c, 1, &o, &report, &err));
    assert_true(warned(&report->results[0], "not compared with the reference"));
    ASSERT_FAILED(report, BE_NUMERIC, STOP_REFUSED, "expected a loss that falls",
                  "rose from 3.3 to", "gets no speed");
}

/* A large network's first steps, at a rate that its momentum lets overshoot. */
static void a_loss_that_rises_for_some_steps_is_told(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    o.stop.min_samples = o.stop.max_samples = 8;
    be_error err = {0};
    fake f;
    conductor_contender c = contender(FAKE(&f, "--step", "0.05", "--rise", "1"));
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(&c, 1, &o, &report, &err));
    const conductor_result *r = &report->results[0];
    if (r->status != BE_OK) fail_msg("%s", r->error.text);
    assert_true(r->count * r->block_steps < 100);
    assert_true(warned(r, "its loss rose from 3.3 to"));
    assert_true(r->step.count >= 8);
    conductor_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_is_that_of_the_blocks),
        cmocka_unit_test(a_loss_that_rises_for_some_steps_is_told),
        cmocka_unit_test(work_elsewhere_is_refused),
        cmocka_unit_test(a_cpu_that_idles_is_refused),
        cmocka_unit_test(a_cpu_that_others_have_is_no_idle_one),
        cmocka_unit_test(a_runner_that_keeps_silent_is_warned_of),
        cmocka_unit_test(phases_are_those_of_the_measured_step),
        cmocka_unit_test(the_impossible_is_refused),
        cmocka_unit_test(a_steady_device_is_not_waited_for),
        cmocka_unit_test(without_a_reference_nothing_is_known),
        cmocka_unit_test(a_hot_device_is_waited_for),
        cmocka_unit_test(waiting_ends),
        cmocka_unit_test(heat_shows_in_the_steps),
        cmocka_unit_test(a_clock_that_jumps_is_found),
        cmocka_unit_test(noise_ends_unsure_with_its_reason),
        cmocka_unit_test(a_training_that_diverges_is_refused),
    };
    return cmocka_run_group_tests(tests, fake_child_set_up, NULL);
}
