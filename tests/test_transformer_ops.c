/* The small operations of Transformers beyond what test_ops compares: what the builders make, the
 * same bits for every number of threads, what is no token, row or length, and every refusal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/reference.h"
#include "ops/embedding/embedding.h"
#include "ops/op_list.h"
#include "ops/rows/rows.h"
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
    static const char *const ops[] = {"layer_norm",
                                      "layer_norm_backward",
                                      "embedding",
                                      "embedding_backward",
                                      "slice",
                                      "slice_backward",
                                      "concat",
                                      "concat_backward",
                                      "gather_rows",
                                      "gather_rows_backward",
                                      "find_token",
                                      "mean_tokens",
                                      "mean_tokens_backward",
                                      "l2_normalize",
                                      "l2_normalize_backward",
                                      "exp",
                                      "exp_backward",
                                      "transpose",
                                      "softmax",
                                      "softmax_backward"};
    for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
        const be_op *op = op_find(ops[k]);
        for (int c = 0; c < op->case_count; c++) {
            size_t bytes, others;
            int updated = op->updates[0] - 1;
            /* What is updated is no input of a user's plan. */
            if (updated >= 0 && op->cases[c].in[updated].rank >= 0) continue;
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

/* Output 0 of an op whose inputs 0 and 1 hold these; `real` input first or second. */
static void run_op(const be_op *op, const void *attrs, const be_shape shape[2],
                   const void *const data[2], float *y)
{
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(1);
    be_graph *g = be_graph_new(1);
    be_value in[OP_MAX_IN] = {be_input(g, "0", shape[0]), be_input(g, "1", shape[1]), BE_NONE};
    be_value out = graph_build(g, op, attrs, in, NULL);
    const be_plan_options options = {.mode = BE_INFER, .keep = &out, .keep_count = 1};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    for (int i = 0; i < 2; i++)
        ASSERT_OK(be_plan_write(plan, in[i], data[i], bytes_of(g, in[i]), &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, out, y, bytes_of(g, out), &err));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

/* Nothing outside the table is read or written, and what has no row is noticed. */
static void a_token_outside_the_vocabulary_is_nan(void **state)
{
    (void)state;
    static const int32_t tokens[5] = {-1, 2, 3, INT32_MIN, INT32_MAX};
    static const float table[6] = {1, 2, 3, 4, 5, 6}, dy[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 9};
    const be_shape list = {BE_I32, 1, {5}}, rows = {BE_F32, 2, {3, 2}},
                   y_shape = {BE_F32, 2, {5, 2}};
    float y[10], dtable[6];
    run_op(&be_op_embedding, &(embedding_attrs){0}, (const be_shape[]){list, rows},
           (const void *[]){tokens, table}, y);
    assert_true(isnan(y[0]) && isnan(y[1]) && y[2] == 5.0f && y[3] == 6.0f);
    for (int i = 4; i < 10; i++) assert_true(isnan(y[i]));
    run_op(&be_op_embedding_backward, &(embedding_backward_attrs){EMBEDDING_NO_PADDING, 3},
           (const be_shape[]){list, y_shape}, (const void *[]){tokens, dy}, dtable);
    for (int i = 0; i < 4; i++) assert_true(dtable[i] == 0.0f);
    assert_true(dtable[4] == 3.0f && dtable[5] == 4.0f);
}

static void an_index_outside_the_rows_is_nan_and_none_is_zero(void **state)
{
    (void)state;
    static const int32_t index[4] = {1, -1, 2, -2};
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float y[4];
    run_op(&be_op_gather_rows, &(gather_rows_attrs){0},
           (const be_shape[]){{BE_F32, 3, {4, 2, 1}}, {BE_I32, 1, {4}}}, (const void *[]){x, index},
           y);
    assert_true(y[0] == 2.0f && y[1] == 0.0f && isnan(y[2]) && isnan(y[3]));
}

static void a_length_that_none_can_have_is_nan(void **state)
{
    (void)state;
    static const int32_t lengths[4] = {1, 0, 3, -1};
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, dy[4] = {2, 2, 2, 2};
    float y[4], dx[8];
    run_op(&be_op_mean_tokens, NULL, (const be_shape[]){{BE_F32, 3, {4, 2, 1}}, {BE_I32, 1, {4}}},
           (const void *[]){x, lengths}, y);
    assert_true(y[0] == 1.0f && y[1] == 0.0f && isnan(y[2]) && isnan(y[3]));
    run_op(&be_op_mean_tokens_backward, &(mean_tokens_backward_attrs){2},
           (const be_shape[]){{BE_F32, 2, {4, 1}}, {BE_I32, 1, {4}}}, (const void *[]){dy, lengths},
           dx);
    assert_true(dx[0] == 2.0f && dx[1] == 0.0f && dx[2] == 0.0f && dx[3] == 0.0f);
    for (int i = 4; i < 8; i++) assert_true(isnan(dx[i]));
}

/* One table, read by tokens and as the weight of the products behind it. */
static be_graph *tied_network(be_value *tokens, be_value *target, be_value *table)
{
    be_graph *g = be_graph_new(7);
    be_value sum = BE_NONE;
    *tokens = be_input(g, "tokens", shape_make(BE_I32, 2, 3, 5, 0, 0));
    *target = be_input(g, "target", shape_make(BE_I32, 1, 15, 0, 0, 0));
    be_value h = be_embedding(
        g, *tokens,
        &(be_embedding_options){
            .name = "wte", .rows = 11, .width = 6, .start = {BE_NORMAL, 0.5f}, .table = table});
    be_value places = be_slice(
        g, be_parameter_add(g, "wpe", shape_make(BE_F32, 2, 9, 6, 0, 0), (be_start){BE_NORMAL, 1}),
        0, 5);
    be_value x = be_add(g, h, places);
    x = be_layer_norm(g, x, &(be_layer_norm_options){.name = "ln", .residual = &h, .sum = &sum});
    x = be_view(g, be_add(g, x, sum), shape_make(BE_F32, 2, 15, 6, 0, 0));
    be_value logits = be_matmul(g, x, be_transpose(g, *table));
    be_value loss = be_softmax_cross_entropy(g, logits, *target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.5});
    return g;
}

/* Three steps, so that each gradient is used; against the double reference. */
static void a_tied_table_is_trained_from_both_sides(void **state)
{
    (void)state;
    static const int32_t tokens[15] = {1, 2, 3, 1, 1, 10, 0, 2, 2, 4, 5, 1, 6, 6, 0};
    static const int32_t target[15] = {2, 3, 1, 1, 9, 0, 2, 2, 4, 5, 1, 6, 6, 0, 7};
    be_error err;
    be_plan *plan = NULL;
    reference *r = NULL;
    be_value in[2], table;
    be_device *device = open_device(2);
    be_graph *g = tied_network(&in[0], &in[1], &table);
    ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    const void *const data[2] = {tokens, target};
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(be_plan_write(plan, in[i], data[i], sizeof tokens, &err));
        ASSERT_OK(reference_write(r, in[i], data[i], sizeof tokens, &err));
    }
    ASSERT_OK(be_plan_run(plan, 3, &err));
    ASSERT_OK(reference_run(r, 3, &err));
    assert_int_equal(be_plan_parameter_count(plan), 4);
    for (int p = 0; p < 4; p++) {
        float found[66];
        be_parameter parameter = be_plan_parameter(plan, p);
        int64_t count = shape_elements(&parameter.shape);
        ASSERT_OK(be_plan_read(plan, parameter.value, found, (size_t)count * sizeof *found, &err));
        const double *expected = reference_data(r, reference_parameter(r, p).value);
        for (int64_t i = 0; i < count; i++)
            if (!(fabs((double)found[i] - expected[i]) <= 2e-6))
                fail_msg("%s[%d]: expected %.9g, found %.9g", parameter.name, (int)i, expected[i],
                         (double)found[i]);
    }
    be_plan_free(plan);
    reference_free(r);
    be_graph_free(g);
    be_device_close(device);
}

static void embedding_refuses(be_graph *g[4])
{
    be_value list = be_input(g[0], "tokens", (be_shape){BE_F32, 1, {4}});
    const be_embedding_options plain = {.name = "e", .rows = 7, .width = 3};
    be_embedding(g[0], list, &plain);
    be_embedding(g[1], be_input(g[1], "tokens", (be_shape){BE_I32, 4, {1, 1, 1, 1}}), &plain);
    be_embedding_options padded = plain;
    padded.has_padding = 1;
    padded.padding_index = 7;
    be_embedding(g[2], be_input(g[2], "tokens", (be_shape){BE_I32, 1, {4}}), &padded);
    padded.padding_index = -1;
    be_embedding(g[3], be_input(g[3], "tokens", (be_shape){BE_I32, 1, {4}}), &padded);
}

static void wrong_embeddings_are_refused(void **state)
{
    (void)state;
    be_error err;
    be_graph *g[4];
    for (int i = 0; i < 4; i++) g[i] = be_graph_new(1);
    embedding_refuses(g);
    ASSERT_FAILS(be_graph_check(g[0], &err), BE_USAGE,
                 "embedding: tokens: expected i32, found f32 [4]");
    ASSERT_FAILS(be_graph_check(g[1], &err), BE_USAGE,
                 "embedding: tokens: expected at most 3 dimensions, found i32 [1, 1, 1, 1]");
    ASSERT_FAILS(be_graph_check(g[2], &err), BE_USAGE,
                 "embedding: expected a padding_index of 0 to 6, a row of the table, found 7");
    ASSERT_FAILS(be_graph_check(g[3], &err), BE_USAGE, "a padding_index of 0 to 6", "found -1");
    for (int i = 0; i < 4; i++) be_graph_free(g[i]);
}

typedef be_value unary(be_graph *g, be_value x);

static be_value slice_3(be_graph *g, be_value x)
{
    return be_slice(g, x, 3, 4);
}

static be_value slice_before(be_graph *g, be_value x)
{
    return be_slice(g, x, -1, 2);
}

static be_value take_9(be_graph *g, be_value x)
{
    return be_take_row(g, x, 9);
}

static be_value concat_rows(be_graph *g, be_value x)
{
    return be_concat(g, x, be_input(g, "b", (be_shape){BE_F32, 3, {4, 2, 7}}));
}

static be_value gather_5(be_graph *g, be_value x)
{
    return be_gather_rows(g, x, be_input(g, "b", (be_shape){BE_I32, 1, {5}}));
}

static be_value mean_5(be_graph *g, be_value x)
{
    return be_mean_tokens(g, x, be_input(g, "b", (be_shape){BE_I32, 1, {5}}));
}

static be_value find_below(be_graph *g, be_value x)
{
    return be_find_token(g, x, -5);
}

static be_value exp_nan(be_graph *g, be_value x)
{
    return be_exp(g, x, (float)NAN);
}

static be_value softmax_0(be_graph *g, be_value x)
{
    return be_softmax(g, x, 0);
}

static be_status build_one(unary *build, be_shape x, be_error *err)
{
    be_graph *g = be_graph_new(1);
    build(g, be_input(g, "x", x));
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static void wrong_rows_are_refused(void **state)
{
    (void)state;
    be_error err;
    const be_shape rows = {BE_F32, 2, {6, 9}}, batch = {BE_F32, 3, {3, 2, 7}};
    const be_shape images = {BE_F32, 4, {2, 3, 4, 5}}, list = {BE_I32, 2, {3, 4}};
    const be_shape number = {BE_F32, 0, {0}};
    ASSERT_FAILS(build_one(slice_3, rows, &err), BE_USAGE,
                 "slice: expected rows among the 6 of f32 [6, 9], found 4 from row 3 on");
    ASSERT_FAILS(build_one(slice_before, rows, &err), BE_USAGE, "found 2 from row -1 on");
    ASSERT_FAILS(build_one(slice_3, number, &err), BE_USAGE, "slice: x: expected at least 1 dim");
    ASSERT_FAILS(
        build_one(take_9, batch, &err), BE_USAGE,
        "gather_rows: expected a position of 0 to 1 in the rows of f32 [3, 2, 7], found 9");
    ASSERT_FAILS(build_one(concat_rows, batch, &err), BE_USAGE, "concat: expected a and b",
                 "found f32 [3, 2, 7] and f32 [4, 2, 7]");
    ASSERT_FAILS(build_one(gather_5, batch, &err), BE_USAGE,
                 "gather_rows: index: expected i32 [3], found i32 [5]");
    ASSERT_FAILS(build_one(mean_5, batch, &err), BE_USAGE,
                 "mean_tokens: lengths: expected i32 [3], found i32 [5]");
    ASSERT_FAILS(build_one(find_below, list, &err), BE_USAGE,
                 "find_token: expected a token of at least 0, found -5");
    ASSERT_FAILS(build_one(find_below, rows, &err), BE_USAGE,
                 "find_token: tokens: expected i32 of 2 dimensions, found f32 [6, 9]");
    ASSERT_FAILS(build_one(be_transpose, images, &err), BE_USAGE,
                 "transpose: x: expected 2 or 3 dimensions, found f32 [2, 3, 4, 5]");
    ASSERT_FAILS(build_one(be_l2_normalize, number, &err), BE_USAGE,
                 "l2_normalize: x: expected at least 1 dimension, found f32 []");
    ASSERT_FAILS(build_one(softmax_0, rows, &err), BE_USAGE,
                 "softmax: expected a finite scale above 0, found 0");
    ASSERT_FAILS(build_one(softmax_0, number, &err), BE_USAGE,
                 "softmax: x: expected at least 1 dimension, found f32 []");
    ASSERT_FAILS(build_one(exp_nan, rows, &err), BE_USAGE, "exp: expected a limit", "found nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_the_bits),
        cmocka_unit_test(layer_norm_makes_its_parameters),
        cmocka_unit_test(layer_norm_refuses),
        cmocka_unit_test(layer_norm_whose_result_is_unused_is_refused),
        cmocka_unit_test(a_token_outside_the_vocabulary_is_nan),
        cmocka_unit_test(an_index_outside_the_rows_is_nan_and_none_is_zero),
        cmocka_unit_test(a_length_that_none_can_have_is_nan),
        cmocka_unit_test(a_tied_table_is_trained_from_both_sides),
        cmocka_unit_test(wrong_embeddings_are_refused),
        cmocka_unit_test(wrong_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
