/* The small operations of Transformers beyond what test_ops compares: what the builders make, the
 * same bits for every number of threads, what is no token, row or length, and every refusal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "ops/op_list.h"
#include "support.h"

static be_device *open_device(int threads)
{
    be_error err;
    be_device *device = NULL;
    const be_device_options options = {.library = "native", .threads = threads};
    ASSERT_OK(be_device_open("cpu", &options, &device, &err));
    return device;
}

/* Numbers without a pattern that fits the operations: floats between −1 and 1, whole ones below
 * `below`. */
static void fill(const be_shape *shape, int32_t below, void *data)
{
    int64_t count = shape_elements(shape);
    for (int64_t i = 0; i < count; i++) {
        int32_t number = (int32_t)(i * 7919 % 10007);
        if (shape->dtype == BE_F32)
            ((float *)data)[i] = (float)number / 5003.0f - 1.0f;
        else
            ((int32_t *)data)[i] = number % below;
    }
}

static size_t bytes_of(const be_graph *g, be_value value)
{
    be_shape shape = be_value_shape(g, value);
    return (size_t)shape_elements(&shape) * dtype_bytes(shape.dtype);
}

/* All outputs of one run of a case, one after the other. */
static char *run_case(const be_op *op, const op_case *spec, int threads, size_t *total)
{
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(threads);
    be_graph *g = be_graph_new(1);
    static const char *const names[OP_MAX_IN] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    be_value in[OP_MAX_IN], out[OP_MAX_OUT], kept[OP_MAX_OUT];
    int count = 0;
    for (int i = 0; i < OP_MAX_IN; i++) in[i] = BE_NONE;
    for (int i = 0; i < op->inputs; i++)
        if (spec->in[i].rank >= 0) in[i] = be_input(g, names[i], spec->in[i]);
    graph_build(g, op, spec->attrs, in, out);
    for (int o = 0; o < op->outputs; o++)
        if (out[o] != BE_NONE) kept[count++] = out[o];
    const be_plan_options options = {.mode = BE_INFER, .keep = kept, .keep_count = count};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    for (int i = 0; i < op->inputs; i++) {
        if (in[i] == BE_NONE) continue;
        void *data = malloc(bytes_of(g, in[i]));
        fill(&spec->in[i], spec->below[i], data);
        ASSERT_OK(be_plan_write(plan, in[i], data, bytes_of(g, in[i]), &err));
        free(data);
    }
    ASSERT_OK(be_plan_run(plan, 1, &err));
    *total = 0;
    for (int k = 0; k < count; k++) *total += bytes_of(g, kept[k]);
    char *all = malloc(*total), *to = all;
    for (int k = 0; k < count; k++, to += bytes_of(g, kept[k - 1]))
        ASSERT_OK(be_plan_read(plan, kept[k], to, bytes_of(g, kept[k]), &err));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
    return all;
}

static void threads_do_not_change_the_bits(void **state)
{
    (void)state;
    static const char *const ops[] = {"layer_norm", "layer_norm_backward"};
    for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
        const be_op *op = op_find(ops[k]);
        for (int c = 0; c < op->case_count; c++) {
            size_t bytes, others;
            char *one = run_case(op, &op->cases[c], 1, &bytes);
            for (int threads = 2; threads < 5; threads++) {
                char *more = run_case(op, &op->cases[c], threads, &others);
                assert_int_equal(bytes, others);
                if (memcmp(one, more, bytes) != 0)
                    fail_msg("%s %s: %d threads make other bits", op->name, op->cases[c].name,
                             threads);
                free(more);
            }
            free(one);
        }
    }
}

static void layer_norm_makes_its_parameters(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value sum = BE_NONE, x = be_input(g, "x", shape_make(BE_F32, 3, 5, 4, 6, 0));
    be_value y = be_layer_norm(g, x, &(be_layer_norm_options){.name = "norm1", .sum = &sum});
    be_shape shape = be_value_shape(g, y);
    assert_int_equal(sum, x);
    assert_true(shape_equal(&shape, &(be_shape){BE_F32, 3, {5, 4, 6}}));
    const graph_value *weight = &g->values[be_value_find(g, "norm1.weight")];
    const graph_value *bias = &g->values[be_value_find(g, "norm1.bias")];
    assert_true(shape_equal(&weight->shape, &(be_shape){BE_F32, 1, {6}}));
    assert_true(shape_equal(&bias->shape, &(be_shape){BE_F32, 1, {6}}));
    assert_true(weight->start.kind == BE_CONSTANT && weight->start.value == 1.0f);
    assert_true(bias->start.kind == BE_CONSTANT && bias->start.value == 0.0f);
    be_value again =
        be_layer_norm(g, y, &(be_layer_norm_options){.name = "norm2", .residual = &x, .sum = &sum});
    assert_true(sum != BE_NONE && sum != x && sum != again);
    be_graph_free(g);
}

static be_status build_norm(be_shape x, be_shape residual, float epsilon, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_value other = residual.rank < 0 ? BE_NONE : be_input(g, "residual", residual);
    be_layer_norm(g, be_input(g, "x", x),
                  &(be_layer_norm_options){.name = "norm",
                                           .epsilon = epsilon,
                                           .residual = residual.rank < 0 ? NULL : &other});
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static void layer_norm_refuses(void **state)
{
    (void)state;
    be_error err;
    const be_shape row = {BE_F32, 1, {9}}, rows = {BE_F32, 2, {6, 9}}, none = {.rank = -1};
    const be_shape numbers = {BE_I32, 2, {6, 9}}, turned = {BE_F32, 2, {9, 6}};
    ASSERT_OK(build_norm(rows, rows, 1e-12f, &err));
    ASSERT_FAILS(build_norm(row, none, 0, &err), BE_USAGE,
                 "layer_norm: x: expected at least 2 dimensions, found f32 [9]");
    ASSERT_FAILS(build_norm(numbers, none, 0, &err), BE_USAGE,
                 "layer_norm: x: expected f32, found i32 [6, 9]");
    ASSERT_FAILS(build_norm(rows, turned, 0, &err), BE_USAGE,
                 "layer_norm: residual: expected f32 [6, 9], found f32 [9, 6]");
    ASSERT_FAILS(build_norm(rows, none, -1, &err), BE_USAGE,
                 "layer_norm: expected a finite epsilon above 0, found -1");
    ASSERT_FAILS(build_norm(rows, none, (float)NAN, &err), BE_USAGE, "found nan");
}

/* Training where the sum alone acts on the loss. */
static void layer_norm_whose_result_is_unused_is_refused(void **state)
{
    (void)state;
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(1);
    be_graph *g = be_graph_new(1);
    be_value sum, x = be_parameter_add(g, "x", shape_make(BE_F32, 2, 3, 4, 0, 0), (be_start){0});
    be_layer_norm(g, x, &(be_layer_norm_options){.name = "norm", .residual = &x, .sum = &sum});
    be_graph_minimize(g, be_mean(g, sum), &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    ASSERT_FAILS(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err),
                 BE_USAGE, "layer_norm: the sum acts on the loss", "use be_add for a sum alone");
    be_graph_free(g);
    be_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(layer_norm_makes_its_parameters),
        cmocka_unit_test(layer_norm_refuses),
        cmocka_unit_test(layer_norm_whose_result_is_unused_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
