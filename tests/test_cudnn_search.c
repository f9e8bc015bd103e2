/* The search for the fastest engine of a convolution: with planted times on the fake cuDNN, which
 * has two that may be taken; and that equal plans share one. */
#include <stdlib.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cudnn_patterns.h"
#include "backend/cuda/cudnn_search.h"
#include "fake_cuda/fake_cudnn.h"
#include "fake_cuda/search_world.h"
#include "graph/plan.h"

static int open_world(void **state)
{
    return search_world_open(state, "libcudnn.so.9", "fake_cudnn_ns", "fake_cudnn_convolutions");
}

static int clean(void **state)
{
    (void)state;
    unsetenv("FAKE_CUDNN_FIRST");
    unsetenv("FAKE_CUDNN_GOOD");
    unsetenv("FAKE_CUDNN_EXECUTE");
    unsetenv("BREAKEVEN_TUNE_SECONDS");
    world.driver->base.search = (gpu_search_count){0};
    return 0;
}

static cudnn_graph convolution_of(int64_t images, cudnn_direction direction)
{
    cudnn_graph graph;
    cudnn_convolution_graph(&(cudnn_convolution_pattern){.direction = direction,
                                                         .n = images,
                                                         .c = 8,
                                                         .h = 3,
                                                         .w = 3,
                                                         .o = 8,
                                                         .oh = 3,
                                                         .ow = 3,
                                                         .k = {3, 3},
                                                         .stride = {1, 1},
                                                         .padding = {1, 1},
                                                         .last = true,
                                                         .bf16 = true},
                            &graph);
    return graph;
}

/* The engine that is taken for so many images, where the two take so many microseconds. */
static int taken(int64_t images, const char *first, const char *good, bool may_try)
{
    be_error err = {0};
    cudnn_graph graph = convolution_of(images, CUDNN_TO_Y);
    cudnn_place place = {.handle = world.driver->cudnn, .kept = &world.driver->cudnn_choices};
    cudnn_plan plan;
    setenv("FAKE_CUDNN_FIRST", first, 1);
    setenv("FAKE_CUDNN_GOOD", good, 1);
    ASSERT_OK(cudnn_search(world.driver, &graph, may_try, &place.rank, &err));
    ASSERT_OK(cudnn_plan_new(world.driver->math, &place, &graph, &plan, &err));
    int engine = (int)plan.choice->engine;
    cudnn_plan_free(&plan);
    return engine;
}

static void fastest_is_taken_and_kept(void **state)
{
    (void)state;
    assert_int_equal(taken(1, "30", "10", true), ENGINE_GOOD);
    int64_t count = *world.runs;
    assert_true(count > 0);
    /* Whatever would be the fastest now: another run gives the same bits. */
    assert_int_equal(taken(1, "10", "30", true), ENGINE_GOOD);
    assert_int_equal(taken(1, "10", "30", false), ENGINE_GOOD);
    assert_int_equal(*world.runs, count);
    assert_int_equal(taken(2, "10", "30", true), ENGINE_TENSOR_CORE);
}

/* Noise is no reason. */
static void favourite_is_left_for_a_gain_alone(void **state)
{
    (void)state;
    assert_int_equal(taken(3, "100", "98", true), ENGINE_TENSOR_CORE);
    assert_int_equal(taken(4, "100", "96", true), ENGINE_GOOD);
}

/* The same table by two engines at once: neither gets the other's. */
static void ranks_are_apart(void **state)
{
    (void)state;
    be_error err = {0};
    cudnn_graph graph = convolution_of(5, CUDNN_TO_DX);
    cudnn_place place = {.handle = world.driver->cudnn, .kept = &world.driver->cudnn_choices};
    cudnn_plan first, second, third;
    ASSERT_OK(cudnn_plan_new(world.driver->math, &place, &graph, &first, &err));
    place.rank = 1;
    ASSERT_OK(cudnn_plan_new(world.driver->math, &place, &graph, &second, &err));
    assert_int_equal(first.choice->engine, ENGINE_TENSOR_CORE);
    assert_int_equal(second.choice->engine, ENGINE_GOOD);
    place.rank = 2;
    assert_int_equal(cudnn_plan_new(world.driver->math, &place, &graph, &third, &err),
                     BE_UNAVAILABLE);
    cudnn_plan_free(&second);
    cudnn_plan_free(&first);
}

/* The gradient of w has one in the first mode of the heuristics: there is nothing to try. */
static void one_engine_is_not_tried(void **state)
{
    (void)state;
    be_error err = {0};
    cudnn_graph graph = convolution_of(6, CUDNN_TO_DW);
    int64_t count = *world.runs;
    int rank = 7;
    ASSERT_OK(cudnn_search(world.driver, &graph, true, &rank, &err));
    assert_int_equal(rank, 0);
    assert_int_equal(*world.runs, count);
}

/* A plan that runs nothing decides nothing either. */
static void dry_run_tries_nothing(void **state)
{
    (void)state;
    int64_t count = *world.runs;
    assert_int_equal(taken(7, "30", "10", false), ENGINE_TENSOR_CORE);
    assert_int_equal(*world.runs, count);
    assert_int_equal(taken(7, "30", "10", true), ENGINE_GOOD);
}

/* What no trial has said is not kept. */
static void trials_that_fail(void **state)
{
    (void)state;
    setenv("FAKE_CUDNN_EXECUTE", "13", 1);
    assert_int_equal(taken(8, "30", "10", true), ENGINE_TENSOR_CORE);
    unsetenv("FAKE_CUDNN_EXECUTE");
    assert_int_equal(taken(8, "30", "10", true), ENGINE_GOOD);
}

/* The time for all searches is over: the favourite, until there is more of it. */
static void time_is_bounded(void **state)
{
    (void)state;
    gpu_search_count *count = &world.driver->base.search;
    setenv("BREAKEVEN_TUNE_SECONDS", "0", 1);
    assert_int_equal(taken(9, "30", "10", true), ENGINE_TENSOR_CORE);
    assert_true(count->searched == 0 && count->cut == 1 && count->kept == 0);
    assert_int_equal(taken(9, "30", "10", true), ENGINE_TENSOR_CORE);
    setenv("BREAKEVEN_TUNE_SECONDS", "5", 1);
    assert_int_equal(taken(9, "30", "10", true), ENGINE_GOOD);
    assert_int_equal(taken(9, "10", "30", true), ENGINE_GOOD);
    assert_true(count->searched == 1 && count->cut == 2 && count->kept == 1);
}

/* Where nothing can be kept a second run could choose otherwise. */
static void nothing_can_be_kept(void **state)
{
    (void)state;
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    assert_int_equal(taken(10, "30", "10", true), ENGINE_TENSOR_CORE);
    setenv("XDG_CACHE_HOME", fake_world_cache, 1);
    assert_int_equal(taken(10, "30", "10", true), ENGINE_GOOD);
}

/* cuDNN's attention takes a second to compile: equal ones of a plan share it, and no plan, no
 * engine. */
static void equal_attentions_share_an_engine(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan *plan = NULL;
    be_graph *g = be_graph_new(5);
    be_attention_options options = {
        .q = BE_NONE, .k = BE_NONE, .v = BE_NONE, .lengths = BE_NONE, .heads = 2};
    be_value y[3];
    for (int i = 0; i < 3; i++) {
        options.qkv = be_input(g, i ? i == 1 ? "b" : "c" : "a", (be_shape){BE_F32, 3, {2, 16, 48}});
        options.causal = i == 2;
        y[i] = be_attention(g, &options);
    }
    be_plan_options wanted = {
        .mode = BE_INFER, .precision = BE_PRECISION_BF16, .keep = y, .keep_count = 3};
    ASSERT_OK(be_plan_new(g, world.device, &wanted, &plan, &err));
    int engines = 0, users = 0;
    for (const cudnn_choice *c = world.driver->cudnn_choices; c; c = c->next, engines++)
        users += c->users;
    assert_int_equal(engines, 2);
    assert_int_equal(users, 3);
    be_plan_free(plan);
    assert_null(world.driver->cudnn_choices);
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fastest_is_taken_and_kept, clean),
        cmocka_unit_test_setup(favourite_is_left_for_a_gain_alone, clean),
        cmocka_unit_test_setup(ranks_are_apart, clean),
        cmocka_unit_test_setup(one_engine_is_not_tried, clean),
        cmocka_unit_test_setup(dry_run_tries_nothing, clean),
        cmocka_unit_test_setup(trials_that_fail, clean),
        cmocka_unit_test_setup(time_is_bounded, clean),
        cmocka_unit_test_setup(nothing_can_be_kept, clean),
        cmocka_unit_test_setup(equal_attentions_share_an_engine, clean),
    };
    return cmocka_run_group_tests(tests, open_world, search_world_close);
}
