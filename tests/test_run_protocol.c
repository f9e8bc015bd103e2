/* Tests of the protocol's two halves: requests as lines, and answers checked member by member. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "breakeven/plan.h"
#include "core/text.h"
#include "protocol/protocol.h"
#include "support.h"

static const protocol_job job = {
    .workload = "cnn-cifar",
    .device = "cuda:0",
    .precision = "fp32",
    .mode = "train",
    .data = "/tmp/a \"quoted\" path",
    .threads = 2,
    .transforms = {{.field = "images", .channels = 2, .mean = {0.5, 0.25}, .std = {1, 2}}},
    .transform_count = 1,
    .batch = 64,
    .seed = 9223372036854775807u,
    .optimizer = {.name = "sgd", .lr = 0.01, .momentum = 0.9},
};

static json_t *encoded(const protocol_call *call)
{
    be_error err = {0};
    char *line = NULL;
    ASSERT_OK(protocol_encode(call, &line, &err));
    char *newline = strchr(line, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    json_t *json = json_loads(line, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "op")),
                        protocol_request_name(call->request));
    free(line);
    return json;
}

static void prepare_has_all_members(void **state)
{
    (void)state;
    json_t *json = encoded(&(protocol_call){.request = PROTOCOL_PREPARE, .job = &job});
    json_t *wanted = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:I, s:s, s:n, s:{s:{s:[ff], s:[ff]}},"
        " s:{s:s, s:f, s:f, s:f, s:f, s:f, s:f}, s:s, s:s}",
        "op", "prepare", "workload", "cnn-cifar", "device", "cuda:0", "precision", "fp32",
        "threads", 2, "batch", 64, "mode", "train", "seed", INT64_MAX, "data",
        "/tmp/a \"quoted\" path", "weights", "normalize", "images", "mean", 0.5, 0.25, "std", 1.0,
        2.0, "optimizer", "name", "sgd", "lr", 0.01, "momentum", 0.9, "weight_decay", 0.0, "beta1",
        0.0, "beta2", 0.0, "epsilon", 0.0, "dropout", "engine", "data_on", "device");
    assert_non_null(wanted);
    assert_true(json_equal(json, wanted));
    json_decref(json);
    json_decref(wanted);
    protocol_job other = job;
    other.data_on = "host";
    other.workers = 2;
    json = encoded(&(protocol_call){.request = PROTOCOL_PREPARE, .job = &other});
    assert_string_equal(json_string_value(json_object_get(json, "data_on")), "host");
    assert_int_equal(json_integer_value(json_object_get(json, "workers")), 2);
    json_decref(json);
}

static void a_schedule_is_told_where_there_is_one(void **state)
{
    (void)state;
    protocol_job rated = job;
    rated.optimizer.schedule = (be_schedule){BE_RATE_LINEAR, 3, 30, 0.25};
    json_t *json = encoded(&(protocol_call){.request = PROTOCOL_PREPARE, .job = &rated});
    json_t *wanted = json_pack("{s:s, s:i, s:i, s:f}", "kind", "linear", "warmup_steps", 3,
                               "total_steps", 30, "final_factor", 0.25);
    assert_true(
        json_equal(json_object_get(json_object_get(json, "optimizer"), "schedule"), wanted));
    json_decref(wanted);
    json_decref(json);
}

static void other_requests_have_theirs(void **state)
{
    (void)state;
    json_t *json = encoded(&(protocol_call){.request = PROTOCOL_RUN, .steps = 12, .losses = true});
    assert_int_equal(json_integer_value(json_object_get(json, "steps")), 12);
    assert_true(json_is_true(json_object_get(json, "losses")));
    json_decref(json);
    json = encoded(&(protocol_call){.request = PROTOCOL_HELLO, .try_devices = true});
    assert_true(json_is_true(json_object_get(json, "try")));
    json_decref(json);
    json = encoded(&(protocol_call){.request = PROTOCOL_HELLO});
    assert_false(json_is_true(json_object_get(json, "try")));
    assert_int_equal(json_integer_value(json_object_get(json, "schema")), PROTOCOL_SCHEMA);
    json_decref(json);
    json = encoded(&(protocol_call){.request = PROTOCOL_PARITY, .steps = 10, .path = "p"});
    assert_string_equal(json_string_value(json_object_get(json, "out")), "p");
    json_decref(json);
    json = encoded(&(protocol_call){.request = PROTOCOL_EVALUATE, .path = "d"});
    assert_string_equal(json_string_value(json_object_get(json, "data")), "d");
    json_decref(json);
    json = encoded(&(protocol_call){
        .request = PROTOCOL_MEASURE, .device = "cpu", .threads = 2, .seconds = 0.5});
    assert_string_equal(json_string_value(json_object_get(json, "device")), "cpu");
    assert_int_equal(json_integer_value(json_object_get(json, "threads")), 2);
    assert_true(json_real_value(json_object_get(json, "seconds")) == 0.5);
    json_decref(json);
    json_decref(encoded(&(protocol_call){.request = PROTOCOL_SYNC}));
    json_decref(encoded(&(protocol_call){.request = PROTOCOL_QUIT}));
    json_decref(encoded(&(protocol_call){.request = PROTOCOL_EXPORT, .path = "w"}));
    json_decref(encoded(&(protocol_call){.request = PROTOCOL_PHASES, .steps = 1}));
    assert_int_equal(protocol_request_find("evaluate"), PROTOCOL_EVALUATE);
    assert_int_equal(protocol_request_find("dance"), -1);
}

static void requests_that_the_protocol_forbids(void **state)
{
    (void)state;
    be_error err = {0};
    char *line = NULL;
    protocol_job wrong = job;
    protocol_call call = {.request = PROTOCOL_PREPARE, .job = &wrong};
    wrong.seed = 9223372036854775808u;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "below 2^63",
                 "9223372036854775808");
    wrong = job;
    wrong.batch = 0;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "batch of at least 1, found 0");
    wrong = job;
    wrong.threads = 0;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "at least 1 thread, found 0");
    wrong = job;
    wrong.transforms[0].channels = 5;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE,
                 "1 to 4 channels to normalise, found 5");
    wrong = job;
    wrong.optimizer.lr = NAN;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "finite numbers", "found nan");
    wrong = job;
    wrong.transforms[0].mean[1] = INFINITY;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "finite means", "found inf and 2");
    wrong = job;
    wrong.data = "\xff\xfe";
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "UTF-8");
    wrong.workload = NULL;
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "expected a workload");
    call = (protocol_call){.request = PROTOCOL_RUN};
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "at least 1 step, found 0");
    call = (protocol_call){.request = PROTOCOL_MEASURE, .device = "cpu"};
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "at least 1 thread, found cpu");
    call = (protocol_call){.request = PROTOCOL_MEASURE, .threads = 1};
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "expected a device");
    call = (protocol_call){.request = PROTOCOL_EXPORT};
    ASSERT_FAILS(protocol_encode(&call, &line, &err), BE_USAGE, "expected a path");
    assert_null(line);
}

static be_status parse(protocol_call call, const char *line, protocol_answer *answer, be_error *err)
{
    return protocol_parse(&call, line, strlen(line), answer, err);
}

static const protocol_call hello = {.request = PROTOCOL_HELLO};
static const protocol_call prepare = {.request = PROTOCOL_PREPARE, .job = &job};
static const protocol_call run3 = {.request = PROTOCOL_RUN, .steps = 3};
static const protocol_call evaluate = {.request = PROTOCOL_EVALUATE, .path = "d"};

static void good_answers_are_read(void **state)
{
    (void)state;
    be_error err = {0};
    protocol_answer a;
    ASSERT_OK(parse(hello,
                    "{\"ok\":true,\"schema\":2,\"engine\":\"torch\",\"version\":\"1.13\","
                    "\"libraries\":{\"blas\":\"OpenBLAS\"},\"devices\":[{\"id\":\"cpu\","
                    "\"name\":\"x\",\"more\":1}],\"unknown\":[]}",
                    &a, &err));
    assert_string_equal(a.engine, "torch");
    assert_string_equal(a.version, "1.13");
    assert_int_equal(json_array_size(a.devices), 1);
    protocol_answer_clear(&a);
    ASSERT_OK(parse(prepare,
                    "{\"ok\":true,\"parameters\":62006,\"launches\":18,\"device_name\":\"d\","
                    "\"implementation\":"
                    "\"i\",\"precision\":\"fp32\",\"threads\":2,\"prepare_ns\":0}",
                    &a, &err));
    assert_int_equal(a.parameters, 62006);
    assert_int_equal(a.launches, 18);
    assert_null(a.warnings);
    assert_null(a.unit);
    protocol_answer_clear(&a);
    ASSERT_OK(parse(prepare,
                    "{\"ok\":true,\"parameters\":1,\"unit\":\"token\",\"units_a_sample\":512,"
                    "\"device_name\":\"d\",\"implementation\":\"i\",\"precision\":\"fp32\","
                    "\"threads\":2,\"prepare_ns\":0}",
                    &a, &err));
    assert_string_equal(a.unit, "token");
    assert_float_equal(a.units_a_sample, 512, 0);
    protocol_answer_clear(&a);
    ASSERT_OK(parse(run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":42,\"loss\":2}", &a, &err));
    assert_int_equal(a.wall_ns, 42);
    assert_float_equal(a.loss, 2, 0);
    protocol_answer_clear(&a);
    ASSERT_OK(parse(run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":42,\"loss\":null}", &a, &err));
    assert_true(isnan(a.loss));
    protocol_answer_clear(&a);
    ASSERT_OK(parse(evaluate, "{\"ok\":true,\"count\":10,\"correct\":10,\"loss\":0.5}", &a, &err));
    assert_int_equal(a.correct, 10);
    protocol_answer_clear(&a);
    ASSERT_OK(parse((protocol_call){.request = PROTOCOL_REFERENCE},
                    "{\"ok\":true,\"wall_ns\":2000000}", &a, &err));
    assert_int_equal(a.wall_ns, 2000000);
    protocol_answer_clear(&a);
}

static const protocol_call phases2 = {.request = PROTOCOL_PHASES, .steps = 2};

/* An answer to phases, with one member replaced, or left out for NULL. */
static char *phases_answer(const char *member, const char *value)
{
    static const char *const good =
        "{\"ok\":true,\"steps\":2,\"wall_ns\":9,\"launches\":4,\"synchronisations\":null,"
        "\"upload_bytes\":0,\"download_bytes\":32768,"
        "\"phases\":{\"data\":1,\"upload\":0,\"forward\":4,\"backward\":2,\"optimizer\":1,"
        "\"loss_read\":0,\"idle_host\":null,\"idle_other\":1},"
        "\"work\":{\"cpu\":{\"launches\":4,\"busy_ns\":null}},"
        "\"ops\":[{\"op\":\"conv2d\",\"name\":\"conv1\",\"phase\":\"forward\",\"launches\":2,"
        "\"implementation\":\"native\",\"ns\":4,\"flops\":1e9,\"bytes\":null}]}";
    json_t *answer = json_loads(good, 0, NULL);
    assert_non_null(answer);
    if (member) json_object_del(answer, member);
    if (value) json_object_set_new(answer, member, json_loads(value, JSON_DECODE_ANY, NULL));
    char *line = json_dumps(answer, 0);
    json_decref(answer);
    return line;
}

static void phases_are_read(void **state)
{
    (void)state;
    be_error err = {0};
    protocol_answer a;
    char *line = phases_answer(NULL, NULL);
    ASSERT_OK(parse(phases2, line, &a, &err));
    assert_int_equal(json_object_size(a.phases), BE_PHASE_COUNT);
    assert_int_equal(a.launches, 4);
    assert_int_equal(a.synchronisations, -1);
    assert_int_equal(a.upload_bytes, 0);
    assert_int_equal(a.download_bytes, 32768);
    assert_int_equal(json_object_size(a.work), 1);
    assert_int_equal(json_array_size(a.ops), 1);
    protocol_answer_clear(&a);
    free(line);
}

#define PHASES(rest) "{\"data\":1,\"upload\":0,\"forward\":4,\"backward\":2,\"optimizer\":1," rest
#define OP(rest) "[{\"op\":\"a\",\"name\":\"\",\"implementation\":\"n\",\"launches\":2," rest "}]"

static void bad_phases_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *member, *value, *piece;
    } cases[] = {
        {"steps", "1", "\"steps\" to be 2, found 1"},
        {"wall_ns", "0", "\"wall_ns\" to be an integer of at least 1, found 0"},
        {"launches", "-1", "\"launches\" to be an integer of at least 0, or null, found -1"},
        {"launches", NULL, "\"launches\" to be an integer of at least 0, or null, found nothing"},
        {"synchronisations", "1.5", "\"synchronisations\" to be an integer"},
        {"upload_bytes", "\"1\"", "\"upload_bytes\" to be an integer"},
        {"download_bytes", "true", "\"download_bytes\" to be an integer"},
        {"phases", NULL, "\"phases\" to be an object with data, upload, forward"},
        {"phases", "[]", "\"phases\" to be an object with data, upload, forward"},
        {"phases", "{\"forward\":9}", "found {\"forward\":9}"},
        {"phases", PHASES("\"loss_read\":0,\"idle_host\":0}"), "\"phases\" to be"},
        {"phases", PHASES("\"loss_read\":0,\"idle_host\":0,\"other\":1}"), "\"phases\" to be"},
        {"phases", PHASES("\"loss_read\":0,\"idle_host\":-1,\"idle_other\":1}"), "\"phases\""},
        {"phases", PHASES("\"loss_read\":0,\"idle_host\":1,\"idle_other\":1,\"more\":1}"),
         "\"phases\" to be"},
        {"work", NULL, "\"work\" to be an object of objects"},
        {"work", "{\"cpu\":4}", "\"work\" to be an object of objects"},
        {"work", "{\"cpu\":{\"launches\":null,\"busy_ns\":1}}", "\"work\" to be"},
        {"work", "{\"cpu\":{\"launches\":1}}", "\"work\" to be"},
        {"ops", "{}", "\"ops\" to be a list, found {}"},
        {"ops", "[7]", "\"ops\" to be a list of objects with op, name, phase"},
        {"ops", OP("\"phase\":\"lunch\",\"ns\":1,\"flops\":1,\"bytes\":1"), "\"ops\" to be"},
        {"ops", OP("\"ns\":1,\"flops\":1,\"bytes\":1"), "\"ops\" to be"},
        {"ops", OP("\"phase\":\"data\",\"ns\":null,\"flops\":1,\"bytes\":1"), "\"ops\" to be"},
        {"ops", OP("\"phase\":\"data\",\"ns\":1,\"flops\":-1,\"bytes\":1"), "\"ops\" to be"},
        {"ops", OP("\"phase\":\"data\",\"ns\":1,\"flops\":1"), "\"ops\" to be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        be_error err = {0};
        protocol_answer a;
        char *line = phases_answer(cases[i].member, cases[i].value);
        ASSERT_FAILS(parse(phases2, line, &a, &err), BE_BAD_DATA, cases[i].piece);
        assert_null(a.json);
        free(line);
    }
}

#define MEASURE(numbers)                                                                   \
    "{\"op\":\"linear\",\"implementation\":\"own\",\"kernel\":1,\"pixels\":1,\"batch\":8," \
    "\"passes\":2,\"elements\":80,\"flops\":1e6,\"bytes\":4096," numbers "}"
#define SOUND MEASURE("\"out\":10,\"in\":8,\"launches\":1,\"seconds\":1e-5")

static void calibration_is_read(void **state)
{
    (void)state;
    be_error err = {0};
    protocol_answer a;
    protocol_call call = {.request = PROTOCOL_CALIBRATE, .seconds = 2.5};
    char *line = NULL;
    ASSERT_OK(protocol_encode(&call, &line, &err));
    assert_string_equal(line, "{\"op\":\"calibrate\",\"seconds\":2.5}\n");
    free(line);
    ASSERT_OK(parse(call, "{\"ok\":true,\"ops\":[" SOUND "],\"points\":[" SOUND "," SOUND "]}", &a,
                    &err));
    assert_int_equal(json_array_size(a.ops), 1);
    assert_int_equal(json_array_size(a.points), 2);
    protocol_answer_clear(&a);
    ASSERT_OK(parse(call, "{\"ok\":true,\"ops\":[],\"points\":[]}", &a, &err));
    protocol_answer_clear(&a);
    static const char *const bad[] = {
        "7",
        "{}",
        MEASURE("\"out\":10,\"in\":8,\"launches\":1"),
        MEASURE("\"out\":10,\"in\":8,\"launches\":1,\"seconds\":-1"),
        MEASURE("\"out\":10,\"in\":8,\"launches\":1,\"seconds\":\"1\""),
        MEASURE("\"out\":10,\"in\":8,\"launches\":1.5,\"seconds\":1"),
        MEASURE("\"out\":10,\"in\":8,\"launches\":-1,\"seconds\":1"),
        MEASURE("\"out\":10,\"in\":null,\"launches\":1,\"seconds\":1"),
        MEASURE("\"out\":-10,\"in\":8,\"launches\":1,\"seconds\":1"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int in_points = 0; in_points < 2; in_points++) {
            char text[1200];
            snprintf(text, sizeof text, "{\"ok\":true,\"ops\":[%s],\"points\":[%s]}",
                     in_points ? SOUND : bad[i], in_points ? bad[i] : SOUND);
            ASSERT_FAILS(parse(call, text, &a, &err), BE_BAD_DATA,
                         in_points ? "\"points\"" : "\"ops\"");
            assert_null(a.json);
        }
    ASSERT_FAILS(parse(call, "{\"ok\":true,\"ops\":[]}", &a, &err), BE_BAD_DATA, "\"points\"");
    ASSERT_FAILS(parse(call, "{\"ok\":true,\"ops\":{},\"points\":[]}", &a, &err), BE_BAD_DATA,
                 "\"ops\"");
}

static void losses_are_one_a_step(void **state)
{
    (void)state;
    be_error err = {0};
    protocol_answer a;
    protocol_call call = {.request = PROTOCOL_RUN, .steps = 2, .losses = true};
    const char *head = "{\"ok\":true,\"steps\":2,\"wall_ns\":1,\"loss\":1";
    char line[200];
    snprintf(line, sizeof line, "%s,\"losses\":[1.5,null]}", head);
    ASSERT_OK(parse(call, line, &a, &err));
    assert_int_equal(json_array_size(a.losses), 2);
    protocol_answer_clear(&a);
    snprintf(line, sizeof line, "%s,\"losses\":[1.5]}", head);
    ASSERT_FAILS(parse(call, line, &a, &err), BE_BAD_DATA, "one for each step");
    snprintf(line, sizeof line, "%s,\"losses\":[1.5,\"2\"]}", head);
    ASSERT_FAILS(parse(call, line, &a, &err), BE_BAD_DATA, "one for each step");
    snprintf(line, sizeof line, "%s}", head);
    ASSERT_FAILS(parse(call, line, &a, &err), BE_BAD_DATA, "\"losses\"", "found nothing");
}

static void bad_answers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const protocol_call *call;
        const char *line, *piece;
    } cases[] = {
        {&run3, "", "found 0 bytes"},
        {&run3, "[1]", "found [1]"},
        {&run3, "{\"ok\":true", "one JSON object"},
        {&run3, "{\"ok\":true} {}", "one JSON object"},
        {&run3, "{\"ok\":1}", "expected \"ok\" to be true or false, found 1"},
        {&run3, "{}", "expected \"ok\" to be true or false, found nothing"},
        {&run3, "{\"ok\":true,\"ok\":true}", "duplicate"},
        {&run3, "{\"ok\":true,\"steps\":2,\"wall_ns\":1,\"loss\":1}", "to be 3, found 2"},
        {&run3, "{\"ok\":true,\"steps\":3.0,\"wall_ns\":1,\"loss\":1}", "to be 3, found 3.0"},
        {&run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":0,\"loss\":1}", "at least 1, found 0"},
        {&run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":-5,\"loss\":1}", "at least 1, found -5"},
        {&run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":1}", "\"loss\" to be a number or null"},
        {&run3, "{\"ok\":true,\"steps\":3,\"wall_ns\":1,\"loss\":NaN}", "one JSON object"},
        {&run3, "{\"ok\":false}", "expected \"status\" to be a string, found nothing"},
        {&run3, "{\"ok\":false,\"status\":\"IO\"}", "expected \"error\" to be a string"},
        {&run3, "{\"ok\":false,\"status\":\"INTERRUPTED\",\"error\":\"\"}", "one of FAILED"},
        {&evaluate, "{\"ok\":true,\"count\":10,\"correct\":11,\"loss\":0}", "from 0 to 10"},
        {&evaluate, "{\"ok\":true,\"count\":0,\"correct\":0,\"loss\":0}", "at least 1"},
        {&hello, "{\"ok\":true,\"schema\":1}", "expected \"schema\" to be 2, found 1"},
        {&hello, "{\"ok\":true,\"schema\":2,\"engine\":\"e\",\"version\":\"v\",\"libraries\":[]}",
         "\"libraries\" to be an object of strings"},
        {&hello,
         "{\"ok\":true,\"schema\":2,\"engine\":\"e\",\"version\":\"v\",\"libraries\":{\"a\":1}}",
         "\"libraries\" to be an object of strings"},
        {&hello,
         "{\"ok\":true,\"schema\":2,\"engine\":\"e\",\"version\":\"v\",\"libraries\":{},"
         "\"devices\":[{\"id\":\"cpu\"}]}",
         "strings id and name"},
        {&hello,
         "{\"ok\":true,\"schema\":2,\"engine\":\"e\",\"version\":\"v\",\"libraries\":{},"
         "\"devices\":[3]}",
         "strings id and name"},
        {&prepare, "{\"ok\":true,\"parameters\":-1}", "\"parameters\""},
        {&prepare, "{\"ok\":true,\"parameters\":1,\"launches\":-1}", "\"launches\""},
        {&prepare, "{\"ok\":true,\"parameters\":1,\"unit\":\"token\"}",
         "\"units_a_sample\" to be a number above 0"},
        {&prepare,
         "{\"ok\":true,\"parameters\":1,\"device_name\":\"d\",\"implementation\":\"i\","
         "\"precision\":\"fp32\",\"threads\":0,\"prepare_ns\":0}",
         "\"threads\" to be an integer from 1 to 2147483647, found 0"},
        {&prepare,
         "{\"ok\":true,\"parameters\":1,\"device_name\":\"d\",\"implementation\":\"i\","
         "\"precision\":\"fp32\",\"threads\":1,\"prepare_ns\":0,\"warnings\":[1]}",
         "\"warnings\" to be a list of strings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        be_error err = {0};
        protocol_answer a;
        ASSERT_FAILS(parse(*cases[i].call, cases[i].line, &a, &err), BE_BAD_DATA, cases[i].piece);
        assert_null(a.json);
        assert_false(a.refused);
    }
}

static void refusals_keep_their_status(void **state)
{
    (void)state;
    be_error err = {0};
    protocol_answer a;
    ASSERT_FAILS(
        parse(run3, "{\"ok\":false,\"status\":\"NO_MEMORY\",\"error\":\"too big\"}", &a, &err),
        BE_NO_MEMORY, "run: too big");
    assert_true(a.refused);
    ASSERT_FAILS(
        parse(run3, "{\"ok\":false,\"status\":\"BAD_DATA\",\"error\":\"e\\u001b[2J\"}", &a, &err),
        BE_BAD_DATA, "run: e?[2J");
    assert_true(a.refused);
}

static void texts_are_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool lines;
    } cases[] = {
        {"plain", "plain", false},
        {"a\nb\tc", "a b c", false},
        {"a\nb", "a\nb", true},
        {"\x1b[31m\x07", "?[31m?", false},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", false},
        {"\xff\xc3", "??", false},
        {"\xc0\xaf", "??", false},
        {"\xed\xa0\x80", "???", false},
        {"\xf4\x90\x80\x80", "????", false},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", false},
        {"\xc2\x9b", "?", false},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(
            text_clean(cases[i].in, strlen(cases[i].in), cases[i].lines, out, sizeof out),
            cases[i].out);
    assert_string_equal(text_clean("ab\xc3\xbc", 4, false, out, 4), "ab");
    assert_string_equal(text_clean("ab", 2, false, out, 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepare_has_all_members),
        cmocka_unit_test(a_schedule_is_told_where_there_is_one),
        cmocka_unit_test(other_requests_have_theirs),
        cmocka_unit_test(requests_that_the_protocol_forbids),
        cmocka_unit_test(good_answers_are_read),
        cmocka_unit_test(phases_are_read),
        cmocka_unit_test(bad_phases_are_refused),
        cmocka_unit_test(calibration_is_read),
        cmocka_unit_test(losses_are_one_a_step),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(refusals_keep_their_status),
        cmocka_unit_test(texts_are_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
