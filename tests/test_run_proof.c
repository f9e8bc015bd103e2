/* Tests of the proof of device: each piece of evidence by itself, on both sides of its limit. */
#include "support.h"

#include <jansson.h>
#include <math.h>

#include "run/proof.h"

static proof_evidence sound(const char *device)
{
    return (proof_evidence){.name = "torch x",
                            .device = device,
                            .is_cpu = device[0] == 'c' && device[1] == 'p',
                            .busy_threads = 1,
                            .processors = 4,
                            .step_s = 1e-3,
                            .flops_per_step = 1e9,
                            .bytes_per_step = 1e7,
                            .limit_flops_per_s = NAN,
                            .limit_bytes_per_s = NAN};
}

static json_t *work(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static void work_must_be_on_the_device(void **state)
{
    (void)state;
    be_error err = {0};
    proof found;
    proof_evidence e = sound("cuda:0");
    json_t *good = work("{\"cuda:0\": {\"launches\": 40, \"busy_ns\": 900},"
                        " \"cpu\": {\"launches\": 3, \"busy_ns\": 100}}");
    json_t *elsewhere = work("{\"cpu\": {\"launches\": 40, \"busy_ns\": null}}");
    json_t *mostly = work("{\"cuda:0\": {\"launches\": 2, \"busy_ns\": 10},"
                          " \"cpu\": {\"launches\": 40, \"busy_ns\": 990}}");
    json_t *unknown = work("{\"cuda:0\": {\"launches\": 2, \"busy_ns\": null},"
                           " \"cpu\": {\"launches\": 40, \"busy_ns\": 990}}");
    json_t *nowhere = work("{}");
    e.work = good;
    ASSERT_OK(proof_check(&e, &found, &err));
    assert_int_equal(found.launches, 40);
    e.work = unknown;
    ASSERT_OK(proof_check(&e, &found, &err));
    e.work = elsewhere;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "torch x",
                 "expected its operations on cuda:0, found 40 on cpu", "no speed");
    e.work = nowhere;
    ASSERT_OK(proof_check(&e, &found, &err));
    assert_int_equal(found.launches, -1);
    e.work = mostly;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "cuda:0 to do most of the work",
                 "found 1 % of the busy time there", "2 on cuda:0, 40 on cpu");
    e = sound("cpu");
    e.work = good;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "expected cpu to do most", "found 10 %");
    json_decref(good);
    json_decref(elsewhere);
    json_decref(mostly);
    json_decref(unknown);
    json_decref(nowhere);
}

static void the_processor_tells_too(void **state)
{
    (void)state;
    be_error err = {0};
    proof found;
    proof_evidence e = sound("cpu");
    e.busy_threads = 0.06;
    ASSERT_OK(proof_check(&e, &found, &err));
    e.busy_threads = 0.04;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "uses the processor",
                 "found 0.040 threads busy", "runs elsewhere than it says");
    e.busy_threads = NAN;
    ASSERT_OK(proof_check(&e, &found, &err));
    e = sound("cuda:0");
    e.busy_threads = 0.01;
    ASSERT_OK(proof_check(&e, &found, &err));
    e.busy_threads = 3.1;
    ASSERT_OK(proof_check(&e, &found, &err));
    e.busy_threads = 3.3;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "expected launches on cuda:0",
                 "3.3 of 4 threads of the processor busy", "ask for the device cpu");
    e.work = work("{\"cuda:0\": {\"launches\": 40, \"busy_ns\": 900}}");
    ASSERT_OK(proof_check(&e, &found, &err));
    json_decref((json_t *)e.work);
}

static void nothing_beats_the_limits(void **state)
{
    (void)state;
    be_error err = {0};
    proof found;
    proof_evidence e = sound("cpu");
    ASSERT_OK(proof_check(&e, &found, &err));
    assert_true(isnan(found.of_peak) && isnan(found.of_bandwidth));
    e.limit_flops_per_s = 0.95e12;
    e.limit_bytes_per_s = 1e10;
    ASSERT_OK(proof_check(&e, &found, &err));
    assert_float_equal(found.of_peak, 1 / 0.95, 1e-9);
    assert_float_equal(found.of_bandwidth, 1, 1e-9);
    e.limit_flops_per_s = 0.9e12;
    ASSERT_FAILS(proof_check(&e, &found, &err), BE_FAILED, "at most the 900 GFLOP/s",
                 "found 1000 GFLOP/s", "impossible", "devices --measure");
    e.limit_flops_per_s = 0;
    /* What stays in the inner caches moves faster than memory and the last cache do. */
    e.limit_bytes_per_s = 5e9;
    ASSERT_OK(proof_check(&e, &found, &err));
    assert_float_equal(found.of_bandwidth, 2, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_must_be_on_the_device),
        cmocka_unit_test(the_processor_tells_too),
        cmocka_unit_test(nothing_beats_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
