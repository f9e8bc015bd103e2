/* Tests of the precisions of products: what the pass makes of a graph, what tf32 keeps of a number,
 * who refuses what, and how far a step in bf16 is from one in fp32. */
#include "graph_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "breakeven/breakeven.h"
#include "core/rng.h"
#include "graph/precision.h"
#include "graph/reference.h"
#include "ops/op_list.h"

static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1, .momentum = 0.9};

static void numbers_of_tf32_have_11_bits(void **state)
{
    (void)state;
    const double one = 1.0, bit = ldexp(1.0, -10);
    double values[] = {one + bit,         one + 0.5 * bit,  one + 1.5 * bit,
                       one + 0.501 * bit, -(one + bit / 4), 2.0 - bit / 8};
    const double expected[] = {one + bit, one, one + 2 * bit, one + bit, -one, 2.0};
    double kept[6];
    for (int i = 0; i < 6; i++) kept[i] = values[i];
    precision_round(BE_PRECISION_TF32, values, 6);
    for (int i = 0; i < 6; i++) assert_true(values[i] == expected[i]);
    double special[] = {INFINITY, -INFINITY, 0.0, NAN};
    precision_round(BE_PRECISION_TF32, special, 4);
    assert_true(special[0] == INFINITY && special[1] == -INFINITY && special[2] == 0.0);
    assert_true(isnan(special[3]));
    double same[6];
    for (int i = 0; i < 6; i++) same[i] = kept[i];
    precision_round(BE_PRECISION_BF16, same, 6);
    precision_round(BE_PRECISION_FP32, same, 6);
    for (int i = 0; i < 6; i++) assert_true(same[i] == kept[i]);
}

static void precisions_have_names(void **state)
{
    (void)state;
    be_error err;
    be_precision found = BE_PRECISION_FP32;
    ASSERT_OK(precision_find("bf16", &found, &err));
    assert_int_equal(found, BE_PRECISION_BF16);
    assert_string_equal(precision_name(BE_PRECISION_TF32), "tf32");
    ASSERT_FAILS(precision_find("fp16", &found, &err), BE_USAGE, "expected fp32, tf32 or bf16",
                 "\"fp16\"");
}

/* x goes into two layers, whose sum goes into a third. */
static be_graph *two_branches(bool train)
{
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value a = be_linear(g, x, &(be_linear_options){"a", .features = 6}),
             b = be_linear(g, x, &(be_linear_options){"b", .features = 6});
    be_value y = be_linear(g, be_relu(g, add(g, &be_op_add, a, b)),
                           &(be_linear_options){"c", .features = 3});
    if (train) be_graph_minimize(g, be_softmax_cross_entropy(g, y, target), &sgd);
    return g;
}

static void operands_become_bf16_once(void **state)
{
    (void)state;
    be_graph *g = two_branches(true);
    be_graph *narrow =
        lower(g, &(be_plan_options){.mode = BE_TRAIN, .precision = BE_PRECISION_BF16}, NULL);
    check_order(narrow);
    /* All weights, x, the relu's output, and the gradients of c's and of the sum's outputs. */
    assert_int_equal(count_op(narrow, &be_op_cast), 5);
    for (size_t n = 0; n < narrow->node_count; n++) {
        const graph_node *node = &narrow->nodes[n];
        if (node->op == &be_op_sgd) continue;
        for (int i = 0; i < node->op->inputs; i++)
            if (node->in[i] != BE_NONE)
                assert_int_equal(narrow->values[node->in[i]].shape.dtype == BE_BF16,
                                 node->op->narrow >> i & 1);
        for (int o = 0; o < node->op->outputs; o++)
            if (node->out[o] != BE_NONE && node->op != &be_op_cast)
                assert_int_not_equal(narrow->values[node->out[o]].shape.dtype, BE_BF16);
    }
    be_value w = be_value_find(narrow, "a.weight");
    for (size_t n = 0; n < narrow->node_count; n++)
        if (narrow->nodes[n].op == &be_op_linear) {
            assert_int_equal(graph_wide_input(narrow, &narrow->nodes[n], 1), w);
            break;
        }
    be_graph_free(narrow);
    be_graph_free(g);
}

/* A run begins with a cast of all parameters, and the optimizer writes them for the next step.
 * Weights of images keep their own casts, and where most are such, all do. */
static void the_optimizer_writes_narrow_weights(void **state)
{
    (void)state;
    be_graph *g = two_branches(true);
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
    be_graph *lowered = lower(g, &options, NULL);
    be_value narrow = lowered->lowered.narrow;
    assert_int_not_equal(narrow, BE_NONE);
    assert_int_equal(lowered->lowered.begin, 1);
    assert_int_equal(lowered->nodes[0].op == &be_op_cast, true);
    assert_int_equal(lowered->nodes[0].in[0], lowered->lowered.parameters);
    assert_int_equal(graph_node_turns(lowered, 0), 0);
    for (size_t n = 1; n < lowered->node_count; n++) {
        const graph_node *node = &lowered->nodes[n];
        if (node->op == &be_op_sgd) assert_int_equal(node->in[6], narrow);
        if (node->op != &be_op_linear) continue;
        const graph_value *w = &lowered->values[node->in[1]];
        be_value wide = graph_wide_input(lowered, node, 1);
        assert_int_equal(w->alias_of, narrow);
        assert_int_equal(2 * w->alias_bytes, lowered->values[wide].alias_bytes);
        assert_int_equal(lowered->values[wide].kind, VALUE_PARAMETER);
    }
    be_graph_free(lowered);
    be_graph_free(g);
}

/* The type of output o of the first node with this op from node `from` on. */
static be_dtype type_of(const be_graph *g, const be_op *op, int o, size_t from)
{
    for (size_t n = from; n < g->node_count; n++)
        if (g->nodes[n].op == op) return g->values[g->nodes[n].out[o]].shape.dtype;
    fail_msg("no %s", op->name);
    return BE_U8;
}

/* As GPUs say where nothing is an image: all but the sum, which is the stream beside the blocks. */
static bool rows_mix(const void *device, const be_graph *g, const graph_node *node)
{
    (void)device, (void)g;
    return node->op != &be_op_add;
}

/* A norm, a layer with GELU, one whose result is added to x, and the classes. */
static be_graph *block_of_rows(be_value *normed)
{
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    *normed = be_layer_norm(g, x, &(be_layer_norm_options){.name = "n"});
    be_value a = be_linear(g, *normed, &(be_linear_options){"a", .features = 6});
    be_value b = be_linear(g, be_activate(g, a, BE_GELU), &(be_linear_options){"b", .features = 5});
    be_value y = be_linear(g, add(g, &be_op_add, b, x), &(be_linear_options){"c", .features = 3});
    be_graph_minimize(g, be_softmax_cross_entropy(g, y, target), &sgd);
    return g;
}

/* Where a device asks for it: what products alone read, and what a product gives to one that takes
 * it so.  b's result, which is added to x, stays f32, and so does its bias. */
static void results_become_bf16(void **state)
{
    (void)state;
    const lower_target target = {.mixes = rows_mix};
    be_value normed;
    be_graph *g = block_of_rows(&normed);
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
    be_graph *wide = lower(g, &options, NULL), *narrow = lower(g, &options, &target);
    check_order(narrow);
    assert_int_equal(type_of(narrow, &be_op_layer_norm, 0, 0), BE_BF16);
    assert_int_equal(type_of(narrow, &be_op_activation, 0, 0), BE_BF16);
    assert_int_equal(type_of(narrow, &be_op_activation_backward, 0, 0), BE_BF16);
    int products[2] = {0}, made[2] = {0};
    for (size_t n = 0; n < narrow->node_count; n++) {
        const graph_node *node = &narrow->nodes[n];
        bool is_narrow =
            node->out[0] != BE_NONE && narrow->values[node->out[0]].shape.dtype == BE_BF16;
        if (node->op == &be_op_linear) {
            products[is_narrow]++;
            assert_int_equal(narrow->values[node->in[2]].shape.dtype == BE_BF16, is_narrow);
        }
        if (node->op == &be_op_linear_backward) made[is_narrow]++;
    }
    /* a and the classes; b.  Back: to the sum, of which only b's product is told, GELU and the
     * norm.
     */
    assert_int_equal(products[true], 2);
    assert_int_equal(products[false], 1);
    assert_int_equal(made[true], 3);
    assert_int_equal(made[false], 0);
    /* Gone: the copies of the norm's and GELU's result and of the three gradients; those of two
     * biases are the optimizer's. */
    assert_int_equal(count_op(narrow, &be_op_cast), count_op(wide, &be_op_cast) - 5);
    be_graph_free(narrow);
    options.keep = &normed;
    options.keep_count = 1;
    narrow = lower(g, &options, &target);
    assert_int_equal(type_of(narrow, &be_op_layer_norm, 0, 0), BE_F32);
    be_graph_free(narrow);
    options.precision = BE_PRECISION_FP32;
    narrow = lower(g, &options, &target);
    assert_int_equal(type_of(narrow, &be_op_activation, 0, 0), BE_F32);
    be_graph_free(narrow);
    be_graph_free(wide);
    be_graph_free(g);
}

/* What a product and others read, forward the norm's result and back its gradient: it stays f32,
 * and the product's copy is made beside it.  The same without a device that asks: casts. */
static void copies_are_made_beside(void **state)
{
    (void)state;
    const lower_target target = {.mixes = rows_mix};
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value classes = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value a = be_linear(g, x, &(be_linear_options){"a", .features = 5});
    be_value normed = be_layer_norm(g, a, &(be_layer_norm_options){.name = "n", .residual = &x});
    be_value b = be_linear(g, normed, &(be_linear_options){"b", .features = 5});
    be_value y =
        be_linear(g, add(g, &be_op_add, b, normed), &(be_linear_options){"c", .features = 3});
    be_graph_minimize(g, be_softmax_cross_entropy(g, y, classes), &sgd);
    const be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
    be_graph *wide = lower(g, &options, NULL), *narrow = lower(g, &options, &target);
    check_order(narrow);
    assert_int_equal(type_of(narrow, &be_op_layer_norm, 0, 0), BE_F32);
    int made = 0;
    for (size_t n = 0; n < narrow->node_count; n++) {
        const graph_node *node = &narrow->nodes[n];
        bool is_forward = node->op == &be_op_layer_norm;
        if (!is_forward && node->op != &be_op_layer_norm_backward) continue;
        be_value copy = node->out[is_forward ? 4 : 3];
        assert_true(copy != BE_NONE);
        assert_int_equal(narrow->values[copy].shape.dtype, BE_BF16);
        const be_op *reader = is_forward ? &be_op_linear : &be_op_linear_backward;
        for (size_t k = 0; k < narrow->node_count; k++)
            for (int i = 0; i < OP_MAX_IN; i++)
                made += narrow->nodes[k].in[i] == copy && narrow->nodes[k].op == reader;
    }
    assert_int_equal(made, 2);
    for (size_t n = 0; n < wide->node_count; n++)
        if (wide->nodes[n].op == &be_op_layer_norm)
            assert_int_equal(wide->nodes[n].out[4], BE_NONE);
    be_graph_free(narrow);
    be_graph_free(wide);
    be_graph_free(g);
}

static bool all_mix(const void *device, const be_graph *g, const graph_node *node)
{
    (void)device, (void)g, (void)node;
    return true;
}

/* A convolution's result is bf16 for the pool, and the pool's, which keeps the type, for those that
 * read it: a product and a sum.  One more reader, which takes f32 alone, and it stays that. */
static void images_stay_bf16(void **state)
{
    (void)state;
    const lower_target target = {.mixes = all_mix};
    const be_plan_options options = {.mode = BE_INFER, .precision = BE_PRECISION_BF16};
    for (int others = 0; others < 2; others++) {
        be_graph *g = be_graph_new(1);
        be_value x = be_input(g, "x", shape_make(BE_F32, 4, 2, 3, 8, 8));
        be_value y = be_conv2d(
            g, x,
            &(be_conv2d_options){"a", .channels = 3, .kernel = 3, .padding = 1, .no_bias = 1});
        y = be_max_pool2d(g, y, &(be_pool2d_options){.size = 2, .stride = 2});
        be_value z = be_conv2d(
            g, y,
            &(be_conv2d_options){"b", .channels = 3, .kernel = 3, .padding = 1, .no_bias = 1});
        be_value keep[] = {be_add(g, y, z), others ? be_exp(g, y, 1.0f) : BE_NONE};
        be_plan_options all = options;
        all.keep = keep;
        all.keep_count = 1 + others;
        be_graph *lowered = lower(g, &all, &target);
        assert_int_equal(type_of(lowered, &be_op_conv2d, 0, 0), BE_BF16);
        assert_int_equal(type_of(lowered, &be_op_max_pool2d, 0, 0), others ? BE_F32 : BE_BF16);
        assert_int_equal(count_op(lowered, &be_op_cast), 3 + others); /* x and both weights */
        be_graph_free(lowered);
        be_graph_free(g);
    }
}

static void other_precisions_add_nothing(void **state)
{
    (void)state;
    be_graph *g = two_branches(true);
    be_graph *plain = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    be_graph *tf32 =
        lower(g, &(be_plan_options){.mode = BE_TRAIN, .precision = BE_PRECISION_TF32}, NULL);
    assert_int_equal(plain->node_count, tf32->node_count);
    assert_int_equal(plain->value_count, tf32->value_count);
    assert_int_equal(count_op(tf32, &be_op_cast), 0);
    assert_int_equal(tf32->precision, BE_PRECISION_TF32);
    be_graph_free(plain);
    be_graph_free(tf32);
    be_graph_free(g);
}

static void operands_of_a_product_are_of_one_type(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value a = be_input(g, "a", shape_make(BE_BF16, 2, 4, 5, 0, 0));
    be_value b = be_input(g, "b", shape_make(BE_F32, 2, 5, 3, 0, 0));
    const int attrs[2] = {0, 0};
    be_value in[OP_MAX_IN] = {a, b}, out[OP_MAX_OUT];
    ASSERT_FAILS(graph_add_node(g, &be_op_matmul, attrs, in, out, &err), BE_USAGE, "matmul: b",
                 "expected bf16", "found f32");
    be_graph_free(g);
}

/* What passes make bf16 between two ops is nothing that a user may give. */
static void bf16_of_a_user_is_for_products(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value a = be_input(g, "a", shape_make(BE_BF16, 2, 4, 5, 0, 0));
    assert_int_equal(be_activate(g, a, BE_GELU), BE_NONE);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE,
                 "activation: x: expected f32, found bf16 [4, 5]");
    be_graph_free(g);
}

/* One linear layer of one input: the reference multiplies what tf32 keeps of both. */
static void the_reference_rounds_operands_of_tf32(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 1, 1, 0, 0));
    be_value y = be_linear(g, x, &(be_linear_options){"layer", .features = 1});
    const float one = 1.0f, fine = 1.0f + ldexpf(1.0f, -12), bias = ldexpf(1.0f, -20);
    for (int p = 0; p < BE_PRECISION_COUNT; p++) {
        reference *r = NULL;
        float out = 0.0f;
        ASSERT_OK(reference_new(
            g, &(be_plan_options){.mode = BE_INFER, .precision = (be_precision)p}, &r, &err));
        ASSERT_OK(reference_write(r, x, &fine, sizeof fine, &err));
        ASSERT_OK(reference_write(r, be_value_find(g, "layer.weight"), &one, sizeof one, &err));
        ASSERT_OK(reference_write(r, be_value_find(g, "layer.bias"), &bias, sizeof bias, &err));
        ASSERT_OK(reference_run(r, 1, &err));
        ASSERT_OK(reference_read(r, y, &out, sizeof out, &err));
        float product = p == BE_PRECISION_FP32 ? fine : one;
        assert_true(out == product + bias);
        assert_true(reference_data(r, x)[0] == (double)fine);
        reference_free(r);
    }
    be_graph_free(g);
}

/* Of a product of bf16 autocast keeps 8 bits; what is no product, and every product where it is not
 * asked for, stays as it is. */
static void the_reference_rounds_results_as_autocast(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 1, 2, 0, 0));
    be_value y = be_linear(g, x, &(be_linear_options){"layer", .features = 1, .no_bias = 1});
    be_value z = be_add(g, y, be_input(g, "b", shape_make(BE_F32, 2, 1, 1, 0, 0)));
    const float in[] = {1.0f, ldexpf(1.0f, -9)}, weights[] = {1.0f, 1.0f}, b = ldexpf(1.0f, -10);
    const double product = 1.0 + ldexp(1.0, -9);
    for (int p = 0; p < BE_PRECISION_COUNT; p++)
        for (int rounds = 0; rounds < 2; rounds++) {
            reference *r = NULL;
            bool is_kept = p != BE_PRECISION_BF16 || !rounds;
            ASSERT_OK(reference_new(
                g, &(be_plan_options){.mode = BE_INFER, .precision = (be_precision)p}, &r, &err));
            if (rounds) reference_round_results(r);
            ASSERT_OK(reference_write(r, x, in, sizeof in, &err));
            ASSERT_OK(reference_write(r, be_value_find(g, "b"), &b, sizeof b, &err));
            ASSERT_OK(reference_write(r, be_value_find(g, "layer.weight"), weights, sizeof weights,
                                      &err));
            ASSERT_OK(reference_run(r, 1, &err));
            assert_true(reference_data(r, y)[0] == (is_kept ? product : 1.0));
            assert_true(reference_data(r, z)[0] == (is_kept ? product : 1.0) + (double)b);
            reference_free(r);
        }
    be_graph_free(g);
}

/* Every grid keeps as many numbers of a range as another, and other ones. */
static void grids_keep_other_numbers(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 1, 1, 0, 0));
    be_value y = be_linear(g, x, &(be_linear_options){"layer", .features = 1, .no_bias = 1});
    const float half = 0.5f; /* which is on the grid 1 and on no other */
    for (int p = BE_PRECISION_TF32; p < BE_PRECISION_COUNT; p++)
        for (int grid = 0; grid < 2; grid++) {
            reference *r = NULL;
            double unit = p == BE_PRECISION_TF32 ? ldexp(1.0, -11) : ldexp(1.0, -8);
            ASSERT_OK(reference_new(
                g, &(be_plan_options){.mode = BE_INFER, .precision = (be_precision)p}, &r, &err));
            if (grid) reference_set_grid(r, 1.1);
            ASSERT_OK(reference_write(r, x, &half, sizeof half, &err));
            ASSERT_OK(
                reference_write(r, be_value_find(g, "layer.weight"), &half, sizeof half, &err));
            ASSERT_OK(reference_run(r, 1, &err));
            double apart = fabs(reference_data(r, y)[0] - 0.25) / 0.25;
            assert_true(grid ? apart > unit / 100 && apart < 3 * unit : apart == 0);
            reference_free(r);
        }
    be_graph_free(g);
}

static void refused(const char *library, be_precision precision, const char *reason)
{
    be_error err;
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_graph *g = two_branches(true);
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.library = library, .threads = 1}, &device,
                             &err));
    be_plan_options options = {.mode = BE_TRAIN, .precision = precision};
    ASSERT_FAILS(be_plan_new(g, device, &options, &plan, &err), BE_UNAVAILABLE, "op linear",
                 reason);
    assert_null(plan);
    be_device_close(device);
    be_graph_free(g);
}

static void what_a_processor_lacks_is_refused(void **state)
{
    (void)state;
    refused("native", BE_PRECISION_BF16, "multiplies in fp32 alone, not in bf16");
    refused("native", BE_PRECISION_TF32, "multiplies in fp32 alone, not in tf32");
    refused("onednn", BE_PRECISION_TF32, "multiplies in fp32 alone, not in tf32");
    be_error err;
    be_graph *g = two_branches(false), *lowered = NULL;
    be_plan_options options = {.mode = BE_INFER, .precision = BE_PRECISION_COUNT};
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "precision: expected one of");
    be_graph_free(g);
}

static void instructions_that_are_missing_are_named(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_graph *g = two_branches(true);
    ASSERT_OK(
        be_device_open("cpu", &(be_device_options){.isa = "generic", .threads = 1}, &device, &err));
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
    ASSERT_FAILS(be_plan_new(g, device, &options, &plan, &err), BE_UNAVAILABLE,
                 "AVX512-BF16 or AMX", "generic", "--precision fp32");
    be_device_close(device);
    be_graph_free(g);
}

/* A model of every op that has narrow operands but matmul: pictures, a convolution with its pool,
 * one without, two linear layers. */
enum { BATCH = 16, SIDE = 14, CLASSES = 10 };

typedef struct network {
    be_graph *graph;
    be_value x, target;
} network;

static network network_new(void)
{
    network n = {.graph = be_graph_new(7)};
    be_graph *g = n.graph;
    n.x = be_input(g, "x", shape_make(BE_F32, 4, BATCH, 3, SIDE, SIDE));
    n.target = be_input(g, "target", shape_make(BE_I32, 1, BATCH, 0, 0, 0));
    be_value y = be_relu(
        g, be_conv2d(g, n.x, &(be_conv2d_options){.name = "one", .channels = 16, .kernel = 3}));
    y = be_max_pool2d(g, y, &(be_pool2d_options){.size = 2});
    y = be_relu(g,
                be_conv2d(g, y, &(be_conv2d_options){.name = "two", .channels = 24, .kernel = 3}));
    y = be_relu(g, be_linear(g, be_flatten(g, y), &(be_linear_options){"three", .features = 32}));
    y = be_linear(g, y, &(be_linear_options){"four", .features = CLASSES});
    be_graph_minimize(g, be_softmax_cross_entropy(g, y, n.target), &sgd);
    return n;
}

static float picture[BATCH * 3 * SIDE * SIDE];
static int32_t label[BATCH];

static void fill_batch(void)
{
    for (int i = 0; i < BATCH * 3 * SIDE * SIDE; i++)
        picture[i] =
            2.0f * rng_uniform((rng_key){.seed = 3, .stream = RNG_TEST}, (uint64_t)i) - 0.5f;
    for (int i = 0; i < BATCH; i++) label[i] = i % CLASSES;
}

/* The distance of a gradient of the plan from the reference's, relative, in the Frobenius norm. */
static double distance(be_plan *plan, const be_parameter *mine, const reference *r,
                       be_value expected)
{
    be_error err;
    int64_t count = shape_elements(&mine->shape);
    float *found = malloc((size_t)count * sizeof *found);
    double apart = 0.0, size = 0.0;
    assert_non_null(found);
    ASSERT_OK(be_plan_read(plan, mine->gradient, found, (size_t)count * sizeof *found, &err));
    for (int64_t i = 0; i < count; i++) {
        double y = reference_data(r, expected)[i];
        apart += ((double)found[i] - y) * ((double)found[i] - y);
        size += y * y;
    }
    free(found);
    return sqrt(apart / size);
}

/* The largest distance of a gradient after one step in `precision` from the reference in `judge`.
 */
static double step_apart(be_device *device, be_precision precision, be_precision judge)
{
    be_error err;
    be_plan *plan = NULL;
    reference *r = NULL;
    double apart = -1.0;
    network n = network_new();
    be_plan_options mine = {.mode = BE_TRAIN, .precision = precision},
                    theirs = {.mode = BE_TRAIN, .precision = judge};
    ASSERT_OK(be_plan_new(n.graph, device, &mine, &plan, &err));
    ASSERT_OK(reference_new(n.graph, &theirs, &r, &err));
    ASSERT_OK(be_plan_write(plan, n.x, picture, sizeof picture, &err));
    ASSERT_OK(be_plan_write(plan, n.target, label, sizeof label, &err));
    ASSERT_OK(reference_write(r, n.x, picture, sizeof picture, &err));
    ASSERT_OK(reference_write(r, n.target, label, sizeof label, &err));
    ASSERT_OK(be_plan_run_checked(plan, 1, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    for (int p = 0; p < be_plan_parameter_count(plan); p++) {
        be_parameter parameter = be_plan_parameter(plan, p);
        if (strcmp(parameter.name, "four.weight") == 0)
            apart = distance(plan, &parameter, r, reference_parameter(r, p).gradient);
    }
    reference_free(r);
    be_plan_free(plan);
    be_graph_free(n.graph);
    return apart;
}

/* Operands rounded to 8 bits move one product by 2.3e-3, a few in a row by several times that; a
 * step that moved it by 5e-6 would have computed something else.  The reference in the same
 * precision rounds the same operands, so that only what rounds the other way after sums in another
 * order is left. */
static void a_step_in_bf16_is_one(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    fill_batch();
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 2}, &device, &err));
    assert_true(step_apart(device, BE_PRECISION_FP32, BE_PRECISION_FP32) < 1e-5);
    double tf32 = step_apart(device, BE_PRECISION_FP32, BE_PRECISION_TF32);
    double bf16 = step_apart(device, BE_PRECISION_FP32, BE_PRECISION_BF16);
    print_message("from fp32: the reference's tf32 %.2e, its bf16 %.2e\n", tf32, bf16);
    assert_true(tf32 > 1e-4 && tf32 < 4e-3);
    assert_true(bf16 > 1e-3 && bf16 < 3e-2);
    be_plan *plan = NULL;
    network n = network_new();
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16, .dry_run = 1};
    be_status status = be_plan_new(n.graph, device, &options, &plan, &err);
    be_plan_free(plan);
    be_graph_free(n.graph);
    if (status == BE_UNAVAILABLE) {
        print_message("left out: %s\n", err.text);
        be_device_close(device);
        skip();
    }
    double apart = step_apart(device, BE_PRECISION_BF16, BE_PRECISION_FP32),
           same = step_apart(device, BE_PRECISION_BF16, BE_PRECISION_BF16);
    print_message("a step in bf16: %.2e from fp32, %.2e from the reference's bf16\n", apart, same);
    assert_true(apart > 1e-3 && apart < 3e-2);
    assert_true(same < apart / 4);
    be_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_tf32_have_11_bits),
        cmocka_unit_test(precisions_have_names),
        cmocka_unit_test(operands_become_bf16_once),
        cmocka_unit_test(the_optimizer_writes_narrow_weights),
        cmocka_unit_test(results_become_bf16),
        cmocka_unit_test(copies_are_made_beside),
        cmocka_unit_test(images_stay_bf16),
        cmocka_unit_test(bf16_of_a_user_is_for_products),
        cmocka_unit_test(other_precisions_add_nothing),
        cmocka_unit_test(operands_of_a_product_are_of_one_type),
        cmocka_unit_test(the_reference_rounds_operands_of_tf32),
        cmocka_unit_test(the_reference_rounds_results_as_autocast),
        cmocka_unit_test(grids_keep_other_numbers),
        cmocka_unit_test(what_a_processor_lacks_is_refused),
        cmocka_unit_test(instructions_that_are_missing_are_named),
        cmocka_unit_test(a_step_in_bf16_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
