/* Tests of building graphs: inferred shapes, names, the text of every mistake, lack of memory. */
#include "support.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/passes.h"
#include "ops/op_list.h"
#include "workloads/workload.h"

static be_value images(be_graph *g, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return be_input(g, "x", shape_make(BE_F32, 4, n, c, h, w));
}

static be_value conv(be_graph *g, be_value x, int channels, int kernel, int stride, int padding)
{
    return be_conv2d(g, x,
                     &(be_conv2d_options){.name = "conv",
                                          .channels = channels,
                                          .kernel = kernel,
                                          .stride = stride,
                                          .padding = padding});
}

static be_value pool(be_graph *g, be_value x, int size)
{
    return be_max_pool2d(g, x, &(be_pool2d_options){.size = size});
}

static be_value fc(be_graph *g, be_value x, int features)
{
    return be_linear(g, x, &(be_linear_options){"fc", .features = features});
}

static void check_shape(const be_graph *g, be_value value, const char *expected)
{
    char text[64];
    be_error err;
    be_shape shape = be_value_shape(g, value);
    ASSERT_OK(be_graph_check(g, &err));
    assert_string_equal(shape_text(&shape, text), expected);
}

static void layers_infer_their_shapes(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = images(g, 100, 3, 28, 30);
    be_value y = conv(g, x, 16, 3, 0, 0);
    check_shape(g, y, "f32 [100, 16, 26, 28]");
    y = be_conv2d(
        g, y,
        &(be_conv2d_options){.name = "two", .channels = 5, .kernel = 5, .stride = 2, .padding = 1});
    check_shape(g, y, "f32 [100, 5, 12, 13]");
    check_shape(g, be_relu(g, y), "f32 [100, 5, 12, 13]");
    be_value p = pool(g, y, 2);
    check_shape(g, p, "f32 [100, 5, 6, 6]"); /* the 13th column falls away */
    check_shape(g, pool(g, y, 5), "f32 [100, 5, 2, 2]");
    check_shape(g, be_global_average_pool(g, p), "f32 [100, 5]");
    check_shape(g, be_dropout(g, p, 0.5f), "f32 [100, 5, 6, 6]");
    be_value logits = fc(g, be_flatten(g, p), 10);
    check_shape(g, logits, "f32 [100, 10]");
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 100, 0, 0, 0));
    check_shape(g, be_softmax_cross_entropy(g, logits, target), "f32 [1]");
    be_value words = be_view(g, logits, shape_make(BE_F32, 3, 20, 5, 10, 0));
    be_value next = be_input(g, "next", shape_make(BE_I32, 2, 20, 5, 0, 0));
    check_shape(g, be_softmax_cross_entropy(g, words, next), "f32 [1]");
    check_shape(g, be_value_find(g, "conv.weight"), "f32 [16, 3, 3, 3]");
    check_shape(g, be_value_find(g, "conv.bias"), "f32 [16]");
    check_shape(g, be_value_find(g, "two.weight"), "f32 [5, 16, 5, 5]");
    check_shape(g, be_value_find(g, "fc.weight"), "f32 [10, 180]");
    check_shape(g, be_value_find(g, "fc.bias"), "f32 [10]");
    check_shape(g, be_value_find(g, "clock"), "i32 [1]");
    assert_int_equal(be_value_find(g, "fc"), BE_NONE);
    assert_int_equal(be_value_find(g, ""), BE_NONE);
    assert_int_equal(be_value_shape(g, 1000).rank, -1);
    assert_int_equal(be_value_shape(g, BE_NONE).rank, -1);
    be_graph_free(g);
}

static void a_batch_has_the_shapes_of_its_images(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_batch batch = be_data_batch(g, &(be_batch_options){.count = 1000,
                                                          .order_count = 900,
                                                          .batch = 64,
                                                          .channels = 3,
                                                          .height = 8,
                                                          .width = 9,
                                                          .std = {1, 1, 1}});
    check_shape(g, batch.x, "f32 [64, 3, 8, 9]");
    check_shape(g, batch.target, "i32 [64]");
    check_shape(g, be_value_find(g, "images"), "u8 [1000, 3, 8, 9]");
    check_shape(g, be_value_find(g, "labels"), "i32 [1000]");
    check_shape(g, be_value_find(g, "order"), "i32 [900]");
    be_graph_free(g);
}

/* One mistake, and what its text must say. */
typedef struct mistake {
    void (*make)(be_graph *g);
    const char *texts[3];
} mistake;

static void rank5(be_graph *g)
{
    be_input(g, "deep", (be_shape){BE_F32, 5, {1, 1, 1, 1}});
}
static void rank_negative(be_graph *g)
{
    be_input(g, "none", (be_shape){BE_F32, -1, {0}});
}
static void zero_dimension(be_graph *g)
{
    images(g, 100, 0, 28, 28);
}
static void negative_dimension(be_graph *g)
{
    images(g, -1, 1, 28, 28);
}
static void too_large(be_graph *g)
{
    images(g, 65536, 1, 256, 256);
}
static void product_wraps_around(be_graph *g)
{
    images(g, 4, INT64_C(1) << 62, 1, 1);
}
static void two_inputs_of_one_name(be_graph *g)
{
    images(g, 1, 1, 4, 4);
    images(g, 1, 1, 4, 4);
}
static void two_layers_of_one_name(be_graph *g)
{
    conv(g, conv(g, images(g, 1, 1, 9, 9), 2, 3, 1, 0), 2, 3, 1, 0);
}
static void conv_of_rows(be_graph *g)
{
    conv(g, be_input(g, "rows", shape_make(BE_F32, 2, 10, 20, 0, 0)), 4, 3, 1, 0);
}
static void conv_of_nothing(be_graph *g)
{
    conv(g, BE_NONE, 4, 3, 1, 0);
}
static void conv_of_a_stranger(be_graph *g)
{
    conv(g, 77, 4, 3, 1, 0);
}
static void conv_of_bytes(be_graph *g)
{
    conv(g, be_input(g, "bytes", shape_make(BE_U8, 4, 1, 1, 28, 28)), 4, 3, 1, 0);
}
static void conv_without_channels(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 0, 3, 1, 0);
}
static void conv_without_kernel(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 4, 0, 1, 0);
}
static void conv_with_negative_kernel(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 4, -3, 1, 0);
}
static void conv_larger_than_image(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 6), 4, 7, 1, 0);
}
static void conv_backwards(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 4, 3, -2, 0);
}
static void conv_with_negative_padding(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 4, 3, 1, -1);
}
static void conv_with_huge_padding(be_graph *g)
{
    conv(g, images(g, 1, 1, 28, 28), 4, 3, 1, INT_MAX);
}
static void conv_with_huge_result(be_graph *g)
{
    conv(g, images(g, 1000, 1, 1000, 1000), 16, 3, 1, 0);
}
static void linear_without_features(be_graph *g)
{
    fc(g, be_flatten(g, images(g, 1, 1, 28, 28)), 0);
}
static void linear_too_wide(be_graph *g)
{
    fc(g, be_flatten(g, images(g, 1, 1, 28, 28)), INT_MAX);
}
static void linear_of_nothing(be_graph *g)
{
    fc(g, BE_NONE, 3);
}
static void relu_of_integers(be_graph *g)
{
    be_relu(g, be_input(g, "n", shape_make(BE_I32, 1, 10, 0, 0, 0)));
}
static void pool_larger_than_image(be_graph *g)
{
    pool(g, images(g, 1, 1, 3, 2), 3);
}
static void pool_of_rows(be_graph *g)
{
    pool(g, be_input(g, "rows", shape_make(BE_F32, 2, 10, 20, 0, 0)), 2);
}
static void average_of_rows(be_graph *g)
{
    be_global_average_pool(g, be_input(g, "rows", shape_make(BE_F32, 2, 10, 20, 0, 0)));
}
static void dropout_of_everything(be_graph *g)
{
    be_dropout(g, images(g, 1, 1, 2, 2), 1.0f);
}
static void dropout_below_zero(be_graph *g)
{
    be_dropout(g, images(g, 1, 1, 2, 2), -0.1f);
}
static void dropout_nan(be_graph *g)
{
    be_dropout(g, images(g, 1, 1, 2, 2), NAN);
}

static be_value loss_of(be_graph *g, be_dtype dtype, int64_t targets)
{
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 10, 20, 0, 0));
    be_value target = be_input(g, "target", shape_make(dtype, 1, targets, 0, 0, 0));
    return be_softmax_cross_entropy(g, fc(g, x, 3), target);
}
static void loss_with_real_targets(be_graph *g)
{
    loss_of(g, BE_F32, 10);
}
static void loss_with_other_batch(be_graph *g)
{
    loss_of(g, BE_I32, 11);
}
static void loss_of_images(be_graph *g)
{
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 10, 0, 0, 0));
    be_softmax_cross_entropy(g, images(g, 10, 3, 4, 4), target);
}
static void loss_of_one_row(be_graph *g)
{
    be_value x = be_input(g, "x", shape_make(BE_F32, 1, 10, 0, 0, 0));
    be_softmax_cross_entropy(g, x, be_input(g, "target", shape_make(BE_I32, 1, 1, 0, 0, 0)));
}
static void minimize(be_graph *g, double rate, double momentum, double beta2,
                     be_optimizer_kind kind)
{
    be_graph_minimize(
        g, loss_of(g, BE_I32, 10),
        &(be_optimizer){.kind = kind, .learning_rate = rate, .momentum = momentum, .beta2 = beta2});
}
static void rate_of_zero(be_graph *g)
{
    minimize(g, 0, 0, 0, BE_SGD);
}
static void rate_nan(be_graph *g)
{
    minimize(g, NAN, 0, 0, BE_SGD);
}
static void momentum_of_one(be_graph *g)
{
    minimize(g, 0.1f, 1.0f, 0, BE_SGD);
}
static void beta_above_one(be_graph *g)
{
    minimize(g, 0.1f, 0, 1.5f, BE_ADAM);
}
static void no_such_optimizer(be_graph *g)
{
    minimize(g, 0.1f, 0, 0, (be_optimizer_kind)9);
}
static void minimize_no_loss(be_graph *g)
{
    be_graph_minimize(g, be_relu(g, images(g, 1, 1, 2, 2)),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1f});
}
static void minimize_twice(be_graph *g)
{
    minimize(g, 0.1f, 0, 0, BE_SGD);
    be_graph_minimize(g, g->recipe.loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1f});
}

static void batch(be_graph *g, int64_t count, int64_t order, int size, int channels, float std)
{
    be_data_batch(g, &(be_batch_options){.count = count,
                                         .order_count = order,
                                         .batch = size,
                                         .channels = channels,
                                         .height = 2,
                                         .width = 2,
                                         .std = {std, 1, 1, 1}});
}
static void batch_larger_than_set(be_graph *g)
{
    batch(g, 10, 10, 11, 1, 1);
}
static void batch_of_none(be_graph *g)
{
    batch(g, 10, 10, 0, 1, 1);
}
static void batch_of_an_empty_set(be_graph *g)
{
    batch(g, 0, 10, 1, 1, 1);
}
static void batch_of_five_channels(be_graph *g)
{
    batch(g, 10, 10, 2, 5, 1);
}
static void batch_without_spread(be_graph *g)
{
    batch(g, 10, 10, 2, 1, 0);
}

static const mistake mistakes[] = {
    {rank5, {"deep", "0 to 4 dimensions", "found 5"}},
    {rank_negative, {"none", "0 to 4 dimensions", "found -1"}},
    {zero_dimension, {"x", "at least 1", "f32 [100, 0, 28, 28]"}},
    {negative_dimension, {"x", "at least 1", "f32 [-1, 1, 28, 28]"}},
    {too_large, {"x", "2^31", "smaller batch"}},
    {product_wraps_around, {"x", "2^31", "4611686018427387904"}},
    {two_inputs_of_one_name, {"two values", "\"x\"", "name of its own"}},
    {two_layers_of_one_name, {"two values", "\"conv.weight\"", "name of its own"}},
    {conv_of_rows, {"conv2d", "4 dimensions", "f32 [10, 20]"}},
    {conv_of_nothing, {"conv2d", "input 0 is missing", ""}},
    {conv_of_a_stranger, {"conv2d", "input 0 is no value of this graph", ""}},
    {conv_of_bytes, {"conv2d", "expected f32", "u8 [1, 1, 28, 28]"}},
    {conv_without_channels, {"conv.weight", "at least 1", "f32 [0, 1, 3, 3]"}},
    {conv_without_kernel, {"conv.weight", "at least 1", "f32 [4, 1, 0, 0]"}},
    {conv_with_negative_kernel, {"conv.weight", "at least 1", "f32 [4, 1, -3, -3]"}},
    {conv_larger_than_image, {"kernel of 7", "f32 [1, 1, 28, 6]", "smaller kernel"}},
    {conv_backwards, {"conv2d", "stride >= 1", "found -2"}},
    {conv_with_negative_padding, {"conv2d", "padding >= 0", "-1"}},
    {conv_with_huge_padding, {"padding", "kernel of 3", "found 2147483647"}},
    {conv_with_huge_result, {"2^31", "f32 [1000, 16, 998, 998]", "smaller batch"}},
    {linear_without_features, {"fc.weight", "at least 1", "f32 [0, 784]"}},
    {linear_too_wide, {"fc.weight", "2^31", "2147483647"}},
    {linear_of_nothing, {"linear", "input 0 is missing", ""}},
    {relu_of_integers, {"relu", "expected f32", "i32 [10]"}},
    {pool_larger_than_image, {"max_pool2d", "f32 [1, 1, 3, 2]", "smaller window"}},
    {pool_of_rows, {"max_pool2d", "4 dimensions", "f32 [10, 20]"}},
    {average_of_rows, {"global_average_pool", "4 dimensions", "f32 [10, 20]"}},
    {dropout_of_everything, {"dropout", "below 1", "found 1"}},
    {dropout_below_zero, {"dropout", "at least 0", "found -0.1"}},
    {dropout_nan, {"dropout", "below 1", "nan"}},
    {loss_with_real_targets, {"target", "expected i32 [10]", "f32 [10]"}},
    {loss_with_other_batch, {"target", "expected i32 [10]", "i32 [11]"}},
    {loss_of_images, {"target", "i32 [10, 3, 4]", "found i32 [10]"}},
    {loss_of_one_row, {"logits", "at least 2 dimensions", "f32 [10]"}},
    {rate_of_zero, {"learning rate", "above 0", "found 0"}},
    {rate_nan, {"learning rate", "finite", "nan"}},
    {momentum_of_one, {"momentum", "below 1", "found 1"}},
    {beta_above_one, {"beta2", "below 1", "found 1.5"}},
    {no_such_optimizer, {"optimizer", "kind", "found 9"}},
    {minimize_no_loss, {"be_graph_minimize", "a loss f32 [1]", "found f32 [1, 1, 2, 2]"}},
    {minimize_twice, {"be_graph_minimize", "already (sgd)", "once"}},
    {batch_larger_than_set, {"data_batch", "at most the 10 samples", "found 11"}},
    {batch_of_none, {"data_batch", "at least 1", "found 0"}},
    {batch_of_an_empty_set, {"images", "at least 1", "u8 [0, 1, 2, 2]"}},
    {batch_of_five_channels, {"\"images\"", "1 to 4 channels", "found 5"}},
    {batch_without_spread, {"\"images\"", "std above 0", "channel 0"}},
};

static void every_mistake_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        be_error err = {0}, again;
        const char *const *texts = mistakes[i].texts;
        be_graph *g = be_graph_new(1);
        mistakes[i].make(g);
        if (be_graph_check(g, NULL) == BE_OK)
            print_error("accepted: mistake %zu (%s, %s)\n", i, texts[0], texts[1]);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, texts[0], texts[1], texts[2]);
        /* The graph stays as it is, and so does its error. */
        size_t values = g->value_count, nodes = g->node_count;
        assert_int_equal(be_input(g, "later", shape_make(BE_F32, 1, 1, 0, 0, 0)), BE_NONE);
        assert_int_equal(be_relu(g, 0), BE_NONE);
        assert_int_equal(loss_of(g, BE_F32, 3), BE_NONE);
        be_graph_minimize(g, 0, &(be_optimizer){.learning_rate = 1});
        assert_int_equal(be_graph_check(g, &again), BE_USAGE);
        assert_string_equal(err.text, again.text);
        assert_int_equal(g->value_count, values);
        assert_int_equal(g->node_count, nodes);
        assert_int_equal(be_graph_check(g, NULL), BE_USAGE);
        be_graph_free(g);
    }
}

static void no_graph_is_an_error_not_a_crash(void **state)
{
    (void)state;
    be_error err;
    ASSERT_FAILS(be_graph_check(NULL, &err), BE_NO_MEMORY, "graph could not be made");
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++)
        if (mistakes[i].make != minimize_twice) mistakes[i].make(NULL);
    assert_int_equal(be_value_find(NULL, "x"), BE_NONE);
    assert_int_equal(be_value_shape(NULL, 0).rank, -1);
    be_graph_free(NULL);
}

static void shapes_have_texts(void **state)
{
    (void)state;
    char text[64];
    be_shape longest = {BE_F32, 4, {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN}};
    be_shape scalar = {.dtype = BE_U8}, none = {.rank = -1};
    assert_string_equal(shape_text(&scalar, text), "u8 []");
    assert_string_equal(shape_text(&none, text), "none");
    memset(text, 'x', sizeof text);
    assert_true(strlen(shape_text(&longest, text)) < sizeof text);
}

static void a_clone_is_independent(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(7), *copy = NULL;
    minimize(g, 0.25f, 0.5f, 0, BE_SGD);
    ASSERT_OK(graph_clone(g, &copy, &err));
    assert_int_equal(copy->seed, 7);
    assert_int_equal(copy->value_count, g->value_count);
    assert_int_equal(copy->node_count, g->node_count);
    size_t values = g->value_count, nodes = g->node_count;
    for (size_t i = 0; i < values; i++) {
        assert_string_equal(copy->values[i].name, g->values[i].name);
        assert_true(shape_equal(&copy->values[i].shape, &g->values[i].shape));
    }
    be_relu(copy, 0);
    assert_int_equal(g->value_count, values);
    unsigned char attrs[64];
    size_t attrs_bytes = g->recipe.optimizer->attrs_bytes;
    assert_in_range(attrs_bytes, 1, sizeof attrs);
    memcpy(attrs, g->recipe.optimizer_attrs, attrs_bytes);
    be_graph_free(g); /* the copy owns its names, attributes and recipe */
    assert_int_equal(copy->node_count, nodes + 1);
    assert_true(be_value_find(copy, "fc.weight") != BE_NONE);
    assert_memory_equal(copy->recipe.optimizer_attrs, attrs, attrs_bytes);
    be_graph_free(copy);
}

static void initial_weights_follow_from_the_seed(void **state)
{
    (void)state;
    enum { COUNT = 3 * 20 };
    float first[COUNT], second[COUNT], other[COUNT];
    be_graph *g = be_graph_new(7), *h = be_graph_new(8);
    loss_of(g, BE_I32, 10);
    loss_of(h, BE_I32, 10);
    be_value w = be_value_find(g, "fc.weight");
    graph_fill_start(g, w, 0, first);
    graph_fill_start(g, w, 0, second);
    assert_memory_equal(first, second, sizeof first);
    graph_fill_start(g, w, 1, other);
    assert_memory_not_equal(first, other, sizeof first);
    graph_fill_start(h, w, 0, other);
    assert_memory_not_equal(first, other, sizeof first);
    float bound = 1.0f / sqrtf(20.0f), largest = 0.0f, least = 0.0f;
    for (int i = 0; i < COUNT; i++) {
        largest = fmaxf(largest, first[i]);
        least = fminf(least, first[i]);
    }
    assert_true(largest <= bound && largest > 0.8f * bound);
    assert_true(least >= -bound && least < -0.8f * bound);
    be_graph_free(g);
    be_graph_free(h);
}

static be_status build_everything(void *context, be_error *err)
{
    be_graph *g = be_graph_new(3), *lowered = NULL;
    be_plan_options options = {.mode = BE_TRAIN};
    lower_target target = {.device = context};
    be_value x = images(g, 4, 2, 12, 12);
    be_value y = pool(g, be_relu(g, conv(g, x, 3, 3, 1, 1)), 2);
    y = be_dropout(g, y, 0.25f);
    be_value target_value = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value loss = be_softmax_cross_entropy(g, fc(g, be_flatten(g, y), 3), target_value);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_ADAM, .learning_rate = 0.1f});
    be_status status = be_graph_check(g, err);
    if (status == BE_OK) status = graph_lower(g, &options, &target, &lowered, err);
    be_graph_free(lowered);
    be_graph_free(g);
    return status;
}

static void a_lack_of_memory_is_reported(void **state)
{
    (void)state;
    assert_true(support_fail_each_allocation(build_everything, NULL, 200) > 8);
}

static void the_ladder_has_its_parameters(void **state)
{
    (void)state;
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        const workload *w = workload_table[i];
        be_error err;
        workload_model model;
        int64_t count = 0;
        ASSERT_OK(workload_model_new(w, &(workload_options){.count = 1000}, &model, &err));
        for (size_t v = 0; v < model.graph->value_count; v++)
            if (model.graph->values[v].kind == VALUE_PARAMETER)
                count += shape_elements(&model.graph->values[v].shape);
        assert_int_equal(count, w->parameters);
        be_shape logits = be_value_shape(model.graph, model.outputs.trace[0]);
        const data_field *labels = table_find(&model.form, "labels");
        assert_int_equal(logits.dim[0], w->batch);
        if (labels) assert_int_equal(logits.dim[1], labels->below);
        be_graph_free(model.graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_infer_their_shapes),
        cmocka_unit_test(a_batch_has_the_shapes_of_its_images),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(no_graph_is_an_error_not_a_crash),
        cmocka_unit_test(shapes_have_texts),
        cmocka_unit_test(a_clone_is_independent),
        cmocka_unit_test(initial_weights_follow_from_the_seed),
        cmocka_unit_test(a_lack_of_memory_is_reported),
        cmocka_unit_test(the_ladder_has_its_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
