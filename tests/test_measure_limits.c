/* Tests of the limits of a device: what goes into JSON comes back, damage is found; what is
 * measured is believed only where it may be. */
#include <math.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "fake_clock.h"
#include "machine/limits_measure.h"
#include "machine/load.h"
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

static void a_name_in_other_bytes_is_told_in_utf8(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *json = NULL;
    limits l = example();
    strcpy(l.device_name, "\xff\xfe");
    ASSERT_OK(limits_to_json(&l, &json, &err));
    assert_string_equal(json_string_value(json_object_get(json, "device_name")),
                        "\xEF\xBF\xBD\xEF\xBF\xBD");
    json_decref(json);
}

/* ---------------------------------------------------------------- measuring */

/* A device whose work takes what the test says, by a clock of its own. */
static struct {
    fake_clock clock;
    double fixed_s, once_s, power; /* of a piece of work: fixed + once · times^power */
} made = {.clock = {.tick_ns = 20, .born_s = 1700000000}};

static be_status made_run(device_probe *probe, probe_kind kind, int64_t times, be_error *err)
{
    (void)probe, (void)kind, (void)err;
    double work_s = made.fixed_s + made.once_s * pow((double)times, made.power);
    made.clock.now_ns += (int64_t)(work_s * 1e9);
    return BE_OK;
}

static be_status made_step(program *p, int64_t steps, bool checked, be_error *err)
{
    (void)p, (void)checked;
    return made_run(NULL, PROBE_ARITHMETIC, steps, err);
}

static be_status made_new(be_device *device, device_probe **out, be_error *err)
{
    static device_probe probe;
    (void)err;
    probe = (device_probe){
        .device = device,
        .amount = {[PROBE_ARITHMETIC] = 1e6,
                   [PROBE_MEMORY] = 4e6,
                   [PROBE_LAUNCH] = 1,
                   [PROBE_UPLOAD] = 1,
                   [PROBE_DOWNLOAD] = 1},
        .most_launches = 256,
        .transfer_most_bytes = 1 << 20,
    };
    *out = &probe;
    return BE_OK;
}

static void made_free(device_probe *probe)
{
    (void)probe;
}

static limits measure_made(double fixed_s, double once_s, double power)
{
    be_error err = {0};
    be_device *device = NULL;
    limits found;
    ASSERT_OK(be_device_open("null:0", NULL, &device, &err));
    device_vtable vtable = *device->vtable;
    vtable.run = made_step;
    vtable.probe_new = made_new;
    vtable.probe_free = made_free;
    vtable.probe_run = made_run;
    device->vtable = &vtable;
    made.fixed_s = fixed_s;
    made.once_s = once_s;
    made.power = power;
    fake_clock_use(&made.clock);
    be_status status = limits_measure(device, 0.1, &found, &err);
    fake_clock_end();
    be_device_close(device);
    ASSERT_OK(status);
    return found;
}

static bool is_near(double found, double expected)
{
    return fabs(found / expected - 1) < 0.02;
}

static void work_that_takes_its_time_is_believed(void **state)
{
    (void)state;
    limits l = measure_made(1e-7, 1e-6, 1);
    assert_string_equal(l.device, "null:0");
    assert_true(is_near(l.flops_fp32, 1e6 / 1e-6));
    assert_true(is_near(l.memory_bytes_per_s, 4e6 / 1e-6));
    assert_true(isnan(l.cache_bytes_per_s)); /* the device has none */
    assert_true(isnan(l.flops_tf32) && isnan(l.flops_bf16));
    assert_true(is_near(l.round_trip_s, 1.1e-6)); /* each is waited for */
    assert_int_equal(l.transfer_count, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(l.transfers[i].bytes, 4096 << 2 * i);
        assert_true(is_near(l.transfers[i].up_s, 1e-6));
        assert_true(is_near(l.transfers[i].down_s, 1e-6));
    }
    assert_true(l.unix_s >= 1700000000 && l.unix_s < 1700001000);
}

/* Starting 128 launches and waiting for them costs half of what they take: one more is still what
 * one more costs. */
static void a_launch_is_without_its_round_trip(void **state)
{
    (void)state;
    assert_true(is_near(measure_made(64e-6, 1e-6, 1).launch_s, 1e-6));
}

static void work_that_does_not_double_is_not_believed(void **state)
{
    (void)state;
    const struct {
        double fixed_s, once_s, power;
    } cases[] = {{1e-3, 0, 1},    /* the same whatever is asked: nothing was done */
                 {0, 1e-6, 0.5},  /* less than asked */
                 {0, 1e-6, 1.5}}; /* twice the work takes 2.8 times the time */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        limits l = measure_made(cases[i].fixed_s, cases[i].once_s, cases[i].power);
        assert_true(isnan(l.flops_fp32) && isnan(l.memory_bytes_per_s) && isnan(l.launch_s));
        assert_true(isnan(l.transfers[0].up_s) && isnan(l.transfers[4].down_s));
    }
}

static bool is_rate(double value)
{
    return isnan(value) || (value > 0 && isfinite(value));
}

/* Real devices, briefly, and again until a busy machine lets the arithmetic be believed. */
static void measure_device(const char *id, bool copies)
{
    be_error err = {0};
    be_device *device = NULL;
    limits l = limits_unknown();
    ASSERT_OK(be_device_open(id, &(be_device_options){.threads = 1}, &device, &err));
    load_sample from = load_take(NULL);
    int64_t own_ns = load_own_cpu_ns();
    for (int i = 0; i < 50 && isnan(l.flops_fp32); i++) {
        ASSERT_OK(limits_measure(device, 0.05, &l, &err));
        assert_true(is_rate(l.flops_fp32) && is_rate(l.memory_bytes_per_s));
        assert_true(is_rate(l.cache_bytes_per_s) && is_rate(l.launch_s));
        assert_true(is_rate(l.round_trip_s));
    }
    load_sample to = load_take(NULL);
    double others = load_other_share(&from, &to, load_own_cpu_ns() - own_ns);
    if (isnan(l.flops_fp32) && others > LOAD_BUSY) {
        print_message("# SKIP %s: other programs used %.0f %% of the processors\n", id,
                      100 * others);
        be_device_close(device);
        skip();
    }
    assert_true(l.flops_fp32 > 1e6 && l.flops_fp32 < 1e18);
    assert_true(isnan(l.launch_s) || l.launch_s < 1);
    assert_int_equal(l.transfer_count > 0, copies);
    assert_string_equal(l.device, id);
    assert_string_equal(l.device_name, be_device_name(device));
    be_device_close(device);
}

static void the_processor_is_measured(void **state)
{
    (void)state;
    measure_device("cpu", false);
}

static void a_device_behind_opencl_is_measured(void **state)
{
    (void)state;
    measure_device("opencl:0", true);
}

static void what_computes_nothing_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    be_device *device = NULL;
    limits l;
    ASSERT_OK(be_device_open("null:0", NULL, &device, &err));
    ASSERT_FAILS(limits_measure(device, 0.05, &l, &err), BE_UNAVAILABLE, "null:0",
                 "it computes nothing", "name another device");
    assert_true(isnan(l.flops_fp32));
    be_device_close(device);
}

static be_status make_probe(void *device, be_error *err)
{
    device_probe *probe = NULL;
    const device_vtable *vtable = ((be_device *)device)->vtable;
    TRY(vtable->probe_new(device, &probe, err));
    be_status status = vtable->probe_run(probe, PROBE_LAUNCH, 2, err);
    vtable->probe_free(probe);
    return status;
}

static void allocations_of_a_probe_fail(void **state)
{
    (void)state;
    be_error err = {0};
    be_device *device = NULL;
    ASSERT_OK(be_device_open("null:0", NULL, &device, &err));
    gpu_driver *driver = ((gpu_device *)device)->driver;
    driver->facts.is_null = false;
    driver->facts.memory_bytes = 1 << 20;
    assert_true(support_fail_each_allocation(make_probe, device, 50) > 5);
    be_device_close(device);
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    assert_int_equal(support_fail_each_allocation(make_probe, device, 50), 2);
    be_device_close(device);
}

static void each_precision_has_its_peak(void **state)
{
    (void)state;
    limits l = limits_unknown();
    l.flops_fp32 = 1e12;
    assert_true(*limits_peak(&l, "fp32") == 1e12);
    assert_true(isnan(*limits_peak(&l, "tf32")) && isnan(*limits_peak(&l, "bf16")));
    *limits_peak(&l, "bf16") = 4e12;
    assert_true(l.flops_bf16 == 4e12 && l.flops_fp32 == 1e12 && isnan(l.flops_tf32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_unknown_is_null),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(a_name_in_other_bytes_is_told_in_utf8),
        cmocka_unit_test(work_that_takes_its_time_is_believed),
        cmocka_unit_test(a_launch_is_without_its_round_trip),
        cmocka_unit_test(work_that_does_not_double_is_not_believed),
        cmocka_unit_test(the_processor_is_measured),
        cmocka_unit_test(a_device_behind_opencl_is_measured),
        cmocka_unit_test(what_computes_nothing_is_refused),
        cmocka_unit_test(allocations_of_a_probe_fail),
        cmocka_unit_test(each_precision_has_its_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
