/* The search for the fastest algorithm of a product: with planted times on the fake cuBLASLt. */
#include <stdlib.h>

#include "backend/cuda/cublaslt_search.h"
#include "fake_cuda/search_world.h"

static int open_world(void **state)
{
    return search_world_open(state, "libcublasLt.so.13", "fake_cublaslt_ns",
                             "fake_cublaslt_products");
}

static int clean(void **state)
{
    (void)state;
    unsetenv("FAKE_CUBLASLT_TIMES");
    unsetenv("FAKE_CUBLASLT_FAIL");
    unsetenv("BREAKEVEN_TUNE_SECONDS");
    world.driver->base.search = (gpu_search_count){0};
    return 0;
}

static cublaslt_product product_of(int64_t rows)
{
    return (cublaslt_product){.rows = rows,
                              .columns = 16,
                              .depth = 8,
                              .transpose_b = true,
                              .bias = true,
                              .type = BE_BF16};
}

/* The place of the algorithm that is taken for a product of that many rows. */
static int taken(int64_t rows, const char *times, bool may_try)
{
    be_error err = {0};
    cublaslt_product product = product_of(rows);
    cublaslt_plan plan;
    setenv("FAKE_CUBLASLT_TIMES", times, 1);
    ASSERT_OK(cublaslt_plan_new(world.driver->math, world.driver->cublaslt, &product, &plan, &err));
    ASSERT_OK(cublaslt_search(world.driver, &product, may_try, &plan, &err));
    int place = (int)plan.algorithm.data[2];
    cublaslt_plan_free(&plan);
    return place;
}

static void fastest_is_taken_and_kept(void **state)
{
    (void)state;
    assert_int_equal(taken(10, "30 20 10 40", true), 2);
    int64_t products = *world.runs;
    assert_true(products > 0);
    /* Whatever would be the fastest now: another run gives the same bits. */
    assert_int_equal(taken(10, "30 1 10 40", true), 2);
    assert_int_equal(taken(10, "30 1 10 40", false), 2);
    assert_int_equal(*world.runs, products);
    assert_int_equal(taken(11, "30 1 10 40", true), 1);
}

/* Noise is no reason. */
static void favourite_is_left_for_a_gain_alone(void **state)
{
    (void)state;
    assert_int_equal(taken(20, "100 98 99", true), 0);
    assert_int_equal(taken(21, "100 96 99", true), 1);
}

static void one_algorithm_is_not_tried(void **state)
{
    (void)state;
    int64_t products = *world.runs;
    assert_int_equal(taken(30, "10", true), 0);
    assert_int_equal(*world.runs, products);
}

/* A plan that runs nothing decides nothing either. */
static void dry_run_tries_nothing(void **state)
{
    (void)state;
    int64_t products = *world.runs;
    assert_int_equal(taken(40, "30 10", false), 0);
    assert_int_equal(*world.runs, products);
    assert_int_equal(taken(40, "30 10", true), 1);
}

/* What no trial has said is not kept. */
static void trials_that_fail(void **state)
{
    (void)state;
    setenv("FAKE_CUBLASLT_FAIL", "13", 1);
    assert_int_equal(taken(50, "30 10", true), 0);
    unsetenv("FAKE_CUBLASLT_FAIL");
    assert_int_equal(taken(50, "30 10", true), 1);
}

/* The time for all searches is over: the favourite, from now on. */
static void time_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(taken(60, "9000000 1000000", true), 1);
    gpu_search_count *count = &world.driver->base.search;
    assert_true(count->ns > INT64_C(10000000000));
    int64_t products = *world.runs;
    assert_int_equal(taken(61, "9000000 1000000", true), 0);
    assert_int_equal(*world.runs, products);
    assert_true(count->searched == 1 && count->cut == 1 && count->kept == 0);
    *count = (gpu_search_count){0};
    assert_int_equal(taken(61, "9000000 1000000", true), 0);
    assert_int_equal(taken(60, "9000000 1000000", true), 1);
    assert_true(count->searched == 0 && count->cut == 1 && count->kept == 1);
}

/* A longer limit searches what a shorter one left out, and nothing else; 0 searches nothing. */
static void a_longer_limit_goes_on(void **state)
{
    (void)state;
    setenv("BREAKEVEN_TUNE_SECONDS", "0", 1);
    int64_t products = *world.runs;
    assert_int_equal(taken(80, "30 10", true), 0);
    assert_int_equal(*world.runs, products);
    setenv("BREAKEVEN_TUNE_SECONDS", "5", 1);
    assert_int_equal(taken(81, "30 10 20", true), 1);
    assert_int_equal(taken(80, "30 20 10", true), 2);
    setenv("BREAKEVEN_TUNE_SECONDS", "6", 1);
    assert_int_equal(taken(81, "10 30 20", true), 1);
}

/* Where nothing can be kept a second run could choose otherwise. */
static void nothing_can_be_kept(void **state)
{
    (void)state;
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    assert_int_equal(taken(70, "30 10", true), 0);
    setenv("XDG_CACHE_HOME", fake_world_cache, 1);
    assert_int_equal(taken(70, "30 10", true), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fastest_is_taken_and_kept, clean),
        cmocka_unit_test_setup(favourite_is_left_for_a_gain_alone, clean),
        cmocka_unit_test_setup(one_algorithm_is_not_tried, clean),
        cmocka_unit_test_setup(dry_run_tries_nothing, clean),
        cmocka_unit_test_setup(trials_that_fail, clean),
        cmocka_unit_test_setup(time_is_bounded, clean),
        cmocka_unit_test_setup(a_longer_limit_goes_on, clean),
        cmocka_unit_test_setup(nothing_can_be_kept, clean),
    };
    return cmocka_run_group_tests(tests, open_world, search_world_close);
}
