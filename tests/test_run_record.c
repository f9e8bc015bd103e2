/* Tests of the record: every member that is promised, null for what is not known, what was asked
 * beside what was used. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/record.h"
#include "support.h"

static double blocks_s[] = {0.010, 0.011, 0.010, 0.012, 0.010, 0.010};
static const char *const argv[] = {"python3", "torch_runner.py", NULL};
static conductor_warning warnings[] = {
    {WARNING_SPREAD, 0.14, "its blocks spread by 14 % of the median"},
    {WARNING_RUNNER, NAN, "and more"}};

static const conductor_contender contenders[2] = {
    {.engine = "torch",
     .argv = argv,
     .job = {.workload = "cnn-fashion",
             .device = "cpu",
             .precision = "fp32",
             .mode = "train",
             .threads = 4,
             .batch = 100,
             .seed = 42,
             .optimizer = {.name = "adam", .lr = 1e-3}}},
    {.engine = "native",
     .argv = argv,
     .job = {.workload = "cnn-fashion",
             .device = "cpu",
             .precision = "fp32",
             .mode = "train",
             .data_on = "host",
             .threads = 2,
             .batch = 100,
             .seed = 42}},
};

/* What speaks for the first one. */
static void add_evidence(conductor_result *result)
{
    result->parity = (gate_result){.error = 3e-7,
                                   .band = 1e-4,
                                   .where = "grad.fc1.bias [3]",
                                   .batch = 8,
                                   .steps = 3,
                                   .unproven = 2,
                                   .unproven_where = "grad.fc2.bias"};
    result->proof = (proof){.launches = 40, .of_peak = 0.25, .of_bandwidth = NAN};
    result->phases = json_pack("{s:{s:{s:i, s:n}}, s:s}", "work", "cpu", "launches", 40, "busy_ns",
                               "launch_order", "2 lanes");
    result->phases_steps = 4;
    result->has_reference = true;
    result->heat = (heat_summary){.best_s = 0.002,
                                  .median_s = 0.0021,
                                  .worst_s = 0.003,
                                  .slow_speed = 0.7,
                                  .burst_step_s = 0.0101,
                                  .sustained_step_s = 0.0104};
    result->slow_blocks = 1;
    result->waited_s = 0.25;
    result->unsure = "it would be a reason";
}

/* A report of a contender that was measured and one that failed before it began. */
static void fill(conductor_report *report, conductor_result *results)
{
    be_error err = {0};
    results[0] = (conductor_result){
        .stop = STOP_PRECISE,
        .engine = "torch",
        .engine_version = "1.13.1",
        .libraries = json_pack("{s:s}", "blas", "OpenBLAS 0.3.21"),
        .device_name = "Some Processor",
        .implementation = "eager",
        .precision = "fp32",
        .threads = 2,
        .processors = "2-3",
        .parameters = 37250,
        .start_s = 2.5,
        .prepare_s = 0.5,
        .first_step_s = 0.125,
        .first_loss = 2.3,
        .last_loss = 0.5,
        .block_steps = 10,
        .count = 6,
        .blocks_s = blocks_s,
        .samples_per_s = 10000,
        .busy_threads = 1.9,
        .launches = 18,
        .peak_rss_bytes = 123456789,
        .log = "chatter",
        .versus = 1,
        .ratio = {7, 6.5, 7.5},
        .verdict = STATS_SLOWER,
        .warnings = warnings,
        .warning_count = 2,
    };
    ASSERT_OK(stats_summarize(blocks_s, 6, 1, &results[0].step, &err));
    add_evidence(&results[0]);
    results[1] = (conductor_result){
        .status = BE_IO,
        .error = {.status = BE_IO, .text = "native cpu: it\xff died"},
        .stop = STOP_FAILED,
        .threads = -1,
        .parameters = -1,
        .start_s = NAN,
        .prepare_s = NAN,
        .first_step_s = NAN,
        .first_loss = NAN,
        .last_loss = NAN,
        .samples_per_s = NAN,
        .busy_threads = NAN,
        .proof = {.launches = -1, .of_peak = NAN, .of_bandwidth = NAN},
        .peak_rss_bytes = -1,
        .log = "its last words",
        .versus = -1,
        .ratio = {NAN, NAN, NAN},
    };
    *report = (conductor_report){
        .count = 2, .results = results, .fastest = 0, .other_load = 0.25, .steal = NAN};
}

static json_t *built(int i, const record_facts *facts)
{
    be_error err = {0};
    conductor_report report;
    conductor_result results[2];
    json_t *record = NULL;
    fill(&report, results);
    ASSERT_OK(record_build(contenders, &report, i, facts, &record, &err));
    json_decref(results[0].libraries);
    json_decref(results[0].phases);
    /* It must survive being written and read. */
    char *text = json_dumps(record, JSON_COMPACT);
    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    json_t *again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_equal(again, record));
    json_decref(again);
    free(text);
    return record;
}

static double number(const json_t *record, const char *outer, const char *inner)
{
    const json_t *value = json_object_get(record, outer);
    if (inner) value = json_object_get(value, inner);
    if (!json_is_number(value)) fail_msg("%s %s is no number", outer, inner ? inner : "");
    return json_number_value(value);
}

static const char *text(const json_t *record, const char *member)
{
    const char *value = json_string_value(json_object_get(record, member));
    if (!value) fail_msg("%s is no string", member);
    return value;
}

static void a_record_has_all_that_is_promised(void **state)
{
    (void)state;
    json_t *environment = json_pack("{s:s}", "system", "x");
    record_facts facts = {.unix_s = 1700000000,
                          .flops_per_step = 0.39e9,
                          .bytes_per_step = NAN,
                          .data = "fashion-mnist",
                          .environment = environment};
    json_t *r = built(0, &facts);
    assert_int_equal(number(r, "schema", NULL), RECORD_SCHEMA);
    assert_string_equal(text(r, "time"), "2023-11-14T22:13:20Z");
    assert_string_equal(text(r, "workload"), "cnn-fashion");
    assert_string_equal(text(r, "engine"), "torch");
    assert_string_equal(text(r, "device"), "cpu");
    assert_string_equal(text(r, "device_name"), "Some Processor");
    assert_string_equal(text(r, "implementation"), "eager");
    assert_string_equal(text(r, "precision"), "fp32");
    assert_string_equal(text(r, "mode"), "train");
    assert_string_equal(text(r, "data_on"), "device");
    assert_string_equal(text(r, "stop_reason"), "precise");
    assert_string_equal(text(r, "data"), "fashion-mnist");
    assert_string_equal(text(r, "status"), "OK");
    assert_int_equal(number(r, "threads", NULL), 2);
    assert_string_equal(json_string_value(json_object_get(r, "processors")), "2-3");
    assert_int_equal(number(r, "asked", "threads"), 4);
    assert_int_equal(number(r, "batch", NULL), 100);
    assert_int_equal(number(r, "seed", NULL), 42);
    assert_int_equal(number(r, "params", NULL), 37250);
    assert_int_equal(number(r, "launches", NULL), 18);
    assert_float_equal(number(r, "flops_per_step", NULL), 0.39e9, 1);
    assert_float_equal(number(r, "flops_per_s", NULL), 39e9, 1);
    assert_float_equal(number(r, "step_s", "median"), 0.010, 1e-12);
    assert_true(number(r, "step_s", "low") <= 0.010 && number(r, "step_s", "high") >= 0.010);
    assert_float_equal(number(r, "samples_per_s", NULL), 10000, 1e-9);
    assert_float_equal(number(r, "first_step_s", NULL), 0.125, 0);
    assert_int_equal(number(r, "peak_rss_bytes", NULL), 123456789);
    assert_float_equal(number(r, "other_load", NULL), 0.25, 0);
    assert_int_equal(json_array_size(json_object_get(r, "blocks")), 6);
    assert_float_equal(json_real_value(json_array_get(json_object_get(r, "blocks"), 3)), 0.012, 0);
    assert_int_equal(json_array_size(json_object_get(r, "warnings")), 2);
    const json_t *warned = json_array_get(json_object_get(r, "warned"), 0);
    assert_string_equal(json_string_value(json_object_get(warned, "kind")), "spread");
    assert_true(fabs(json_number_value(json_object_get(warned, "value")) - 0.14) < 1e-9);
    assert_string_equal(json_string_value(json_object_get(json_object_get(r, "libraries"), "blas")),
                        "OpenBLAS 0.3.21");
    assert_string_equal(text(json_object_get(r, "versus"), "engine"), "native");
    assert_string_equal(text(json_object_get(r, "versus"), "verdict"), "SLOWER");
    assert_true(json_equal(json_object_get(r, "environment"), environment));
    assert_true(json_is_null(json_object_get(r, "error")));
    assert_true(json_is_null(json_object_get(r, "bytes_per_step")));
    assert_true(json_is_null(json_object_get(r, "steal")));
    assert_true(json_is_null(json_object_get(r, "log")));
    json_decref(r);
    json_decref(environment);
}

static void a_record_has_its_evidence(void **state)
{
    (void)state;
    json_t *r = built(0, &(record_facts){0});
    assert_string_equal(text(json_object_get(r, "versus"), "reason"), "it would be a reason");
    assert_float_equal(number(r, "parity", "error"), 3e-7, 0);
    assert_float_equal(number(r, "parity", "band"), 1e-4, 0);
    assert_string_equal(text(json_object_get(r, "parity"), "tensor"), "grad.fc1.bias [3]");
    assert_int_equal(number(r, "parity", "batch"), 8);
    assert_int_equal(number(r, "parity", "steps"), 3);
    assert_int_equal(number(r, "parity", "unproven"), 2);
    assert_string_equal(text(json_object_get(r, "parity"), "unproven_tensor"), "grad.fc2.bias");
    const json_t *proof = json_object_get(r, "proof"), *work = json_object_get(proof, "work");
    assert_int_equal(number(json_object_get(work, "cpu"), "launches", NULL), 40);
    assert_int_equal(number(proof, "work_steps", NULL), 4);
    assert_float_equal(number(proof, "busy_threads", NULL), 1.9, 0);
    assert_float_equal(number(proof, "of_peak", NULL), 0.25, 0);
    assert_true(json_is_null(json_object_get(proof, "of_bandwidth")));
    assert_float_equal(number(r, "reference_s", "best"), 0.002, 0);
    assert_float_equal(number(r, "reference_s", "worst"), 0.003, 0);
    assert_int_equal(number(r, "throttled_blocks", NULL), 1);
    assert_float_equal(number(r, "waited_s", NULL), 0.25, 0);
    assert_float_equal(number(r, "burst_step_s", NULL), 0.0101, 0);
    assert_float_equal(number(r, "sustained_step_s", NULL), 0.0104, 0);
    json_decref(r);
}

static void what_was_not_measured_is_null(void **state)
{
    (void)state;
    record_facts facts = {.flops_per_step = 1e9, .bytes_per_step = 1e9};
    json_t *r = built(1, &facts);
    const char *nulls[] = {
        "device_name",  "implementation",   "precision", "engine_version", "samples_per_s",
        "first_step_s", "peak_rss_bytes",   "params",    "threads",        "data",
        "processors",   "flops_per_s",      "versus",    "libraries",      "environment",
        "busy_threads", "last_loss",        "launches",  "parity",         "reference_s",
        "launch_order", "throttled_blocks", "waited_s",  "burst_step_s",   "sustained_step_s"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (!json_is_null(json_object_get(r, nulls[i]))) fail_msg("%s is not null", nulls[i]);
    const char *proofs[] = {"work", "work_steps", "busy_threads", "of_peak", "of_bandwidth"};
    for (size_t i = 0; i < sizeof proofs / sizeof *proofs; i++)
        assert_true(json_is_null(json_object_get(json_object_get(r, "proof"), proofs[i])));
    const char *steps[] = {"median", "low", "high", "spread"};
    for (size_t i = 0; i < 4; i++)
        assert_true(json_is_null(json_object_get(json_object_get(r, "step_s"), steps[i])));
    assert_int_equal(json_array_size(json_object_get(r, "blocks")), 0);
    assert_string_equal(text(r, "engine"), "native");
    assert_string_equal(text(r, "status"), "IO");
    assert_string_equal(text(r, "error"), "native cpu: it? died");
    assert_string_equal(text(r, "log"), "its last words");
    assert_string_equal(text(r, "stop_reason"), "failed");
    assert_int_equal(number(r, "asked", "threads"), 2);
    assert_string_equal(text(r, "data_on"), "host");
    assert_string_equal(text(json_object_get(r, "asked"), "data_on"), "host");
    json_decref(r);
}

/* What programs of others read: the members, their order and their form. */
static const char measured_text[] =
    "{\"schema\":1,\"kind\":\"bench\",\"time\":\"2023-11-14T22:13:20Z\",\"workload\":\"cn"
    "n-fashion\",\"engine\":\"torch\",\"engine_version\":\"1.13.1\",\"device\":\"cpu\",\""
    "device_name\":\"Some Processor\",\"implementation\":\"eager\",\"threads\":2,\"proces"
    "sors\":\"2-3\",\"batch\":100,\"precision\":\"fp32\",\"data_on\":\"device\",\"accumulate\":1,"
    "\"mode\":"
    "\"train\",\"seed\":42,\"data\":\"fashion-mnist\",\"params\":37250,\"launches\":18,"
    "\"launch_order\":\"2 lanes\",\""
    "flops_per_step\":390000000.0,\"bytes_per_step\":null,\"computes_nothing\":false,\"wi"
    "dth\":1,\"size\":null,\"layers\":null,\"heads\":null,\"seq\":null,\"vocab\":null,"
    "\"channels\":null,\"kernel\":null,\"to\":null,\"m\":null,\"n\":null,\"k\":null,"
    "\"times\":null,"
    "\"status\":\"OK\",\"error\":null,\"step_s\":{\"median\":0.01,"
    "\"low\":0.01,\"high\":0.0115,\"minimum\":0.01,\"p05\":0.01,\"p25\":0.01,\"p75\":0.01"
    "0749999999999999,\"p95\":0.01175,\"maximum\":0.012,\"spread\":0.17499999999999999,\""
    "count\":6},\"samples_per_s\":10000.0,\"title\":null,\"yardstick\":null,"
    "\"unit\":\"picture\",\"units_per_s\":10000.0,"
    "\"flops_per_s\":39000000000.0,\"start_s\":2.5,"
    "\"prepare_s\":0.5,\"first_step_s\":0.125,\"block_steps\":10,\"blocks\":[0.01,0.01099"
    "9999999999999,0.01,0.012,0.01,0.01],\"stop_reason\":\"precise\",\"first_loss\":2.299"
    "9999999999998,\"last_loss\":0.5,\"busy_threads\":1.8999999999999999,\"energy_per_ste"
    "p_j\":0.0,\"energy_sensor\":null,\"peak_rss_bytes\":123456789,\"device_memory_bytes"
    "\":0,\"log\":null,\"warnings\":[\"its blocks spread by 14 % of the median\",\"and mo"
    "re\"],\"warned\":[{\"kind\":\"spread\",\"value\":0.14000000000000001},{\"kind\":\"ru"
    "nner\",\"value\":null}],\"reference_s\":{\"best\":0.002,\"median\":0.002099999999999"
    "9999,\"worst\":0.0030000000000000001},\"throttled_blocks\":1,\"waited_s\":0.25,\"bur"
    "st_step_s\":0.0101,\"sustained_step_s\":0.0104,\"parity\":{\"error\":2.9999999999999"
    "999e-7,\"tensor\":\"grad.fc1.bias "
    "[3]\",\"band\":0.0001,\"steps\":3,\"batch\":8,\"unproven\":2,\"unproven_tensor\":\"grad.fc2."
    "bias\"},\"p"
    "roof\":{\"work\":{\"cpu\":{\"launches\":40,\"busy_ns\":null}},\"work_steps\":4,\"bus"
    "y_threads\":1.8999999999999999,\"of_peak\":0.25,\"of_bandwidth\":null},\"asked\":{\""
    "engine\":\"torch\",\"device\":\"cpu\",\"threads\":4,\"batch\":100,\"precision\":\"fp"
    "32\",\"precisions\":null,"
    "\"data_on\":\"device\",\"mode\":\"train\",\"optimizer\":{\"name\":\"adam\",\"lr"
    "\":0.001,\"momentum\":0.0,\"weight_decay\":0.0,\"beta1\":0.0,\"beta2\":0.0,\"epsilon"
    "\":0.0},\"program\":[\"python3\",\"torch_runner.py\"]},\"versus\":{\"engine\":\"nati"
    "ve\",\"device\":\"cpu\",\"threads\":null,\"batch\":100,\"ratio\":7.0,\"low\":6.5,\"h"
    "igh\":7.5,\"verdict\":\"SLOWER\",\"reason\":\"it would be a reason\"},\"libraries\":"
    "{\"blas\":\"OpenBLAS 0.3.21\"},\"other_load\":0.25,\"steal\":null,\"environment\":{"
    "\"system\":\"x\"}}";
static const char failed_text[] =
    "{\"schema\":1,\"kind\":\"bench\",\"time\":\"1970-01-01T00:00:00Z\",\"workload\":\"cn"
    "n-fashion\",\"engine\":\"native\",\"engine_version\":null,\"device\":\"cpu\",\"devic"
    "e_name\":null,\"implementation\":null,\"threads\":null,\"processors\":null,\"batch\""
    ":100,\"precision\":null,\"data_on\":\"host\",\"accumulate\":1,\"mode\":\"train\",\"seed\":42,"
    "\"data\""
    ":null,\"params\":null,\"launches\":null,\"launch_order\":null,"
    "\"flops_per_step\":1000000000.0,\"bytes_per_"
    "step\":1000000000.0,\"computes_nothing\":false,\"width\":1,\"size\":null,"
    "\"layers\":null,\"heads\":null,\"seq\":null,\"vocab\":null,"
    "\"channels\":null,\"kernel\":null,\"to\":null,\"m\":null,\"n\":null,\"k\":null,"
    "\"times\":null,\"status\":"
    "\"IO\",\"error\":\"native cpu: it? died\",\"step_s\":{\"median\":null,\"low\":null,"
    "\"high\":null,\"minimum\":null,\"p05\":null,\"p25\":null,\"p75\":null,\"p95\":null,"
    "\"maximum\":null,\"spread\":null,\"count\":0},\"samples_per_s\":null,\"title\":null,"
    "\"yardstick\":null,"
    "\"unit\":\"picture\","
    "\"units_per_s\":null,\"flops_per_s\""
    ":null,\"start_s\":null,\"prepare_s\":null,\"first_step_s\":null,\"block_steps\":0,\""
    "blocks\":[],\"stop_reason\":\"failed\",\"first_loss\":null,\"last_loss\":null,\"busy"
    "_threads\":null,\"energy_per_step_j\":0.0,\"energy_sensor\":null,\"peak_rss_bytes\":"
    "null,\"device_memory_bytes\":0,\"log\":\"its last words\",\"warnings\":[],\"warned\""
    ":[],\"reference_s\":null,\"throttled_blocks\":null,\"waited_s\":null,\"burst_step_s"
    "\":null,\"sustained_step_s\":null,\"parity\":null,\"proof\":{\"work\":null,\"work_st"
    "eps\":null,\"busy_threads\":null,\"of_peak\":null,\"of_bandwidth\":null},\"asked\":{"
    "\"engine\":\"native\",\"device\":\"cpu\",\"threads\":2,\"batch\":100,\"precision\":"
    "\"fp32\",\"precisions\":null,"
    "\"data_on\":\"host\",\"mode\":\"train\",\"optimizer\":{\"name\":null,\"lr\""
    ":0.0,\"momentum\":0.0,\"weight_decay\":0.0,\"beta1\":0.0,\"beta2\":0.0,\"epsilon\":0"
    ".0},\"program\":[\"python3\",\"torch_runner.py\"]},\"versus\":null,\"libraries\":nul"
    "l,\"other_load\":0.25,\"steal\":null,\"environment\":null}";

static void expect_text(const json_t *record, const char *expected)
{
    char *text = json_dumps(record, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
}

/* Written, read and written again it is the same, to the byte. */
static void expect_round_trip(json_t *record)
{
    be_error err = {0};
    record_measured read = {.place = {.file = "a file", .unit = "line", .number = 1}};
    json_t *machine = json_pack("{s:{s:i}}", "cpu", "threads", 2), *again = NULL;
    record_clear(&read);
    ASSERT_OK(record_read_fields(record, machine, &read, &err));
    ASSERT_OK(record_encode(&read, &again, &err));
    char *expected = json_dumps(record, JSON_COMPACT);
    expect_text(again, expected);
    free(expected);
    json_decref(again);
    json_decref(machine);
}

static void a_record_is_the_same_after_a_round_trip(void **state)
{
    (void)state;
    json_t *environment = json_pack("{s:s, s:{s:i}}", "system", "x", "cpu", "threads", 2);
    record_facts facts = {.unix_s = 1700000000,
                          .flops_per_step = 0.39e9,
                          .bytes_per_step = NAN,
                          .data = "fashion-mnist",
                          .environment = environment};
    json_t *measured = built(0, &facts),
           *failed = built(1, &(record_facts){.flops_per_step = 1e9, .bytes_per_step = 1e9});
    expect_round_trip(measured);
    expect_round_trip(failed);
    json_decref(environment);
    json_decref(measured);
    json_decref(failed);
}

static void its_text_stays_as_it_was(void **state)
{
    (void)state;
    json_t *environment = json_pack("{s:s}", "system", "x");
    record_facts facts = {.unix_s = 1700000000,
                          .flops_per_step = 0.39e9,
                          .bytes_per_step = NAN,
                          .data = "fashion-mnist",
                          .environment = environment};
    json_t *measured = built(0, &facts),
           *failed = built(1, &(record_facts){.flops_per_step = 1e9, .bytes_per_step = 1e9});
    expect_text(measured, measured_text);
    expect_text(failed, failed_text);
    json_decref(environment);
    json_decref(measured);
    json_decref(failed);
}

static void a_path_of_no_member_is_known_as_one(void **state)
{
    (void)state;
    static const char *const good[] = {"batch",         "step_s",
                                       "step_s.median", "asked.optimizer.lr",
                                       "width",         "environment.cpu.cores",
                                       "libraries.blas"};
    static const char *const bad[] = {"",        "batsh",   "step_s.mean",     "step",
                                      "step_s.", "batch.x", "versus.ratio.low"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!record_has_path(good[i])) fail_msg("%s is a member", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (record_has_path(bad[i])) fail_msg("%s is no member", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_all_that_is_promised),
        cmocka_unit_test(a_record_has_its_evidence),
        cmocka_unit_test(what_was_not_measured_is_null),
        cmocka_unit_test(a_record_is_the_same_after_a_round_trip),
        cmocka_unit_test(its_text_stays_as_it_was),
        cmocka_unit_test(a_path_of_no_member_is_known_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
