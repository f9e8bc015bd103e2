/* Tests of src/measure/cause.c: planted causes are found, and the right trial is chosen. */
#include "support.h"

#include <math.h>

#include "measure/cause.h"

/* That of cmocka lets NAN pass. */
#define ASSERT_NEAR(found, expected, tolerance) \
    assert_true(fabs((found) - (expected)) <= (tolerance))

/* A step of 1 ms whose arithmetic takes 0.9 ms at the peak. */
static cause_side quick(void)
{
    return (cause_side){.engine = "native",
                        .device = "cpu",
                        .threads = 2,
                        .step_s = 1e-3,
                        .upload_s = 0,
                        .idle_host_s = 0,
                        .rest_s = 0,
                        .launches = 10,
                        .launch_s = 1e-6,
                        .waits = 0,
                        .round_trip_s = 1e-6,
                        .arithmetic_s = 0.9e-3,
                        .memory_s = 0.1e-3,
                        .native_s = 1e-3,
                        .gap_s = NAN,
                        .native = true};
}

static cause ask(const cause_side *winner, const cause_side *loser)
{
    cause_question q = {winner, loser, 32, 60000};
    return cause_of(&q);
}

static void terms_add_up_to_the_step(void **state)
{
    (void)state;
    cause_side side = quick();
    for (int variant = 0; variant < 6; variant++) {
        double terms[CAUSE_TERMS], sum = 0;
        if (variant == 1) side.upload_s = 5e-3; /* more than there is */
        if (variant == 2) side = (cause_side){.step_s = 1, .launches = NAN, .native_s = NAN};
        if (variant == 3) side.arithmetic_s = NAN, side.memory_s = 0.25;
        if (variant == 4) side.data_s = 0.1, side.native_s = 0.2, side.gap_s = 0.05;
        if (variant == 5) side.gap_s = 5;
        cause_split(&side, terms);
        for (int t = 0; t < CAUSE_TERMS; t++) {
            assert_true(terms[t] >= 0);
            sum += terms[t];
        }
        ASSERT_NEAR(sum, side.step_s, 1e-12);
    }
    double terms[CAUSE_TERMS];
    side.gap_s = 0.05;
    cause_split(&side, terms); /* 1 s: data, 0.2 s as the native engine has it, the framework */
    ASSERT_NEAR(terms[CAUSE_DATA], 0.1, 1e-12);
    ASSERT_NEAR(terms[CAUSE_BETWEEN], 0.05, 1e-12);
    ASSERT_NEAR(terms[CAUSE_FRAMEWORK_KERNELS], 0.65, 1e-12);
    ASSERT_NEAR(terms[CAUSE_MEMORY], 0.2, 1e-12);
    ASSERT_NEAR(terms[CAUSE_KERNELS] + terms[CAUSE_FRAMEWORK], 0, 1e-12);
    side.native_s = NAN; /* nothing to hold it against: what the hardware allows */
    cause_split(&side, terms);
    ASSERT_NEAR(terms[CAUSE_MEMORY], 0.25, 1e-12);
    ASSERT_NEAR(terms[CAUSE_KERNELS], 0.65, 1e-12);
    side.waits = 2;
    side.launches = 3;
    side.launch_s = 0.01;
    side.round_trip_s = 0.1;
    cause_split(&side, terms);
    ASSERT_NEAR(terms[CAUSE_LAUNCHES], 0.23, 1e-12);
}

static void launches_bind(void **state)
{
    (void)state;
    cause_side cpu = quick(), gpu = quick();
    gpu.device = "cuda:0";
    gpu.step_s = 2e-3;
    gpu.launches = 46;
    gpu.launch_s = 40e-6; /* 1.84 of 2 ms */
    gpu.arithmetic_s = 0.05e-3;
    cause c = ask(&cpu, &gpu);
    assert_int_equal(c.kind, CAUSE_LAUNCHES);
    assert_true(c.seconds > 1.8e-3 && c.share > 1);
    assert_int_equal(c.action, CAUSE_TRY_BATCH);
    /* 1.84 ms + 5 µs a sample against 10 µs + 30.9 µs a sample. */
    ASSERT_NEAR(c.flip_batch, 1.83e-3 / ((0.99e-3 - 0.16e-3) / 32), 0.5);
    assert_true(c.batch == 128); /* the power of two beyond 1.5 times that */
}

static void the_framework_binds(void **state)
{
    (void)state;
    cause_side native = quick(), torch = quick();
    torch.engine = "torch";
    torch.native = false;
    torch.step_s = 3e-3;
    torch.launches = NAN;
    torch.waits = NAN;
    cause c = ask(&native, &torch);
    assert_int_equal(c.kind, CAUSE_FRAMEWORK);
    ASSERT_NEAR(c.seconds, 2e-3, 1e-9);
    ASSERT_NEAR(c.share, 1, 1e-6);
    assert_int_equal(c.action, CAUSE_TRY_BATCH);
    assert_true(isnan(c.flip_batch) && c.batch == 256);
    torch.gap_s = 1.8e-3; /* 2 ms beyond the native engine, most of it without an op at work */
    c = ask(&native, &torch);
    assert_int_equal(c.kind, CAUSE_BETWEEN);
    ASSERT_NEAR(c.seconds, 1.8e-3, 1e-9);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch == 256);
    torch.gap_s = 0.2e-3;
    c = ask(&native, &torch);
    assert_int_equal(c.kind, CAUSE_FRAMEWORK_KERNELS);
    ASSERT_NEAR(c.seconds, 1.8e-3, 1e-9);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch == 4);
    torch.data_s = 1.9e-3; /* what data takes is not the framework's a second time */
    c = ask(&native, &torch);
    assert_int_equal(c.kind, CAUSE_DATA);
    ASSERT_NEAR(c.seconds, 1.9e-3, 1e-9);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch == 256);
    torch.data_on_host = true; /* on a CPU both words mean the same */
    assert_int_equal(ask(&native, &torch).action, CAUSE_TRY_BATCH);
    torch.device = native.device = "cuda:0";
    assert_int_equal(ask(&native, &torch).action, CAUSE_TRY_DATA_ON_DEVICE);
}

/* What of a step grows with the batch flips at another batch than what does not. */
static void only_what_stays_makes_it_flip(void **state)
{
    (void)state;
    cause_side native = quick(), torch = quick();
    torch.engine = "torch";
    torch.native = false;
    native.step_s = native.arithmetic_s = 2.9e-3;
    torch.step_s = 3e-3;
    torch.native_s = 1e-3;
    torch.arithmetic_s = 0.9e-3;
    torch.launches = native.launches = 0;
    torch.gap_s = 2e-3; /* 2 ms + 1 ms at batch 32 against 2.9 ms */
    ASSERT_NEAR(ask(&native, &torch).flip_batch, 2e-3 / (1.9e-3 / 32), 1e-3);
    torch.gap_s = 0; /* slower kernels: all of it grows */
    assert_true(isnan(ask(&native, &torch).flip_batch));
    torch.gap_s = NAN;
    ASSERT_NEAR(ask(&native, &torch).flip_batch, 2e-3 / (1.9e-3 / 32), 1e-3);
    /* It would flip at a larger batch, but here a smaller one is the opposite: no word of it. */
    native.gap_s = NAN;
    torch.gap_s = 0.9e-3;
    torch.arithmetic_s = 0;
    cause c = ask(&native, &torch);
    assert_int_equal(c.kind, CAUSE_FRAMEWORK_KERNELS);
    assert_true(isnan(c.flip_batch) && c.action == CAUSE_TRY_BATCH && c.batch == 4);
    torch.gap_s = NAN;
    torch.step_s = 34e-3; /* 33 ms of it stay: beyond reach */
    assert_true(isnan(ask(&native, &torch).flip_batch));
}

static void arithmetic_and_memory_bind(void **state)
{
    (void)state;
    cause_side gpu = quick(), cpu = quick();
    gpu.device = "cuda:0";
    gpu.arithmetic_s = 0.5e-3;
    cpu.step_s = 10e-3;
    cpu.arithmetic_s = 9e-3;
    cause c = ask(&gpu, &cpu);
    assert_int_equal(c.kind, CAUSE_ARITHMETIC);
    assert_int_equal(c.action, CAUSE_TRY_BATCH);
    assert_true(c.batch < 32);
    cpu.memory_s = 9.5e-3;
    assert_int_equal(ask(&gpu, &cpu).kind, CAUSE_MEMORY);
    cpu.memory_s = cpu.arithmetic_s = 1e-3;
    c = ask(&gpu, &cpu);
    assert_int_equal(c.kind, CAUSE_KERNELS);
    cpu.device = gpu.device = "cpu"; /* the same hardware: another library may do better */
    gpu.engine = "torch";
    assert_int_equal(ask(&gpu, &cpu).action, CAUSE_TRY_LIBRARY);
}

static void upload_and_idling_bind(void **state)
{
    (void)state;
    cause_side cpu = quick(), gpu = quick();
    gpu.device = "cuda:0";
    gpu.step_s = 2e-3;
    gpu.upload_s = 1.7e-3;
    gpu.arithmetic_s = 0.1e-3;
    gpu.data_on_host = true;
    cause c = ask(&cpu, &gpu);
    assert_int_equal(c.kind, CAUSE_UPLOAD);
    assert_int_equal(c.action, CAUSE_TRY_DATA_ON_DEVICE);
    gpu.data_on_host = false;
    assert_int_equal(ask(&cpu, &gpu).action, CAUSE_TRY_BATCH);
    gpu.upload_s = 0;
    gpu.idle_host_s = 1.7e-3;
    c = ask(&cpu, &gpu);
    assert_int_equal(c.kind, CAUSE_HOST);
    assert_int_equal(c.action, CAUSE_TRY_BATCH);
    gpu.idle_host_s = 0;
    gpu.rest_s = 1.7e-3;
    assert_int_equal(ask(&cpu, &gpu).kind, CAUSE_REST);
}

static void threads_are_a_cause_of_their_own(void **state)
{
    (void)state;
    cause_side one = quick(), two = quick();
    one.threads = 1;
    two.step_s = 1.5e-3;
    cause c = ask(&one, &two);
    assert_int_equal(c.kind, CAUSE_FEWER_THREADS);
    ASSERT_NEAR(c.share, 1, 1e-9);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch > 32);
    two.step_s = 0.5e-3;
    c = ask(&two, &one);
    assert_int_equal(c.kind, CAUSE_MORE_THREADS);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch == 4);
}

static void alone_it_is_held_against_its_limits(void **state)
{
    (void)state;
    cause_side side = quick();
    cause c = ask(&side, NULL);
    assert_int_equal(c.kind, CAUSE_ARITHMETIC);
    ASSERT_NEAR(c.share, 0.9, 1e-9);
    side.launch_s = 90e-6;
    c = ask(&side, NULL);
    assert_int_equal(c.kind, CAUSE_LAUNCHES);
    assert_int_equal(c.action, CAUSE_TRY_ONE_THREAD);
    side.threads = 1;
    assert_int_equal(ask(&side, NULL).action, CAUSE_TRY_BATCH);
}

static void a_batch_stays_within_the_data(void **state)
{
    (void)state;
    cause_side cpu = quick(), gpu = quick();
    gpu.device = "cuda:0";
    gpu.step_s = 2e-3;
    gpu.idle_host_s = 1.9e-3;
    cause_question q = {&cpu, &gpu, 32, 40};
    cause c = cause_of(&q);
    assert_true(c.action == CAUSE_TRY_BATCH && c.batch == 40 && isnan(c.flip_batch));
    q.most_batch = 32;
    assert_int_equal(cause_of(&q).action, CAUSE_TRY_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_add_up_to_the_step),
        cmocka_unit_test(launches_bind),
        cmocka_unit_test(the_framework_binds),
        cmocka_unit_test(only_what_stays_makes_it_flip),
        cmocka_unit_test(arithmetic_and_memory_bind),
        cmocka_unit_test(upload_and_idling_bind),
        cmocka_unit_test(threads_are_a_cause_of_their_own),
        cmocka_unit_test(alone_it_is_held_against_its_limits),
        cmocka_unit_test(a_batch_stays_within_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
