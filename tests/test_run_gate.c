/* Tests of the gate, and of bad runners that really compute: the native engine behind a proxy that
 * spoils one thing (tests/proxy_runner.py), measured by the whole conductor. */
#include "conductor_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "fake.h"
#include "run/gate.h"

#define PICTURES 200
#define BATCH 20

typedef struct fixture {
    be_dataset *set;
    material_options options;
    material material;
    gate gate, infer;
} fixture;

static int set_up(void **state)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = PICTURES};
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->set, &err));
    f->options = (material_options){.workload = &workload_cnn_fashion, .set = f->set, .seed = 11};
    ASSERT_OK(material_new(&f->material, &f->options, &err));
    gate_options gate = {.material = &f->options, .folder = f->material.folder};
    ASSERT_OK(gate_new(&f->gate, &gate, &err));
    gate.infer = true;
    ASSERT_OK(gate_new(&f->infer, &gate, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    gate_free(&f->gate);
    gate_free(&f->infer);
    gate_free(&f->infer);
    material_free(&f->material);
    dataset_close(f->set);
    free(f);
    return 0;
}

static conductor_contender native(const fixture *f, const char *const *argv)
{
    conductor_contender c = {.engine = "native",
                             .argv = argv,
                             .gate = &f->gate,
                             .job = material_job(&f->material, &f->options)};
    c.job.device = "cpu";
    c.job.batch = BATCH;
    return c;
}

/* Measure the contender alone. */
static conductor_report *alone(const conductor_contender *c)
{
    be_error err = {0};
    conductor_options o = quick_options();
    conductor_report *report = NULL;
    o.run_limit_s = 20;
    o.phases_s = 0;
    ASSERT_OK(conductor_run(c, 1, &o, &report, &err));
    return report;
}

#define SPOILED(f, ...) spoiled((f), (const char *[]){__VA_ARGS__, NULL})

static conductor_report *spoiled(const fixture *f, const char *const *options)
{
    fake proxy;
    conductor_contender c = native(f, script_fill(&proxy, "proxy_runner.py", options));
    return alone(&c);
}

/* ------------------------------------------------------------------- sound */

static void sound_runners_pass(void **state)
{
    fixture *f = *state;
    conductor_report *report = SPOILED(f, "--loss", "1");
    const conductor_result *r = &report->results[0];
    if (r->status != BE_OK) fail_msg("%s", r->error.text);
    assert_true(r->parity.error > 0 && r->parity.error < 1e-5);
    assert_float_equal(r->parity.band, PARITY_LIMIT, 0);
    assert_int_equal(r->parity.batch, GATE_BATCH);
    assert_int_equal(r->parity.steps, GATE_STEPS);
    assert_true(strlen(r->parity.where) > 0);
    assert_true(r->count >= 4);
    assert_false(warned(r, "not compared"));
    /* Its own process only relays: what counts is its child. */
    assert_true(r->busy_threads >= PROOF_IDLE_THREADS);
    conductor_report_free(report);
}

static void inference_is_held_against_the_reference(void **state)
{
    fixture *f = *state;
    const char *const argv[] = {getenv("BREAKEVEN_PROGRAM"), "runner", NULL};
    conductor_contender c = native(f, argv);
    c.gate = &f->infer;
    c.job.mode = "infer";
    conductor_report *report = alone(&c);
    if (report->results[0].status != BE_OK) fail_msg("%s", report->results[0].error.text);
    assert_true(report->results[0].parity.error > 0 && report->results[0].parity.error < 1e-5);
    conductor_report_free(report);
}

/* ------------------------------------------------------------------- wrong */

static void wrong_gradients_get_no_speed(void **state)
{
    fixture *f = *state;
    conductor_report *report = SPOILED(f, "--gradient", "conv2.weight=1.001");
    assert_true(report->results[0].parity.error > 9e-4 && report->results[0].parity.error < 1.1e-3);
    assert_int_equal(report->results[0].count, 0);
    assert_int_equal(report->fastest, -1);
    assert_int_equal(be_status_exit_code(report->results[0].status), 4);
    ASSERT_FAILED(report, BE_NUMERIC, STOP_REFUSED, "native cpu: expected gradients within 0.0001",
                  "found an error of 0.001 at grad.conv2.weight [", "(batch 8, 3 steps, seed 11)",
                  "gets no speed", "'breakeven parity cnn-fashion");
    ASSERT_FAILED(SPOILED(f, "--element", "fc1.bias=3"), BE_NUMERIC, STOP_REFUSED,
                  "expected gradients within", "at grad.fc1.bias [3]");
    ASSERT_FAILED(SPOILED(f, "--gradient", "fc2.bias=nan"), BE_NUMERIC, STOP_REFUSED,
                  "found an error of nan at grad.fc2.bias [");
}

/* Right where it knows that it is compared, wrong where it is timed. */
static void wrong_losses_of_timed_steps_get_no_speed(void **state)
{
    fixture *f = *state;
    ASSERT_FAILED(SPOILED(f, "--loss", "1.01"), BE_NUMERIC, STOP_REFUSED,
                  "native cpu: expected the losses within 0.0001", "of 'run'", "gets no speed");
}

static void every_precision_has_its_band(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    gate_result found;
    runner r = {.name = "none"};
    protocol_job job = material_job(&f->material, &f->options);
    job.device = "cpu";
    job.precision = "fp8";
    ASSERT_FAILS(gate_check(&f->gate, &r, &job, 1, &found, &err), BE_USAGE, "that has a band",
                 "\"fp8\"");
    const char *const precisions[] = {"fp32", "tf32", "bf16"};
    double band = 0;
    for (int i = 0; i < 3; i++) {
        job.precision = precisions[i];
        assert_int_equal(gate_check(&f->gate, &r, &job, 1, &found, &err), BE_UNAVAILABLE);
        assert_true(found.band > band);
        band = found.band;
    }
}

/* --------------------------------------------------------------- elsewhere */

/* It says cuda:0 and computes on the processor. */
static void a_device_that_is_another_is_refused(void **state)
{
    fixture *f = *state;
    fake proxy;
    conductor_contender c = native(f, PROXY(&proxy, "--claims", "cuda:0=cpu"));
    c.job.device = "cuda:0";
    ASSERT_FAILED(alone(&c), BE_FAILED, STOP_REFUSED,
                  "native cuda:0: expected its operations on "
                  "cuda:0, found",
                  "on cpu", "runs elsewhere than it says");
}

/* ------------------------------------------------------------------- speed */

static void what_pretends_to_compute_is_impossibly_fast(void **state)
{
    fixture *f = *state;
    fake proxy;
    conductor_contender c = native(f, PROXY(&proxy, "--pretend", "1e-5"));
    c.flops_per_step = 8e7;
    c.limit_flops_per_s = 5e11; /* more than any two cores have */
    ASSERT_FAILED(alone(&c), BE_FAILED, STOP_REFUSED, "at most the 500 GFLOP/s", "impossible");
}

/* Five percent slower: found, not refused. */
static void five_percent_are_found(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxies[2];
    conductor_options o = conductor_options_default();
    conductor_report *report = NULL;
    o.stop.max_time_s = 3;
    o.phases_s = 0;
    conductor_contender both[] = {native(f, PROXY(&proxies[0], "--loss", "1")),
                                  native(f, PROXY(&proxies[1], "--slower", "0.05"))};
    ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
    for (int i = 0; i < 2; i++)
        if (report->results[i].status != BE_OK) fail_msg("%s", report->results[i].error.text);
    assert_verdict(report, 1, 0, STATS_SLOWER);
    conductor_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_runners_pass),
        cmocka_unit_test(inference_is_held_against_the_reference),
        cmocka_unit_test(wrong_gradients_get_no_speed),
        cmocka_unit_test(wrong_losses_of_timed_steps_get_no_speed),
        cmocka_unit_test(every_precision_has_its_band),
        cmocka_unit_test(a_device_that_is_another_is_refused),
        cmocka_unit_test(what_pretends_to_compute_is_impossibly_fast),
    };
    /* It measures for long, and a sanitizer would see nothing but the tests above once more. */
    const struct CMUnitTest timed[] = {
        cmocka_unit_test(five_percent_are_found),
    };
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    if (strcmp(BUILD_SANITIZERS, "none") == 0)
        failed += cmocka_run_group_tests(timed, set_up, tear_down);
    return failed;
}
