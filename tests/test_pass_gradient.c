/* Tests of sums of gradients: a value that several nodes read gets the sum of what flows back from
 * them, added in place where nothing else needs the parts. */
#include "graph_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/reference.h"
#include "ops/op_list.h"

enum { ROWS = 4, FEATURES = 6, WEIGHTS = FEATURES * 5 };

static const be_optimizer by_gradient = {.kind = BE_SGD, .learning_rate = 1.0f};

static be_value dense(be_graph *g, be_value x, const char *name, int features)
{
    return be_linear(g, x, &(be_linear_options){name, .features = features});
}

/* ---------------------------------------------------------------- what reads the hidden value */

/* Three products of it, as of queries, keys and values. */
static be_value three_products(be_graph *g, be_value h)
{
    be_value a = dense(g, h, "a", 3), b = dense(g, h, "b", 3), c = dense(g, h, "c", 3);
    return be_add(g, be_add(g, be_activate(g, a, BE_TANH), b), c);
}

/* What flows back to the hidden value past the product is what flows into the product too. */
static be_value around(be_graph *g, be_value h)
{
    return be_add(g, h, dense(g, h, "a", FEATURES));
}

/* The same, past a view. */
static be_value around_a_view(be_graph *g, be_value h)
{
    be_shape flat = {BE_F32, 1, {ROWS * FEATURES}};
    be_value y = dense(g, h, "a", FEATURES);
    return be_add(g, be_view(g, h, flat), be_view(g, y, flat));
}

/* When the product's part comes, what came before still has to flow to another value. */
static be_value shared_with_another(be_graph *g, be_value h)
{
    be_value other = be_activate(g, dense(g, be_activate(g, h, BE_TANH), "b", FEATURES), BE_TANH);
    be_value product = dense(g, h, "a", FEATURES);
    return be_multiply(g, be_add(g, h, other), product);
}

/* A product's part is there when the norm's comes. */
static be_value norm_and_product(be_graph *g, be_value h)
{
    be_value norm = be_layer_norm(g, h, &(be_layer_norm_options){.name = "n"});
    return be_add(g, norm, be_activate(g, dense(g, h, "a", FEATURES), BE_TANH));
}

/* What flows back to the hidden value past the norm flows into the norm too. */
static be_value around_a_norm(be_graph *g, be_value h)
{
    return be_add(g, h, be_layer_norm(g, h, &(be_layer_norm_options){.name = "n"}));
}

/* The hidden value is read as it is and as a part of the norm's sum. */
static be_value beside_its_sum(be_graph *g, be_value h)
{
    be_value sum, other = dense(g, h, "a", FEATURES);
    const be_layer_norm_options options = {.name = "n", .residual = &other, .sum = &sum};
    be_value norm = be_layer_norm(g, h, &options);
    return be_add(g, be_add(g, norm, sum), h);
}

/* Two convolutions of it, as where a residual block begins. */
static be_value two_convolutions(be_graph *g, be_value h)
{
    be_value image = be_view(g, h, (be_shape){BE_F32, 4, {2, 2, 2, FEATURES / 2}});
    be_value a = be_conv2d(g, image, &(be_conv2d_options){"a", .channels = 3, .kernel = 1});
    be_value b = be_conv2d(g, image, &(be_conv2d_options){"b", .channels = 3, .kernel = 1});
    return be_add(g, be_activate(g, a, BE_TANH), b);
}

typedef struct sums {
    be_value (*read)(be_graph *g, be_value h);
    int additions; /* nodes of the backward part, beside that for y · y */
} sums;

static const sums all_sums[] = {
    {three_products, 0},   {around, 1},        {around_a_view, 1},  {shared_with_another, 2},
    {norm_and_product, 0}, {around_a_norm, 1}, {beside_its_sum, 1}, {two_convolutions, 0},
};

static be_graph *graph_of(const sums *s, be_value *x)
{
    be_graph *g = graph_of_rows(x);
    be_value y = s->read(g, be_activate(g, dense(g, *x, "in", FEATURES), BE_TANH));
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &by_gradient);
    return g;
}

/* A graph with what it is fed, and the parameter that is looked at. */
typedef struct fed {
    const be_graph *g;
    be_value x;
    const void *in;
    size_t bytes;
    const char *weight;
    int count;
} fed;

/* The loss of one step from these weights, and the weights after it; without `weights` those of the
 * start. */
static double step(const fed *f, const double *weights, double *after)
{
    reference *r = NULL;
    be_error err;
    double loss = 0;
    int32_t correct = 0;
    ASSERT_OK(reference_new(f->g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    double *held = reference_data(r, be_value_find(f->g, f->weight));
    size_t bytes = (size_t)f->count * sizeof *held;
    ASSERT_OK(reference_write(r, f->x, f->in, f->bytes, &err));
    if (weights) {
        memcpy(held, weights, bytes);
        ASSERT_OK(reference_run(r, 1, &err));
        ASSERT_OK(reference_losses(r, 1, &loss, &correct, &err));
    }
    if (after) memcpy(after, held, bytes);
    reference_free(r);
    return loss;
}

/* By central differences in double, whose error is about the square of their step. */
static void check_differences(const fed *f)
{
    double start[WEIGHTS], after[WEIGHTS], moved[WEIGHTS];
    assert_true(f->count <= WEIGHTS);
    step(f, NULL, start);
    step(f, start, after);
    for (int i = 0; i < f->count; i++) {
        memcpy(moved, start, sizeof moved);
        moved[i] = start[i] + 1e-4;
        double above = step(f, moved, NULL);
        moved[i] = start[i] - 1e-4;
        double expected = (above - step(f, moved, NULL)) / 2e-4;
        assert_true(fabs(start[i] - after[i] - expected) <= 1e-6);
    }
}

static int count_all(const be_graph *g, const be_op *op)
{
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    int count = count_op(lowered, op);
    be_graph_free(lowered);
    return count;
}

/* One step on the CPU and in double, from the same weights. */
static void check_device(const be_graph *g, be_value x, const void *in, size_t bytes)
{
    be_device *device = NULL;
    be_plan *plan = NULL;
    reference *r = NULL;
    be_error err;
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(be_plan_write(plan, x, in, bytes, &err));
    ASSERT_OK(reference_write(r, x, in, bytes, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    for (int p = 0; p < reference_parameter_count(r); p++) {
        be_parameter parameter = reference_parameter(r, p);
        int64_t elements = shape_elements(&parameter.shape);
        float *found = malloc((size_t)elements * sizeof *found);
        ASSERT_OK(
            be_plan_read(plan, parameter.value, found, (size_t)elements * sizeof *found, &err));
        const double *expected = reference_data(r, parameter.value);
        for (int64_t i = 0; i < elements; i++)
            assert_true(fabs((double)found[i] - expected[i]) <= 2e-6);
        free(found);
    }
    reference_free(r);
    be_plan_free(plan);
    be_device_close(device);
}

static void sums_are_those_of_differences(void **state)
{
    (void)state;
    float in[ROWS * 5];
    for (int i = 0; i < ROWS * 5; i++) in[i] = 0.3f * (float)(i % 7) - 0.8f;
    for (size_t k = 0; k < sizeof all_sums / sizeof *all_sums; k++) {
        be_value x;
        be_graph *g = graph_of(&all_sums[k], &x);
        assert_int_equal(count_all(g, &be_op_add) - count_op(g, &be_op_add),
                         all_sums[k].additions + 1);
        check_differences(&(fed){g, x, in, sizeof in, "in.weight", WEIGHTS});
        be_graph_free(g);
    }
}

/* The table of tokens, which is the weight of the product behind them, too: what the tokens' rows
 * get is added to the product's part, which lies in the block of the gradients from the start. */
static void a_tied_table_is_added_to_where_it_lies(void **state)
{
    (void)state;
    enum { WORDS = 7, WIDTH = 4, TOKENS = 6 };
    static const int32_t tokens[TOKENS] = {3, 0, 3, 6, 3, 1};
    be_value table;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "tokens", (be_shape){BE_I32, 1, {TOKENS}});
    const be_embedding_options words = {"t", .rows = WORDS, .width = WIDTH,
                                        .start = {BE_NORMAL, 0.5f}, .table = &table};
    be_value h = be_activate(g, be_embedding(g, x, &words), BE_TANH);
    be_value y = be_linear(g, h, &(be_linear_options){"o", .no_bias = 1, .weight = &table});
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &by_gradient);
    assert_int_equal(count_all(g, &be_op_add), 1);  /* that for y · y */
    assert_int_equal(count_all(g, &be_op_view), 0); /* nothing is copied into the block */
    check_differences(&(fed){g, x, tokens, sizeof tokens, "t.weight", WORDS * WIDTH});
    check_device(g, x, tokens, sizeof tokens);
    be_graph_free(g);
}

/* The hidden value, its gradient and nothing else of that size: no part beside its sum. */
static void a_sum_in_place_takes_no_memory_of_its_own(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {256, 4}});
    be_value h = dense(g, x, "in", 512);
    be_value y =
        be_add(g, dense(g, h, "a", 3), be_add(g, dense(g, h, "b", 3), dense(g, h, "c", 3)));
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &by_gradient);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    memory_map map;
    be_error err;
    ASSERT_OK(memory_plan(lowered, 0, &map, &err));
    size_t hidden = 256 * 512 * sizeof(float);
    assert_true(map.activation_bytes > 2 * hidden && map.activation_bytes < 2.5 * (double)hidden);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void sums_are_the_same_on_a_device(void **state)
{
    (void)state;
    float in[ROWS * 5];
    for (int i = 0; i < ROWS * 5; i++) in[i] = 0.3f * (float)(i % 7) - 0.8f;
    for (size_t k = 0; k < sizeof all_sums / sizeof *all_sums; k++) {
        be_value x;
        be_graph *g = graph_of(&all_sums[k], &x);
        check_device(g, x, in, sizeof in);
        be_graph_free(g);
    }
}

/* The first part of the sum comes blocked by channels, and the one that is added wants it plain. */
static void a_sum_follows_the_layout_of_what_adds_to_it(void **state)
{
    (void)state;
    static float in[2 * 16 * 8 * 8];
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) in[i] = 0.3f * (float)(i % 7) - 0.8f;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {2, 16, 8, 8}});
    be_conv2d_options first = {"in", .channels = 16, .kernel = 3, .padding = 1},
                      second = {"a", .channels = 16, .kernel = 3, .padding = 1};
    be_value h = be_activate(g, be_conv2d(g, x, &first), BE_TANH);
    be_value by_rows = dense(g, h, "b", 8);
    be_value y = be_add(g, be_conv2d(g, h, &second), by_rows);
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &by_gradient);
    assert_int_equal(count_all(g, &be_op_add), 2); /* the user's, and that for y · y */
    check_device(g, x, in, sizeof in);
    be_graph_free(g);
}

/* The result of a layer goes into a norm alone, or `twice`: into what comes behind it too. */
static be_graph *bias_graph(bool twice, be_value *x)
{
    be_graph *g = graph_of_rows(x);
    be_value h = be_activate(g, dense(g, *x, "in", FEATURES), BE_TANH);
    be_value added = dense(g, h, "a", FEATURES);
    const be_layer_norm_options options = {.name = "n", .residual = &added};
    be_value y = be_layer_norm(g, h, &options);
    if (twice) y = be_add(g, y, be_activate(g, added, BE_TANH));
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &by_gradient);
    return g;
}

/* The bias in front of a norm gets the sums that this makes on its way, and no node makes them
 * again; where more flows back to it they are not those. */
static void a_norm_sums_for_the_bias_in_front_of_it(void **state)
{
    (void)state;
    float in[ROWS * 5];
    for (int i = 0; i < ROWS * 5; i++) in[i] = 0.3f * (float)(i % 7) - 0.8f;
    for (int twice = 0; twice < 2; twice++) {
        be_value x;
        be_graph *g = bias_graph(twice, &x);
        be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
        be_value bias = be_value_find(g, "a.bias");
        int maker = lowered->values[lowered->lowered.gradient_of[bias]].producer, sums = 0;
        for (size_t n = 0; n < lowered->node_count; n++)
            sums += lowered->nodes[n].op == &be_op_linear_backward &&
                    lowered->nodes[n].out[2] != BE_NONE;
        assert_ptr_equal(lowered->nodes[maker].op,
                         twice ? &be_op_linear_backward : &be_op_layer_norm_backward);
        assert_int_equal(sums, twice ? 2 : 1);
        check_differences(&(fed){g, x, in, sizeof in, "a.bias", FEATURES});
        check_device(g, x, in, sizeof in);
        be_graph_free(lowered);
        be_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_differences),
        cmocka_unit_test(a_tied_table_is_added_to_where_it_lies),
        cmocka_unit_test(a_sum_in_place_takes_no_memory_of_its_own),
        cmocka_unit_test(sums_are_the_same_on_a_device),
        cmocka_unit_test(a_sum_follows_the_layout_of_what_adds_to_it),
        cmocka_unit_test(a_norm_sums_for_the_bias_in_front_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
