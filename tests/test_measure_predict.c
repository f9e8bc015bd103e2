/* Tests of src/measure/predict.c, and that what it is fed with are no shapes of a workload. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/plan.h"
#include "measure/predict.h"
#include "native/native_calibrate.h"
#include "workloads/workload.h"

/* That of cmocka lets NAN pass. */
#define ASSERT_NEAR(found, expected, tolerance) \
    assert_true(fabs((found) - (expected)) <= (tolerance))

static be_error err;

/* 100 GFLOP/s, 10 GB/s, 100 GB/s in the cache, 10 µs a launch. */
static limits machine_limits_of(void)
{
    limits l = limits_unknown();
    l.flops_fp32 = 100e9;
    l.memory_bytes_per_s = 10e9;
    l.cache_bytes_per_s = 100e9;
    l.launch_s = 10e-6;
    return l;
}

static predict_op product(double out, double in, double batch)
{
    predict_op op = {.op = "linear",
                     .implementation = "own",
                     .out = out,
                     .in = in,
                     .kernel = 1,
                     .pixels = 1,
                     .batch = batch,
                     .passes = 1,
                     .elements = out * in,
                     .flops = 2 * out * in * batch,
                     .bytes = 4 * (out * in + (out + in) * batch)};
    return op;
}

static void the_floor_is_the_limit_that_binds(void **state)
{
    (void)state;
    limits l = machine_limits_of();
    predict_machine machine = {&l, 1e6, l.flops_fp32};
    predict_bound bound;
    predict_op op = {.flops = 100e9, .bytes = 1e9, .launches = 1};
    ASSERT_NEAR(predict_floor(&machine, &op, &bound), 1.0, 1e-9);
    assert_int_equal(bound, PREDICT_ARITHMETIC);
    machine.peak_flops_per_s = NAN; /* of a precision that nobody measured */
    predict_floor(&machine, &op, &bound);
    assert_int_equal(bound, PREDICT_MEMORY);
    machine.peak_flops_per_s = l.flops_fp32;
    op.bytes = 20e9;
    ASSERT_NEAR(predict_floor(&machine, &op, &bound), 2.0, 1e-9);
    assert_int_equal(bound, PREDICT_MEMORY);
    op = (predict_op){.bytes = 0.9e6, .launches = 1}; /* in the cache: 9 µs */
    ASSERT_NEAR(predict_floor(&machine, &op, &bound), 10e-6, 1e-12);
    assert_int_equal(bound, PREDICT_LAUNCH);
    op.bytes = 1.1e6; /* beyond it: 110 µs */
    ASSERT_NEAR(predict_floor(&machine, &op, &bound), 110e-6, 1e-12);
    assert_int_equal(bound, PREDICT_MEMORY);
    l = limits_unknown();
    machine.peak_flops_per_s = NAN;
    op.flops = 1e15;
    assert_true(predict_floor(&machine, &op, &bound) < 1e-8); /* what is unknown binds nothing */
}

/* Ops attain less of the peak the smaller they are: points on a grid, questions between them. */
static double true_seconds(const predict_op *op)
{
    return op->flops / (100e9 * op->out / (op->out + 24) * op->in / (op->in + 60));
}

static int make_points(predict_op *points)
{
    int count = 0;
    for (double out = 12; out < 800; out *= 2)
        for (double in = 20; in < 1500; in *= 2)
            for (double batch = 16; batch < 300; batch *= 4) {
                points[count] = product(out, in, batch);
                points[count].seconds = true_seconds(&points[count]);
                count++;
            }
    return count;
}

static void sizes_between_points_are_predicted(void **state)
{
    (void)state;
    static predict_op points[PREDICT_POINTS_MAX];
    limits l = machine_limits_of();
    l.launch_s = NAN;
    predict_machine machine = {&l, 1e9, l.flops_fp32};
    int count = make_points(points);
    for (double out = 17; out < 500; out *= 1.7)
        for (double in = 33; in < 900; in *= 1.9) {
            predict_op op = product(out, in, 50);
            predict_estimate e;
            ASSERT_OK(predict_seconds(&machine, points, count, &op, &e, &err));
            assert_true(fabs(e.seconds / true_seconds(&op) - 1) < 0.15);
            assert_true(e.points == count && e.seconds >= e.floor_s * 0.8);
        }
    double left_out = NAN;
    ASSERT_OK(predict_left_out(&machine, points, count, &left_out, &err));
    assert_true(left_out > 0 && left_out < 0.10);
}

/* Points that lie 30 % too high and too low in turn cannot be told from one another. */
static void points_that_are_left_out_do_not_help(void **state)
{
    (void)state;
    static predict_op points[PREDICT_POINTS_MAX];
    limits l = machine_limits_of();
    predict_machine machine = {&l, 1e9, l.flops_fp32};
    int count = make_points(points);
    for (int i = 0; i < count; i++) points[i].seconds *= (i / 2 + i) % 2 ? 1.3 : 1 / 1.3;
    double left_out = NAN;
    ASSERT_OK(predict_left_out(&machine, points, count, &left_out, &err));
    assert_true(left_out > 0.2 && left_out < 0.5);
}

static void kinds_do_not_mix(void **state)
{
    (void)state;
    limits l = machine_limits_of();
    predict_machine machine = {&l, 1e9, l.flops_fp32};
    predict_op points[4] = {product(100, 100, 100), product(100, 100, 100), product(50, 50, 50)};
    points[0].seconds = 1e-3;
    snprintf(points[1].implementation, sizeof points[1].implementation, "other");
    points[1].seconds = 7e-3;
    points[2].seconds = NAN; /* not timed: no point */
    predict_op op = product(100, 100, 100);
    predict_estimate e;
    ASSERT_OK(predict_seconds(&machine, points, 3, &op, &e, &err));
    ASSERT_NEAR(e.seconds, 1e-3, 1e-6);
    assert_int_equal(e.points, 1);
    snprintf(op.op, sizeof op.op, "unheard of");
    ASSERT_OK(predict_seconds(&machine, points, 3, &op, &e, &err));
    ASSERT_NEAR(e.seconds, sqrt(7) * 1e-3, 1e-6); /* what all kinds attain on average */
    assert_int_equal(e.points, 0);
    ASSERT_OK(predict_seconds(&machine, points, 0, &op, &e, &err));
    assert_true(isnan(e.seconds) && e.floor_s > 0);
    double left_out = 0;
    ASSERT_OK(predict_left_out(&machine, points, 3, &left_out, &err));
    assert_true(isnan(left_out));
}

static void copies_lie_between_measured_sizes(void **state)
{
    (void)state;
    limits l = machine_limits_of();
    ASSERT_NEAR(predict_transfer(&l, 1e9, false), 0, 0);
    l.transfer_count = 2;
    l.transfers[0] = (limits_transfer){1000, 1e-5, 2e-5};
    l.transfers[1] = (limits_transfer){2000, 3e-5, 4e-5};
    ASSERT_NEAR(predict_transfer(&l, 10, false), 1e-5, 1e-12);
    ASSERT_NEAR(predict_transfer(&l, 1500, false), 2e-5, 1e-12);
    ASSERT_NEAR(predict_transfer(&l, 1500, true), 3e-5, 1e-12);
    ASSERT_NEAR(predict_transfer(&l, 4000, false), 6e-5, 1e-12);
    ASSERT_NEAR(predict_transfer(&l, 0, false), 0, 0);
}

/* ---------------------------------------------------------------- the calibration networks */

#define OPS_MAX 1024

static int ops_of_graph(const be_graph *g, be_device *device, predict_op *out)
{
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_TRAIN, .dry_run = 1};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    int nodes = be_plan_describe(plan).nodes;
    assert_true(nodes > 3 && nodes <= OPS_MAX);
    int count = native_calibrate_ops(plan, out);
    be_plan_free(plan);
    return count;
}

static bool same_shape(const predict_op *a, const predict_op *b)
{
    return strcmp(a->op, b->op) == 0 && a->out == b->out && a->in == b->in &&
           a->kernel == b->kernel && a->pixels == b->pixels && a->batch == b->batch &&
           a->elements == b->elements;
}

/* The end of the step has the same shape in every network; all other ops must differ. */
static void no_shape_is_a_workload_s(void **state)
{
    (void)state;
    static predict_op theirs[OPS_MAX], mine[OPS_MAX];
    be_device *device = NULL;
    int networks = 0;
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    for (int i = 0;; i++) {
        be_graph *g = NULL;
        ASSERT_OK(native_calibrate_network(i / 2, i % 2, &g, &err));
        if (!g) break;
        networks++;
        int count = ops_of_graph(g, device, mine);
        be_graph_free(g);
        for (int w = 0; w < WORKLOAD_COUNT; w++) {
            workload_model model;
            workload_options options = {.count = 6000};
            ASSERT_OK(workload_model_new(workload_table[w], &options, &model, &err));
            int others = ops_of_graph(model.graph, device, theirs);
            be_graph_free(model.graph);
            for (int a = 0; a < count; a++)
                for (int b = 0; b < others; b++)
                    if (strcmp(mine[a].op, "advance") != 0 && same_shape(&mine[a], &theirs[b]))
                        fail_msg("%s has %s in the shape that network %d calibrates by",
                                 workload_table[w]->name, mine[a].op, i);
        }
    }
    assert_true(networks >= 10);
    be_device_close(device);
}

/* The sizes of a known network, as the prediction sees them. */
static void ops_know_their_sizes(void **state)
{
    (void)state;
    static predict_op ops[OPS_MAX];
    be_device *device = NULL;
    workload_model model;
    const workload *w = NULL;
    ASSERT_OK(workload_find("cnn-fashion", &w, &err));
    workload_options options = {.count = 1000};
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    ASSERT_OK(workload_model_new(w, &options, &model, &err));
    int count = ops_of_graph(model.graph, device, ops), found = 0;
    for (int i = 0; i < count; i++) {
        const predict_op *op = &ops[i];
        if (strncmp(op->op, "conv2d", 6) != 0 || op->out != 32) continue;
        assert_true(op->in == 16 && op->kernel == 9 && op->batch == 100);
        assert_true(fabs(op->pixels / 121 - 1) < 0.1); /* 11 × 11, and the little beside products */
        found++;
    }
    assert_int_equal(found, 2);
    be_graph_free(model.graph);
    be_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_floor_is_the_limit_that_binds),
        cmocka_unit_test(sizes_between_points_are_predicted),
        cmocka_unit_test(points_that_are_left_out_do_not_help),
        cmocka_unit_test(kinds_do_not_mix),
        cmocka_unit_test(copies_lie_between_measured_sizes),
        cmocka_unit_test(no_shape_is_a_workload_s),
        cmocka_unit_test(ops_know_their_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
