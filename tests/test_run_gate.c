/* Tests of the gate, and of bad runners that really compute: the native engine behind a proxy that
 * spoils one thing (tests/proxy_runner.py). */
#include "conductor_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "core/clock.h"
#include "data/dataset.h"
#include "fake.h"
#include "machine/load.h"
#include "run/gate.h"
#include "run/rounding.h"

#define PICTURES 200
#define BATCH 20
#define BUSY 0.05   /* share of the processors for others that would disturb */
#define LIMIT_S 300 /* for an answer: none of these hangs */

typedef struct fixture {
    be_dataset *set;
    material_options options;
    material material;
    gate gate, infer;
    gate rounded; /* for tf32 and bf16 */
} fixture;

static const char *const rounds[] = {"tf32", "bf16"};

static int set_up(void **state)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = PICTURES};
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->set, &err));
    f->options =
        (material_options){.workload = &workload_cnn_fashion, .set = &f->set->table, .seed = 11};
    ASSERT_OK(material_new(&f->material, &f->options, &err));
    gate_options gate = {.material = &f->options, .folder = f->material.folder.path};
    ASSERT_OK(gate_new(&f->gate, &gate, &err));
    gate.infer = true;
    ASSERT_OK(gate_new(&f->infer, &gate, &err));
    gate.infer = false;
    gate.precisions = 1U << BE_PRECISION_TF32 | 1U << BE_PRECISION_BF16;
    ASSERT_OK(gate_new(&f->rounded, &gate, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    gate_free(&f->gate);
    gate_free(&f->infer);
    gate_free(&f->infer);
    gate_free(&f->rounded);
    material_free(&f->material);
    dataset_close(f->set);
    free(f);
    return 0;
}

static conductor_contender native(fixture *f, const char *const *argv)
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
    o.run_limit_s = LIMIT_S;
    o.start_limit_s = LIMIT_S;
    o.phases_s = 0;
    ASSERT_OK(conductor_run(c, 1, &o, &report, &err));
    return report;
}

#define SPOILED(f, ...) spoiled((f), (const char *[]){__VA_ARGS__, NULL})

static conductor_report *spoiled(fixture *f, const char *const *options)
{
    fake proxy;
    conductor_contender c = native(f, script_fill(&proxy, "proxy_runner.py", options));
    return alone(&c);
}

/* Start the contender's runner and hold it against its gate, without measuring it. */
static be_status checked(const conductor_contender *c, gate_result *found, be_error *err)
{
    runner r;
    runner_options options = {.name = "native cpu", .argv = c->argv, .start_limit_s = LIMIT_S};
    TRY(runner_start(&r, &options, err));
    be_status status = gate_check(c->gate, &r, &c->job, LIMIT_S, found, err);
    runner_clear(&r);
    return status;
}

/* ------------------------------------------------------------------- sound */

static void sound_runners_pass(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    gate_result found;
    conductor_contender c = native(f, PROXY(&proxy, "--loss", "1"));
    ASSERT_OK(checked(&c, &found, &err));
    assert_true(found.error > 0 && found.error < 1e-5);
    assert_float_equal(found.band, PARITY_LIMIT, 0);
    assert_int_equal(found.batch, f->options.workload->gate.batch);
    assert_int_equal(found.steps, f->options.workload->gate.steps);
    assert_true(strlen(found.where) > 0);
}

static void inference_is_held_against_the_reference(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    gate_result found;
    const char *const argv[] = {getenv("BREAKEVEN_PROGRAM"), "runner", NULL};
    conductor_contender c = native(f, argv);
    c.gate = &f->infer;
    c.job.mode = "infer";
    ASSERT_OK(checked(&c, &found, &err));
    assert_true(found.error > 0 && found.error < 1e-5);
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

/* ---------------------------------------------------------------- a smaller variant */

#define LARGE 72 /* pixels; the gate computes at most 64 */

/* The fixture's pictures at a size that the reference does not compute. */
typedef struct large {
    fixture f;
    struct workload varied;
} large;

static void large_open(large *l, bool infer)
{
    be_error err = {0};
    fixture *f = &l->f;
    workload_variant variant = {.size = LARGE};
    dataset_options data = {.seed = 1, .synthetic = true, .limit = PICTURES};
    *l = (large){0};
    ASSERT_OK(
        workload_vary(&workload_cnn_fashion, &variant, &l->varied, &f->options.workload, &err));
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->set, &err));
    ASSERT_OK(dataset_resize(f->set, LARGE, &err));
    f->options.set = &f->set->table;
    f->options.seed = 11;
    ASSERT_OK(material_new(&f->material, &f->options, &err));
    gate_options gate = {
        .material = &f->options, .folder = f->material.folder.path, .infer = infer};
    ASSERT_OK(gate_new(&f->gate, &gate, &err));
    assert_true(f->gate.reduced);
    assert_int_equal(f->gate.variant.size, 64);
}

static void large_close(large *l)
{
    gate_free(&l->f.gate);
    material_free(&l->f.material);
    dataset_close(l->f.set);
}

/* Where both diverge only what comes before is compared. */
static void divergence_is_passed_over(const gate_result *sound)
{
    be_error err = {0};
    gate_result calm = *sound;
    for (int i = 0; i < 3; i++) calm.losses[i] = 2 - 0.1 * i;
    gate_result grown = calm, other = calm;
    grown.losses[2] = 20;
    other.losses[2] = 40;
    ASSERT_OK(gate_compare("b", &other, "a", &grown, &err));
    ASSERT_FAILS(gate_compare("b", &other, "a", &calm, &err), BE_NUMERIC, "in step 3");
    other.losses[1] *= 0.9;
    ASSERT_FAILS(gate_compare("b", &other, "a", &grown, &err), BE_NUMERIC, "in step 2");
}

/* bf16 rounds the one number that an operation tells to 8 bits, the loss of a network not at all.
 */
static void first_losses_have_bands(void **state)
{
    (void)state;
    assert_float_equal(gate_first_loss_band(false, "fp32"), 1e-3, 1e-9);
    assert_float_equal(gate_first_loss_band(false, "bf16"), 1e-3, 1e-9);
    assert_float_equal(gate_first_loss_band(true, "fp32"), 1e-3, 1e-9);
    assert_float_equal(gate_first_loss_band(true, "tf32"), 0.1, 1e-9);
    assert_float_equal(gate_first_loss_band(true, "bf16"), 0.8, 1e-9);
}

/* A native runner held against the gate, and one whose losses are 1 % too large at full size. */
static void check_full_size(bool infer)
{
    be_error err = {0};
    large l;
    fake proxy;
    gate_result sound, spoiled;
    large_open(&l, infer);
    conductor_contender c = native(&l.f, PROXY(&proxy, "--loss", "1"));
    c.job.mode = infer ? "infer" : "train";
    ASSERT_OK(checked(&c, &sound, &err));
    c.argv = PROXY(&proxy, "--loss", "1.01", "--at-size", "72");
    ASSERT_OK(checked(&c, &spoiled, &err));
    assert_int_equal(sound.loss_count, infer ? 1 : 3);
    assert_true(sound.losses[0] > 1 && sound.losses[0] < 4);
    ASSERT_OK(gate_compare("b", &sound, "a", &sound, &err));
    ASSERT_FAILS(gate_compare("b", &spoiled, "a", &sound, &err), BE_NUMERIC,
                 "b: expected the losses of a at its full size", "in step 1 (within 0.001 of it)",
                 "gets no speed");
    spoiled = sound;
    spoiled.losses[sound.loss_count - 1] = (double)NAN;
    ASSERT_FAILS(gate_compare("b", &spoiled, "a", &sound, &err), BE_NUMERIC, "found nan");
    if (!infer) divergence_is_passed_over(&sound);
    large_close(&l);
}

static void the_full_size_is_held_against_the_others(void **state)
{
    (void)state;
    check_full_size(false);
    check_full_size(true);
}

/* What is wrong in the small variant is told with its options. */
static void a_reduced_gate_still_finds_what_is_wrong(void **state)
{
    (void)state;
    large l;
    fake proxy;
    large_open(&l, false);
    conductor_contender c = native(&l.f, PROXY(&proxy, "--gradient", "conv2.weight=1.001"));
    be_error err = {0};
    gate_result found;
    ASSERT_FAILS(checked(&c, &found, &err), BE_NUMERIC, "grad.conv2.weight",
                 "--seed 11 --size 64'");
    large_close(&l);
}

/* Once in the order of training, as parity takes them: the command that a refusal names repeats the
 * gate. */
static void a_reduced_gate_computes_on_the_first_samples(void **state)
{
    (void)state;
    be_error err = {0};
    large l;
    data_table first;
    large_open(&l, false);
    const gate *g = &l.f.gate;
    ASSERT_OK(material_gather(&l.f.options, g->batch, &first, &err));
    const data_field *labels = NULL;
    for (int f = 0; f < first.fields; f++)
        if (strcmp(first.field[f].form.name, "labels") == 0) labels = &first.field[f];
    const trace_tensor *target = trace_find(&g->reference, "target");
    assert_true(labels && labels->form.sample.dtype == BE_I32);
    assert_true(target && target->count == g->batch);
    for (int64_t i = 0; i < g->batch; i++)
        assert_int_equal((int)target->values[i], ((const int32_t *)labels->bytes)[i]);
    table_free(&first);
    large_close(&l);
}

/* Where rounding in fp32 alone moves a gradient further than the limit, that counts, up to ten
 * times the limit. */
static void rounding_counts_in_fp32_too(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    gate_result found;
    conductor_contender off = native(f, PROXY(&proxy, "--gradient", "fc1.weight=1.0003"));
    ASSERT_FAILS(checked(&off, &found, &err), BE_NUMERIC, "expected gradients within 0.0001 of");
    const trace *rounding = &f->gate.rounding[BE_PRECISION_FP32];
    const trace_tensor *measured = trace_find(rounding, "grad.fc1.weight");
    assert_non_null(measured);
    double *error = &measured->values[ROUNDING_ERROR], kept = *error;
    assert_true(kept > 1e-8 && kept < PARITY_LIMIT / PARITY_ROUNDING_TIMES);
    *error = 2e-4;
    ASSERT_OK(checked(&off, &found, &err));
    off = native(f, PROXY(&proxy, "--gradient", "fc1.weight=1.0005"));
    ASSERT_FAILS(checked(&off, &found, &err), BE_NUMERIC,
                 "within 0.0004 (2 times the rounding's own error, 0.0002) of");
    *error = 0.5;
    off = native(f, PROXY(&proxy, "--gradient", "fc1.weight=1.002"));
    ASSERT_FAILS(checked(&off, &found, &err), BE_NUMERIC,
                 "within 0.001 (the most that is allowed; rounding alone makes 0.5) of",
                 "found an error of 0.002 at grad.fc1.weight");
    *error = kept;
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
        assert_int_equal(gate_check(&f->rounded, &r, &job, 1, &found, &err), BE_UNAVAILABLE);
        assert_true(found.band > band);
        band = found.band;
    }
}

/* Whoever says bf16 or tf32 and multiplies in fp32 is too near. */
static void a_precision_that_is_not_computed_is_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    gate_result found;
    for (int i = 0; i < 2; i++) {
        conductor_contender c = native(f, PROXY(&proxy, "--says", rounds[i]));
        c.gate = &f->rounded;
        c.job.precision = rounds[i];
        ASSERT_FAILS(checked(&c, &found, &err), BE_NUMERIC, "native cpu: expected an error of",
                     rounds[i], "multiplies in a wider precision", "use --precision fp32");
        assert_true(found.error > 0 && found.error < 1e-5);
    }
}

/* What rounding does to a tensor of the bf16 gate. */
static double *rounding_of(const fixture *f, const char *name)
{
    const trace_tensor *tensor = trace_find(&f->rounded.rounding[BE_PRECISION_BF16], name);
    assert_non_null(tensor);
    return tensor->values;
}

/* The limit is that of the band, or a multiple of the rounding's own error, and is told as such. */
static void limits_of_a_precision_are_told(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    gate_result found;
    double *rounding = rounding_of(f, "grad.fc1.weight"), kept = rounding[1];
    conductor_contender c =
        native(f, PROXY(&proxy, "--says", "bf16", "--gradient", "fc1.weight=2"));
    c.gate = &f->rounded;
    c.job.precision = "bf16";
    assert_true(kept > 1e-3 && kept < 0.16);
    ASSERT_FAILS(checked(&c, &found, &err), BE_NUMERIC,
                 "native cpu: expected gradients within 0.32 of the reference in double precision, "
                 "found an error of 1 at grad.fc1.weight (batch 8, 3 steps, seed 11)",
                 "'breakeven parity cnn-fashion --batch 8 --seed 11 --precision bf16'");
    rounding[1] = 0.2;
    ASSERT_FAILS(checked(&c, &found, &err), BE_NUMERIC,
                 "expected gradients within 0.4 (2 times the rounding's own error, 0.2) of the "
                 "reference in double precision, found an error of 1 at grad.fc1.weight");
    rounding[1] = kept;
}

/* Where rounding is as large as all that could be compared, nothing is proved. */
static void gradients_that_prove_nothing_are_no_proof(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    gate_result found;
    const trace *rounding = &f->rounded.rounding[BE_PRECISION_BF16];
    double kept[64];
    conductor_contender c = native(f, PROXY(&proxy, "--says", "bf16"));
    c.gate = &f->rounded;
    c.job.precision = "bf16";
    for (int i = 0; i < rounding->count; i++) kept[i] = rounding->tensors[i].values[1];
    for (int i = 0; i < rounding->count; i++) rounding->tensors[i].values[1] = 0.5;
    ASSERT_FAILS(checked(&c, &found, &err), BE_NUMERIC,
                 "native cpu: expected gradients that can be compared, found that rounding in bf16 "
                 "alone moves all 8 by half of themselves or more (batch 8, seed 11)",
                 "use --precision fp32");
    assert_int_equal(found.unproven, 8);
    assert_string_equal(found.unproven_where, "grad.conv1.weight");
    for (int i = 0; i < rounding->count; i++) rounding->tensors[i].values[1] = kept[i];
}

/* The real thing passes, and is as far off as its rounding makes it. */
static void bf16_passes(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    gate_result found;
    const char *const argv[] = {getenv("BREAKEVEN_PROGRAM"), "runner", NULL};
    conductor_contender c = native(f, argv);
    c.job.precision = "bf16";
    c.gate = &f->rounded;
    be_status status = checked(&c, &found, &err);
    if (status == BE_UNAVAILABLE) {
        print_message("# SKIP bf16_passes: %s\n", err.text);
        assert_non_null(strstr(err.text, "precision bf16"));
        skip();
    }
    ASSERT_OK(status);
    assert_true(found.error > 5e-4 && found.error < found.band);
}

/* --------------------------------------------------------------- elsewhere */

/* It says cuda:0 and computes on the processor: its phases tell. */
static void a_device_that_is_another_is_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxy;
    runner r;
    protocol_answer a;
    proof found;
    conductor_contender c = native(f, PROXY(&proxy, "--claims", "cuda:0=cpu"));
    runner_options options = {.name = "native cuda:0", .argv = c.argv, .start_limit_s = LIMIT_S};
    c.job.device = "cuda:0";
    ASSERT_OK(runner_start(&r, &options, &err));
    ASSERT_OK(runner_prepare(&r, &c.job, LIMIT_S, &err));
    protocol_call phases = {.request = PROTOCOL_PHASES, .steps = 3};
    ASSERT_OK(runner_call(&r, &phases, LIMIT_S, &a, NULL, &err));
    proof_evidence evidence = {.name = "native cuda:0",
                               .device = "cuda:0",
                               .work = json_object_get(a.json, "work"),
                               .busy_threads = 1,
                               .processors = 2,
                               .step_s = 0.01};
    ASSERT_FAILS(proof_check(&evidence, &found, &err), BE_FAILED,
                 "native cuda:0: expected its operations on cuda:0, found", "on cpu",
                 "runs elsewhere than it says");
    protocol_answer_clear(&a);
    runner_clear(&r);
}

/* ------------------------------------------------------------------- speed */

/* Why nothing real can be timed now; NULL: it can. */
static const char *busy(void)
{
    static char text[100];
    load_sample from = load_take(NULL);
    int64_t own_ns = load_own_cpu_ns();
    clock_sleep_ns(300000000);
    load_sample to = load_take(NULL);
    double share = load_other_share(&from, &to, load_own_cpu_ns() - own_ns);
    snprintf(text, sizeof text, "other programs use %.0f %% of the processors", 100 * share);
    return share > BUSY ? text : NULL;
}

/* Five percent slower: found, not refused.  The one test on the real clock: it is skipped where
 * other programs disturb it, before or meanwhile. */
static void five_percent_are_found(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    fake proxies[2];
    conductor_options o = conductor_options_default();
    conductor_report *report = NULL;
    const char *reason = busy();
    o.stop.max_time_s = 3;
    o.phases_s = 0;
    conductor_contender both[] = {native(f, PROXY(&proxies[0], "--loss", "1")),
                                  native(f, PROXY(&proxies[1], "--slower", "0.05"))};
    gate_result passed = {.steps = 3};
    both[0].passed = both[1].passed = &passed;
    if (!reason) ASSERT_OK(conductor_run(both, 2, &o, &report, &err));
    if (report && (report->other_load > BUSY || report->steal > BUSY))
        reason = "other programs came meanwhile";
    if (reason) {
        print_message("# SKIP five_percent_are_found: %s\n", reason);
        conductor_report_free(report);
        skip();
    }
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
        cmocka_unit_test(the_full_size_is_held_against_the_others),
        cmocka_unit_test(a_reduced_gate_still_finds_what_is_wrong),
        cmocka_unit_test(a_reduced_gate_computes_on_the_first_samples),
        cmocka_unit_test(rounding_counts_in_fp32_too),
        cmocka_unit_test(every_precision_has_its_band),
        cmocka_unit_test(a_precision_that_is_not_computed_is_refused),
        cmocka_unit_test(limits_of_a_precision_are_told),
        cmocka_unit_test(gradients_that_prove_nothing_are_no_proof),
        cmocka_unit_test(bf16_passes),
        cmocka_unit_test(first_losses_have_bands),
        cmocka_unit_test(a_device_that_is_another_is_refused),
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
