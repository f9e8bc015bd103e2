/* Tests of the limits of a device: what goes into JSON comes back, and damage is found. */
#include <math.h>
#include <string.h>

#include "measure/limits.h"
#include "support.h"

static limits example(void)
{
    limits l = limits_unknown();
    strcpy(l.device, "opencl:0");
    strcpy(l.device_name, "A device \"with\" marks");
    l.threads = 3;
    l.flops_fp32 = 1.25e13;
    l.flops_bf16 = 9.875e14;
    l.memory_bytes_per_s = 3.35e12;
    l.launch_s = 1.5e-6;
    l.round_trip_s = 8.25e-6;
    l.transfer_count = 2;
    l.transfers[0] = (limits_transfer){4096, 2e-6, NAN};
    l.transfers[1] = (limits_transfer){(int64_t)1 << 33, 0.125, 0.25};
    l.unix_s = 1790000000;
    return l;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *json = NULL;
    limits in = example(), out;
    ASSERT_OK(limits_to_json(&in, &json, &err));
    char *text = json_dumps(json, 0);
    json_decref(json);
    json = json_loads(text, 0, NULL);
    free(text);
    ASSERT_OK(limits_of_json(json, &out, &err));
    json_decref(json);
    assert_string_equal(out.device, in.device);
    assert_string_equal(out.device_name, in.device_name);
    assert_int_equal(out.threads, in.threads);
    assert_true(out.flops_fp32 == in.flops_fp32 && isnan(out.flops_tf32));
    assert_true(out.flops_bf16 == in.flops_bf16);
    assert_true(out.memory_bytes_per_s == in.memory_bytes_per_s && isnan(out.cache_bytes_per_s));
    assert_true(out.launch_s == in.launch_s && out.round_trip_s == in.round_trip_s);
    assert_int_equal(out.transfer_count, 2);
    assert_int_equal(out.transfers[1].bytes, in.transfers[1].bytes);
    assert_true(out.transfers[0].up_s == 2e-6 && isnan(out.transfers[0].down_s));
    assert_true(out.transfers[1].up_s == 0.125 && out.transfers[1].down_s == 0.25);
    assert_int_equal(out.unix_s, in.unix_s);
}

/* Never 0: a reader could take it for a measured speed. */
static void what_is_unknown_is_null(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *json = NULL;
    limits l = limits_unknown();
    l.launch_s = 0;
    l.round_trip_s = INFINITY;
    ASSERT_OK(limits_to_json(&l, &json, &err));
    static const char *const members[] = {
        "flops_fp32",        "flops_tf32", "flops_bf16",   "memory_bytes_per_s",
        "cache_bytes_per_s", "launch_s",   "round_trip_s",
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_true(json_is_null(json_object_get(json, members[i])));
    assert_int_equal(json_array_size(json_object_get(json, "transfers")), 0);
    json_decref(json);
}

static void damage_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *member, *value, *found;
    } damages[] = {
        {"flops_fp32", "0", "expected \"flops_fp32\" to be a number above 0, or null, found 0"},
        {"launch_s", "-1e-6", "\"launch_s\""},
        {"round_trip_s", "\"fast\"", "found \"fast\""},
        {"device", "\"a device whose id is far too long\"", "\"device\""},
        {"threads", "-1", "\"threads\""},
        {"unix_s", "1.5", "\"unix_s\""},
        {"transfers", "{}", "\"transfers\""},
        {"transfers", "[{\"bytes\":0,\"up_s\":1,\"down_s\":1}]", "by rising size"},
        {"transfers", "[{\"bytes\":8,\"up_s\":1}]",
         "\"down_s\" to be a number above 0, or null, "
         "found nothing"},
        {"transfers", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "at most 16"},
    };
    be_error err = {0};
    limits in = example(), out;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        json_t *json = NULL;
        ASSERT_OK(limits_to_json(&in, &json, &err));
        json_object_set_new(json, damages[i].member,
                            json_loads(damages[i].value, JSON_DECODE_ANY, NULL));
        ASSERT_FAILS(limits_of_json(json, &out, &err), BE_BAD_DATA, damages[i].found,
                     "measure them again");
        assert_true(isnan(out.flops_bf16));
        assert_int_equal(out.transfer_count, 0);
        json_object_del(json, damages[i].member);
        ASSERT_FAILS(limits_of_json(json, &out, &err), BE_BAD_DATA, damages[i].member);
        json_decref(json);
    }
    ASSERT_FAILS(limits_of_json(NULL, &out, &err), BE_BAD_DATA, "\"device\"");
}

static void a_text_that_is_not_utf8_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *json = NULL;
    limits l = example();
    strcpy(l.device_name, "\xff\xfe");
    ASSERT_FAILS(limits_to_json(&l, &json, &err), BE_FAILED, "UTF-8");
    assert_null(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_unknown_is_null),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(a_text_that_is_not_utf8_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
