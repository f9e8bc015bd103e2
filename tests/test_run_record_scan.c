/* Tests of the reader that makes no JSON: what it tells of a text, and that it takes no record that
 * the decoder would refuse.  That the two agree on whatever there is, is fuzzed (fuzz_scan). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "run/record_decode.h"
#include "support.h"

#define TEXT_BYTES 4096

/* ---------------------------------------------------------------- texts */

static bool write_value(void *context, const json_path *path, const json_scalar *value)
{
    text_buffer *b = context;
    assert_true(path->hash == json_path_hash(path->text));
    text_add(b, "%s=", path->text);
    if (value->type == JSON_OBJECT || value->type == JSON_ARRAY)
        text_add(b, value->type == JSON_OBJECT ? "{} " : "[] ");
    else if (value->type == JSON_STRING)
        text_add(b, "'%s' ", value->text);
    else if (value->type == JSON_INTEGER || value->type == JSON_REAL)
        text_add(b, value->type == JSON_REAL ? "%.17g " : "%.0fi ", value->real);
    else
        text_add(b, value->type == JSON_NULL ? "null " : value->type == JSON_TRUE ? "yes " : "no ");
    return true;
}

/* What is told of a text; NULL where it is not taken. */
static const char *told(const char *text, size_t length)
{
    static char out[TEXT_BYTES];
    char copy[TEXT_BYTES];
    assert_true(length < sizeof copy);
    memcpy(copy, text, length);
    copy[length] = 0;
    text_buffer b = TEXT_BUFFER(out);
    return json_scan(copy, length, write_value, &b) ? out : NULL;
}

static void values_are_told_with_their_paths(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":{\"b\":1.5,\"c\":[-2,{\"d\":null}]},\"e\":\"x\\\"\\n\\\\\xC3\xA9\",\"f\":true,"
        "\"g\":false,\"h\":1e-3,\"i\":[],\"j\":{},\"k\":-0.25E+2}";
    assert_string_equal(told(text, sizeof text - 1),
                        "={} a={} a.b=1.5 a.c=[] a.c[]=-2i a.c[]={} a.c[].d=null "
                        "e='x\"\n\\\xC3\xA9' f=yes g=no h=0.001 i=[] j={} k=-25 ");
}

/* Each number is the one that jansson reads. */
static void numbers_are_exact(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0",     "-0",     "0.1",           "123456789012345678", "900719925474099.2", "1e22",
        "1e-22", "-1.5e3", "3.62481695e-7", "0.0151619143",       "2.59561794e10",     "0e5"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[80], expected[80];
        snprintf(text, sizeof text, "[%s]", numbers[i]);
        json_t *json = json_loads(text, 0, NULL);
        const json_t *item = json_array_get(json, 0);
        snprintf(expected, sizeof expected, json_is_real(item) ? "=[] []=%.17g " : "=[] []=%.0fi ",
                 json_number_value(item));
        const char *found = told(text, strlen(text));
        assert_non_null(found);
        assert_string_equal(found, expected);
        json_decref(json);
    }
}

static void what_is_not_sure_is_not_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {
        /* No JSON. */
        "", "{", "}", "[", "[1", "[1,", "[1,]", "{\"a\":1,}", "{\"a\"}", "{\"a\":}", "{a:1}",
        "[1]]", "[1]x", "[01]", "[-]", "[1.]", "[.5]", "[+1]", "[1e]", "[1e+]", "[nul]", "[True]",
        "[\"a]", "[\"a\\\"]", "[\"\\x\"]", "[\"\t\"]", "[\"\\u0000\"]", "[\"\xC3\"]",
        "[\"\xC0\x80\"]", "[\"\xED\xA0\x80\"]", "[\"\xF5\x80\x80\x80\"]", "[\"\x80\"]", "[NaN]",
        "{\"a\":1,\"a\":2}", "{\"a\":1,\"b\":{},\"a\":2}", "[1e999]", "[99999999999999999999]",
        /* JSON that is left to others. */
        "1", "\"a\"", "[ 1]", "{\"a\": 1}", "[1] ", "[\"\\u00e9\"]", "{\"\":1}", "{\"a.b\":1}",
        "{\"a[]\":1}", "[1234567890123456789]", "[9007199254740993.0]", "[1e23]", "[1e-23]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (told(texts[i], strlen(texts[i]))) fail_msg("%s was taken", texts[i]);
    assert_null(told("[1,\0002]", 6));
    assert_null(told("[1]\0", 4));
    assert_string_equal(told("{\"a\":{\"c\":1},\"b\":{\"c\":2}}", 25),
                        "={} a={} a.c=1i b={} b.c=2i ");
}

/* ---------------------------------------------------------------- records */

static const char good[] =
    "{\"schema\":1,\"kind\":\"bench\",\"time\":\"2026-11-20T10:00:00Z\",\"workload\":\"cnn-"
    "fashion\","
    "\"engine\":\"native\",\"device\":\"cpu\",\"batch\":10,\"mode\":\"train\",\"status\":\"OK\","
    "\"error\":null,\"step_s\":{\"median\":0.5,\"low\":0.4,\"high\":0.6},\"samples_per_s\":20.0,"
    "\"blocks\":[0.4,0.5,0.6],\"parity\":{\"error\":1e-7},\"versus\":null,\"epochs\":3,"
    "\"environment\":{\"cpu\":{\"model\":\"a processor\",\"threads\":4},\"memory_bytes\":4096,"
    "\"build\":{\"commit\":\"abc\"}}}";

/* The good record with one of its parts in another form. */
static void change(const char *from, const char *to, char out[TEXT_BYTES])
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    snprintf(out, TEXT_BYTES, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static bool scans(const char *text, record_measured *out)
{
    static char copy[TEXT_BYTES];
    record_index index;
    record_index_make(&index);
    snprintf(copy, sizeof copy, "%s", text);
    return record_scan(&index, copy, strlen(copy), out);
}

static bool decodes(const char *text)
{
    record_measured r;
    record_place place = {"records", "line", 1, 0};
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    be_status status = record_decode(json, NULL, &place, &r, NULL);
    json_decref(json);
    return status == BE_OK;
}

static void a_record_is_read_as_it_stands(void **state)
{
    (void)state;
    record_measured r;
    assert_true(decodes(good));
    assert_true(scans(good, &r));
    assert_string_equal(r.kind, "bench");
    assert_string_equal(r.workload, "cnn-fashion");
    assert_string_equal(r.device, "cpu");
    assert_string_equal(r.environment.cpu.model, "a processor");
    assert_string_equal(r.environment.build.commit, "abc");
    assert_true(r.environment.cpu.threads == 4 && r.environment.memory_bytes == 4096);
    assert_true(r.step_s.median == 0.5 && r.step_s.high == 0.6 && r.samples_per_s == 20);
    assert_true(r.batch == 10 && r.status == BE_OK && r.time == 1795168800);
    assert_true(r.parity.is_known && !r.versus.is_known && r.epochs == 3);
    assert_string_equal(r.engine_version, "");
    assert_true(isnan(r.first_loss) && r.seed == -1);
}

static void what_the_decoder_refuses_is_not_taken(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"\"schema\":1", "\"schema\":2"},
        {"\"schema\":1", "\"schema\":1.0"},
        {"\"schema\":1,", ""},
        {"\"workload\":\"cnn-fashion\"", "\"workload\":\"\""},
        {"\"workload\":\"cnn-fashion\"", "\"workload\":7"},
        {"\"engine\":\"native\"", "\"engine\":null"},
        {"\"device\":\"cpu\",", ""},
        {"2026-11-20T10:00:00Z", "2026-11-20"},
        {"\"batch\":10", "\"batch\":0"},
        {"\"batch\":10", "\"batch\":11"},
        {"\"status\":\"OK\"", "\"status\":\"GOOD\""},
        {"\"error\":null", "\"error\":\"it died\""},
        {"\"median\":0.5", "\"median\":null"},
        {"\"median\":0.5", "\"median\":-0.5"},
        {"\"low\":0.4", "\"low\":0.55"},
        {"\"high\":0.6", "\"high\":0.45"},
        {"\"samples_per_s\":20.0", "\"samples_per_s\":21.0"},
        {"[0.4,0.5,0.6]", "[0.6,0.7]"},
        {"[0.4,0.5,0.6]", "[0.3,0.4]"},
        {"[0.4,0.5,0.6]", "[0.4,null,0.6]"},
        {"[0.4,0.5,0.6]", "[0.4,0.5,\"0.6\"]"},
        {"[0.4,0.5,0.6]", "[0,0.5,0.6]"},
        {"[0.4,0.5,0.6]", "[0.4,2000000,0.6]"},
        {"[0.4,0.5,0.6]", "{\"0\":0.5}"},
        {"[0.4,0.5,0.6]", "\"0.5\""},
        {"\"parity\":{\"error\":1e-7}", "\"parity\":7"},
        {"\"error\":1e-7", "\"error\":{}"},
        {"\"epochs\":3", "\"epochs\":3.5"},
        {"\"epochs\":3", "\"epochs\":3,\"batch\":10"},
        {"\"threads\":4", "\"threads\":0"},
        {"\"threads\":4", "\"threads\":\"4\""},
        {",\"threads\":4", ""},
        {"\"model\":\"a processor\"", "\"model\":[]"},
        {"\"environment\":{", "\"environment\":null,\"elsewhere\":{"},
        {"\"memory_bytes\":4096", "\"memory_bytes\":-1"}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[TEXT_BYTES];
        record_measured r;
        change(changes[i][0], changes[i][1], text);
        if (decodes(text)) fail_msg("decoded: %s", changes[i][1]);
        if (scans(text, &r)) fail_msg("scanned: %s", changes[i][1]);
    }
}

/* What is good is nearly always taken: else the import would be slow, and nobody would see it. */
static void what_the_decoder_takes_is_taken(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"\"samples_per_s\":20.0", "\"samples_per_s\":20"},
        {"\"samples_per_s\":20.0", "\"samples_per_s\":null"},
        {"\"status\":\"OK\",\"error\":null", "\"status\":\"I/O\",\"error\":\"\xC2\xB5s \\\"\""},
        {"\"blocks\":[0.4,0.5,0.6]", "\"blocks\":null"},
        {"\"blocks\":[0.4,0.5,0.6]", "\"blocks\":[]"},
        {"\"epochs\":3", "\"epochs\":null,\"a member of others\":[{\"x\":[]}]"},
        {"\"time\":\"2026-11-20T10:00:00Z\",", ""},
        {"\"median\":0.5,\"low\":0.4,\"high\":0.6", "\"median\":0.5"}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[TEXT_BYTES];
        record_measured r;
        change(changes[i][0], changes[i][1], text);
        bool decoded = decodes(text);
        if (decoded != scans(text, &r)) fail_msg("%s: decoded %d", changes[i][1], decoded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_told_with_their_paths),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(what_is_not_sure_is_not_taken),
        cmocka_unit_test(a_record_is_read_as_it_stands),
        cmocka_unit_test(what_the_decoder_refuses_is_not_taken),
        cmocka_unit_test(what_the_decoder_takes_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
