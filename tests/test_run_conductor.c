/* Tests of the conductor with fakes inside the test (fake_child.h): the order of the blocks, the
 * numbers, and every way in which a runner can fail or cheat while the others go on. */
#include <math.h>
#include <string.h>

#include "conductor_fixture.h"
#include "core/file.h"
#include "core/memory.h"
#include "core/topology.h"
#include "fake.h"
#include "fake_child.h"

#define LANES 3

/* ------------------------------------------------------------------ sound */

static void numbers_of_a_sound_contender(void **state)
{
    (void)state;
    be_error err = {0};
    fake f;
    conductor_options options = quick_options();
    conductor_contender one = contender(
        FAKE(&f, "--step", "0.005", "--first", "0.2", "--memory", "64", "--warning", "beware\n!"));
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(&one, 1, &options, &report, &err));
    const conductor_result *r = &report->results[0];
    assert_int_equal(r->status, BE_OK);
    assert_string_equal(r->engine, "fake");
    assert_string_equal(r->engine_version, "1.0");
    assert_string_equal(json_string_value(json_object_get(r->libraries, "blas")), "none");
    assert_string_equal(r->device_name, "a fake processor");
    assert_string_equal(r->implementation, "sleep");
    assert_string_equal(r->precision, "fp32");
    assert_int_equal(r->threads, 1);
    assert_int_equal(r->parameters, 37250);
    assert_float_equal(r->start_s, 0.05, 1e-4);
    assert_float_equal(r->prepare_s, 0.001, 1e-9);
    assert_float_equal(r->first_step_s, 0.205, 1e-9);
    assert_float_equal(r->first_loss, 2.3, 1e-9);
    assert_int_equal(r->block_steps, 6);
    assert_in_range(r->count, 4, 6);
    assert_float_equal(r->step.median.point, 0.005, 1e-9);
    assert_true(r->step.median.low <= r->step.median.point);
    assert_float_equal(r->samples_per_s, 100 / r->step.median.point, 1e-6);
    assert_float_equal(r->busy_threads, 0, 0);
    assert_int_equal(r->peak_rss_bytes, 80 << 20);
    assert_int_equal(r->stop, STOP_PRECISE);
    assert_true(warned(r, "beware !"));
    assert_string_equal(r->ending, "exited with 0");
    assert_int_equal(report->fastest, 0);
    assert_true(isnan(r->ratio.point));
    conductor_report_free(report);
}

/* A pool's runner takes part again without a start, and what only a start tells is unknown then.
 * One that fails where it had worked before is replaced. */
static void runners_of_a_pool_are_used_again(void **state)
{
    (void)state;
    be_error err = {0};
    fake f;
    pool pool = {0};
    conductor_options options = quick_options();
    options.pool = &pool;
    conductor_contender one = contender(FAKE(&f, "--step", "0.004", "--prepares", "2"));
    conductor_report *reports[4];
    for (int i = 0; i < 4; i++) {
        if (i == 1) one.job.batch = 50;
        ASSERT_OK(conductor_run(&one, 1, &options, &reports[i], &err));
        if (reports[i]->results[0].status != BE_OK)
            fail_msg("%s", reports[i]->results[0].error.text);
        assert_int_equal(pool.count, 1);
        assert_null(reports[i]->results[0].ending);
        /* The third one finds a runner that has no memory for a third job. */
        bool reused = i == 1 || i == 3;
        assert_int_equal(isnan(reports[i]->results[0].start_s), reused);
        assert_int_equal(isnan(reports[i]->results[0].first_step_s), reused);
        assert_int_equal(reports[i]->results[0].peak_rss_bytes == -1, reused);
        assert_float_equal(reports[i]->results[0].step.median.point, 0.004, 1e-9);
    }
    /* Another number of threads is another process; one that is caught is not kept. */
    one.job.threads = 2;
    conductor_report *other = NULL;
    ASSERT_OK(conductor_run(&one, 1, &options, &other, &err));
    assert_false(isnan(other->results[0].start_s));
    assert_int_equal(pool.count, 2);
    fake bad;
    conductor_contender caught = contender(FAKE(&bad, "--fault", "nan", "--at", "2"));
    conductor_report *refused = NULL;
    ASSERT_OK(conductor_run(&caught, 1, &options, &refused, &err));
    assert_text(refused->results[0].error.text, (const char *[]){"expected a finite loss", NULL});
    assert_int_equal(pool.count, 2);
    for (int i = 0; i < 4; i++) conductor_report_free(reports[i]);
    conductor_report_free(other);
    conductor_report_free(refused);
    assert_int_equal(fake_child_count, 2);
    pool_clear(&pool);
    assert_int_equal(pool.count, 0);
    assert_int_equal(fake_child_count, 0);
}

typedef struct journal {
    char order[256];
    int length;
    conductor_phase last[LANES];
    bool backwards;
} journal;

static void note(void *context, const conductor_progress *p)
{
    journal *j = context;
    if (p->phase == CONDUCTOR_MEASURE && j->length < 255)
        j->order[j->length++] = (char)('A' + p->contender);
    if (p->phase < j->last[p->contender]) j->backwards = true;
    j->last[p->contender] = p->phase;
}

static void blocks_are_interleaved_in_turning_order(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[LANES];
    journal j = {0};
    conductor_options options = quick_options();
    options.progress = note;
    options.context = &j;
    options.stop.min_samples = options.stop.max_samples = 4;
    conductor_contender all[] = {contender(FAKE(&f[0], "--step", "0.010")),
                                 contender(FAKE(&f[1], "--step", "0.003")),
                                 contender(FAKE(&f[2], "--step", "0.006"))};
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(all, LANES, &options, &report, &err));
    assert_string_equal(j.order, "ABCCBAABCCBA");
    assert_false(j.backwards);
    assert_int_equal(report->fastest, 1);
    assert_int_equal(report->results[0].verdict, STATS_SLOWER);
    assert_int_equal(report->results[1].verdict, STATS_FASTER);
    assert_int_equal(report->results[2].verdict, STATS_SLOWER);
    assert_float_equal(report->results[0].ratio.point, 10.0 / 3, 1e-6);
    assert_float_equal(report->results[1].ratio.point, 0.5, 1e-6);
    conductor_report_free(report);
}

static void contenders_are_compared_by_the_sample(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[2];
    conductor_options options = quick_options();
    conductor_contender both[] = {contender(FAKE(&f[0], "--step", "0.004")),
                                  contender(FAKE(&f[1], "--step", "0.008"))};
    both[1].job.batch = 1000;
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(both, 2, &options, &report, &err));
    assert_int_equal(report->fastest, 1);
    assert_float_equal(report->results[0].ratio.point, 5, 1e-6);
    conductor_report_free(report);
}

/* Two fakes alike are SAME, one that takes 5 % longer is found, though each block is disturbed. */
static void a_planted_difference_is_found(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[LANES];
    conductor_options options = conductor_options_default();
    options.sensors_root = "/nowhere";
    conductor_contender all[] = {
        contender(FAKE(&f[0], "--step", "0.010", "--spin", "--noise", "0.02", "--seed", "1")),
        contender(FAKE(&f[1], "--step", "0.010", "--spin", "--noise", "0.02", "--seed", "2")),
        contender(FAKE(&f[2], "--step", "0.0105", "--spin", "--noise", "0.02", "--seed", "3"))};
    for (int i = 0; i < LANES; i++) all[i].job.device = "cpu";
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(all, LANES, &options, &report, &err));
    assert_verdict(report, 0, 1, STATS_SAME);
    assert_verdict(report, 0, 2, STATS_FASTER);
    assert_verdict(report, 2, 1, STATS_SLOWER);
    assert_float_equal(report->results[0].busy_threads, 1, 0.01);
    conductor_report_free(report);
}

/* Who has fewer threads than the machine works on the same cores as its rivals, and nobody else is
 * bound. */
static void like_contenders_get_the_same_cores(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[LANES];
    conductor_options options = quick_options();
    int processors = topology_get()->threads;
    conductor_contender all[] = {contender(FAKE(&f[0], "--where", "--spin")),
                                 contender(FAKE(&f[1], "--where", "--spin")),
                                 contender(FAKE(&f[2], "--where"))};
    all[0].job.device = all[1].job.device = "cpu";
    conductor_report *report = NULL;
#ifdef __linux__
    if (processors < 2) skip();
#else
    skip();
#endif
    ASSERT_OK(conductor_run(all, LANES, &options, &report, &err));
    for (int i = 0; i < 2; i++) {
        if (report->results[i].status != BE_OK) fail_msg("%s", report->results[i].error.text);
        assert_string_equal(report->results[i].processors, report->results[0].processors);
        assert_string_equal(report->results[i].processors, report->results[i].implementation);
        assert_null(strchr(report->results[i].processors, ','));
    }
    int commas = 0;
    for (const char *c = report->results[2].implementation; *c; c++) commas += *c == ',';
    assert_null(report->results[2].processors);
    assert_int_equal(commas + 1, processors);
    conductor_report_free(report);
}

/* ----------------------------------------------------------------- broken */

/* What each end is told as: test_run_runner.c. */
static void a_runner_that_ends_is_explained(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--fault", "exit"), BE_IO, STOP_FAILED, "fake cuda:0, request run",
                  "exited with 3");
    conductor_report *report = BESIDE(&o, "--fault", "exit", "--at", "9");
    assert_string_equal(report->results[0].log, "fake: now exit");
    ASSERT_FAILED(report, BE_IO, STOP_FAILED, "exited with 3");
}

/* A hang costs its own limit, 1 s and 20 times the block, and nothing after it. */
static void a_runner_that_hangs_is_killed(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    conductor_report *report = BESIDE(&o, "--fault", "hang", "--at", "3");
    assert_true(report->elapsed_s > 1 && report->elapsed_s < 3);
    ASSERT_FAILED(report, BE_FAILED, STOP_FAILED, "fake cuda:0, request run",
                  "hung and was killed");
    o.first_limit_s = 7;
    report = BESIDE(&o, "--fault", "hang");
    assert_true(report->elapsed_s > 7 && report->elapsed_s < 9);
    ASSERT_FAILED(report, BE_FAILED, STOP_FAILED, "fake cuda:0, request run",
                  "hung and was killed");
}

static void a_runner_that_breaks_the_protocol_is_refused(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--fault", "rubbish"), BE_BAD_DATA, STOP_FAILED, "one JSON object",
                  "'?[31mEpoch 1/10: loss 2.3'", "nothing else to its standard output");
    ASSERT_FAILED(BESIDE(&o, "--fault", "null"), BE_BAD_DATA, STOP_FAILED,
                  "expected \"steps\" to be 1, found null");
    ASSERT_FAILED(BESIDE(&o, "--fault", "steps"), BE_BAD_DATA, STOP_FAILED,
                  "expected \"steps\" to be 1, found 7");
    ASSERT_FAILED(BESIDE(&o, "--engine", "other"), BE_BAD_DATA, STOP_FAILED,
                  "expected the engine 'fake', found a runner of 'other'");
}

static void what_a_runner_refuses_is_passed_on(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--refuse", "NO_MEMORY:prepare"), BE_NO_MEMORY, STOP_FAILED,
                  "fake cuda:0: prepare: expected mercy, found none");
    ASSERT_FAILED(BESIDE(&o, "--refuse", "UNAVAILABLE:hello"), BE_UNAVAILABLE, STOP_FAILED,
                  "expected mercy");
    ASSERT_FAILED(BESIDE(&o, "--refuse", "NUMERIC:run"), BE_NUMERIC, STOP_FAILED, "mercy");
    ASSERT_FAILED(BESIDE(&o, "--refuse", "OK:run"), BE_BAD_DATA, STOP_FAILED,
                  "expected \"status\" to be one of", "found \"OK\"");
}

static void a_missing_program_or_device_is_unavailable(void **state)
{
    (void)state;
    be_error err = {0};
    fake f;
    conductor_options o = quick_options();
    conductor_contender two[] = {
        contender((const char *[]){"/nonexistent/runner", NULL}),
        contender(FAKE(&f, "--step", "0.001")),
    };
    two[1].job.device = "cuda:5";
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(two, 2, &o, &report, &err));
    assert_int_equal(report->fastest, -1);
    assert_int_equal(report->results[0].status, BE_UNAVAILABLE);
    ASSERT_TEXT(report->results[0].error.text, "/nonexistent/runner", "there is no such fake");
    assert_int_equal(report->results[1].status, BE_UNAVAILABLE);
    ASSERT_TEXT(report->results[1].error.text, "(cpu, cuda:0), found 'cuda:5'");
    conductor_report_free(report);
    ASSERT_FAILS(conductor_run(two, 0, &o, &report, &err), BE_USAGE, "at least 1 contender");
    assert_null(report);
}

/* --------------------------------------------------------------- cheating */

static void an_unsynchronised_runner_is_flagged(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--unsynchronised", "--step", "0.005"), BE_FAILED, STOP_REFUSED,
                  "does not wait for its device", "refused");
    ASSERT_FAILED(BESIDE(&o, "--unsynchronised-silent", "--step", "0.005"), BE_FAILED, STOP_REFUSED,
                  "does not wait for its device");
}

static void a_runner_that_lies_about_time_is_refused(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--claim", "0.5", "--step", "0.005"), BE_FAILED, STOP_REFUSED,
                  "leaves work out of its time");
    ASSERT_FAILED(BESIDE(&o, "--claim", "3", "--step", "0.005"), BE_FAILED, STOP_REFUSED,
                  "the runner's clock is wrong");
    ASSERT_FAILED(BESIDE(&o, "--constant", "--step", "0.005"), BE_FAILED, STOP_REFUSED,
                  "twice the steps to take about twice the time, found");
}

/* What is late for want of a processor looks like a lie; where others have the processors, nobody
 * is accused. */
static void a_busy_machine_is_no_lie(void **state)
{
    (void)state;
    static const struct {
        const char *faults[7];
        const char *refused, *warned;
    } kinds[] = {
        {{"--late", "0.05", "--at", "9"}, "leaves work out of its time", "its answers came late"},
        {{"--unsynchronised"}, "does not wait for its device", "its answers came late"},
        {{"--constant"}, "twice the steps to take about twice", "take twice the time could not be"},
    };
    char stat[420], *root = make_proc(stat, sizeof stat);
    conductor_options o = quick_options();
    o.sensors_root = root;
    o.stop.min_samples = o.stop.max_samples = 12;
    for (int i = 0; i < 6; i++) {
        be_error err = {0};
        fake f;
        const char *words[20] = {"--step", "0.005", "--stat", stat, "--others", i % 2 ? "1" : "0"};
        memcpy(words + 6, kinds[i / 2].faults, sizeof kinds->faults);
        conductor_contender one = contender(fake_fill(&f, words));
        conductor_report *report = NULL;
        ASSERT_OK(conductor_run(&one, 1, &o, &report, &err));
        if (i % 2 == 0) {
            ASSERT_FAILED(report, BE_FAILED, STOP_REFUSED, kinds[i / 2].refused);
            continue;
        }
        assert_int_equal(report->results[0].status, BE_OK);
        assert_true(warned(&report->results[0], kinds[i / 2].warned));
        assert_true(warned(&report->results[0], "other programs used "));
        conductor_report_free(report);
    }
    support_remove_folder(root);
}

/* The other contenders are no strangers: who lies beside one that keeps the processors busy is
 * refused all the same. */
static void who_is_measured_beside_is_no_excuse(void **state)
{
    (void)state;
    be_error err = {0};
    char stat[420], *root = make_proc(stat, sizeof stat);
    conductor_options o = quick_options();
    o.sensors_root = root;
    o.stop.min_samples = o.stop.max_samples = 12;
    for (int at = 8; at < 14; at++) { /* wherever in their turns it begins */
        fake liar, busy;
        char text[20];
        snprintf(text, sizeof text, "%d", at);
        conductor_contender both[] = {
            contender(FAKE(&liar, "--step", "0.005", "--late", "0.05", "--at", text)),
            contender(FAKE(&busy, "--step", "0.05", "--spin", "64", "--stat", stat))};
        both[1].job.device = "cpu";
        conductor_report *report = NULL;
        ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
        assert_false(warned(&report->results[0], "its answers came late"));
        ASSERT_FAILED(report, BE_FAILED, STOP_REFUSED, "leaves work out of its time");
    }
    support_remove_folder(root);
}

static void wrong_numbers_get_no_speed(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    ASSERT_FAILED(BESIDE(&o, "--fault", "nan"), BE_NUMERIC, STOP_FAILED, "expected a finite loss");
    ASSERT_FAILED(BESIDE(&o, "--precision", "tf32"), BE_UNAVAILABLE, STOP_REFUSED,
                  "expected precision fp32, found that it computes in tf32");
    o.loss_band = 0.01;
    o.reference_loss = 2.3;
    ASSERT_FAILED(BESIDE(&o, "--loss", "2.4"), BE_NUMERIC, STOP_REFUSED, "2.3 as the reference",
                  "found 2.4");
    o.loss_band = 0.05;
    conductor_report *report = BESIDE(&o, "--loss", "2.4", "--step", "0.004");
    assert_int_equal(report->results[0].status, BE_OK);
    conductor_report_free(report);
}

/* Whose gate was smaller than the job are held against each other at full size. */
static void losses_at_full_size_must_agree(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[3];
    conductor_options o = quick_options();
    gate_result losses[3];
    conductor_contender c[3];
    conductor_report *report = NULL;
    for (int i = 0; i < 3; i++) {
        losses[i] = (gate_result){.steps = 3, .band = 1e-4, .loss_count = 2, .losses = {2.3, 2.2}};
        c[i] = contender(FAKE(&f[i], "--step", "0.004"));
        c[i].passed = &losses[i];
    }
    losses[1].losses[1] = 2.21;
    ASSERT_OK(conductor_run(c, 3, &o, &report, &err));
    assert_int_equal(report->results[0].status, BE_OK);
    assert_int_equal(report->results[1].status, BE_NUMERIC);
    assert_int_equal(report->results[1].stop, STOP_REFUSED);
    ASSERT_TEXT(report->results[1].error.text, "2.2 in step 2 (within 0.001 of it), found 2.21");
    assert_int_equal(report->results[2].status, BE_OK);
    conductor_report_free(report);
}

/* ------------------------------------------------------------- neighbours */

static void threads_that_spin_on_are_waited_for(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[2];
    conductor_options o = quick_options();
    conductor_contender both[] = {contender(FAKE(&f[0], "--spin-after", "0.04")),
                                  contender(FAKE(&f[1], "--spin-after", "0.4"))};
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
    assert_false(warned(&report->results[0], "OMP_WAIT_POLICY"));
    assert_true(warned(&report->results[1], "still spun 0.15 s after its blocks"));
    assert_true(warned(&report->results[1], "OMP_WAIT_POLICY=passive"));
    conductor_report_free(report);
    /* It settles in time, but works on its own while the other is measured. */
    both[0].argv = FAKE(&f[0], "--spin-after", "0.14");
    both[1].argv = FAKE(&f[1], "--spin-after", "0.17", "--step", "0.002");
    o.settle_limit_s = 0.02;
    ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
    assert_true(warned(&report->results[0], "still spun 0.02 s after its blocks"));
    conductor_report_free(report);
}

static void another_number_of_threads_is_warned_of(void **state)
{
    (void)state;
    conductor_options o = quick_options();
    conductor_report *report = BESIDE(&o, "--threads", "3", "--step", "0.004");
    assert_int_equal(report->results[0].threads, 3);
    assert_true(warned(&report->results[0], "asked for 1 threads, runs on 3"));
    conductor_report_free(report);
}

/* Whichever allocation fails, there is a report or a status, and nothing is left behind (the
 * sanitizer tells). */
static void failing_allocations_end_in_order(void **state)
{
    (void)state;
    fake f;
    conductor_options o = quick_options();
    o.block_s = 0.002;
    o.warm_up_s = 0;
    o.stop.min_samples = o.stop.max_samples = 2;
    conductor_contender one = contender(FAKE(&f, "--step", "0.0005", "--warning", "w"));
    int whole = 0, lanes = 0, reports = 0;
    for (size_t n = 1; n <= 40; n++) {
        be_error err = {0};
        conductor_report *report = NULL;
        memory_fail_at(n);
        be_status status = conductor_run(&one, 1, &o, &report, &err);
        memory_fail_at(0);
        assert_true(status == BE_OK || status == BE_NO_MEMORY);
        assert_int_equal(report != NULL, status == BE_OK);
        whole += status == BE_NO_MEMORY;
        lanes += report && report->results[0].status == BE_NO_MEMORY;
        reports += report && report->results[0].status == BE_OK;
        conductor_report_free(report);
    }
    assert_true(whole >= 3 && lanes >= 1 && reports >= 1);
    assert_int_equal(fake_child_count, 0);
}

static volatile sig_atomic_t interrupted;

static void interrupt(void)
{
    interrupted = SIGINT;
}

static void an_interruption_ends_all(void **state)
{
    (void)state;
    be_error err = {0};
    fake f[2];
    conductor_options o = quick_options();
    o.interrupted = &interrupted;
    o.run_limit_s = 60;
    conductor_contender both[] = {contender(FAKE(&f[0], "--step", "0.004")),
                                  contender(FAKE(&f[1], "--fault", "hang", "--at", "2"))};
    conductor_report *report = NULL;
    fake_child_hangs = interrupt;
    ASSERT_FAILS(conductor_run(both, 2, &o, &report, &err), BE_INTERRUPTED, "stopped by a signal");
    fake_child_hangs = NULL;
    assert_int_equal(report->results[0].stop, STOP_INTERRUPTED);
    assert_int_equal(report->results[1].stop, STOP_INTERRUPTED);
    conductor_report_free(report);
    interrupted = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_sound_contender),
        cmocka_unit_test(runners_of_a_pool_are_used_again),
        cmocka_unit_test(blocks_are_interleaved_in_turning_order),
        cmocka_unit_test(contenders_are_compared_by_the_sample),
        cmocka_unit_test(a_planted_difference_is_found),
        cmocka_unit_test(like_contenders_get_the_same_cores),
        cmocka_unit_test(a_runner_that_ends_is_explained),
        cmocka_unit_test(a_runner_that_hangs_is_killed),
        cmocka_unit_test(a_runner_that_breaks_the_protocol_is_refused),
        cmocka_unit_test(what_a_runner_refuses_is_passed_on),
        cmocka_unit_test(a_missing_program_or_device_is_unavailable),
        cmocka_unit_test(an_unsynchronised_runner_is_flagged),
        cmocka_unit_test(a_runner_that_lies_about_time_is_refused),
        cmocka_unit_test(a_busy_machine_is_no_lie),
        cmocka_unit_test(who_is_measured_beside_is_no_excuse),
        cmocka_unit_test(wrong_numbers_get_no_speed),
        cmocka_unit_test(losses_at_full_size_must_agree),
        cmocka_unit_test(threads_that_spin_on_are_waited_for),
        cmocka_unit_test(another_number_of_threads_is_warned_of),
        cmocka_unit_test(failing_allocations_end_in_order),
        cmocka_unit_test(an_interruption_ends_all),
    };
    return cmocka_run_group_tests(tests, fake_child_set_up, NULL);
}
