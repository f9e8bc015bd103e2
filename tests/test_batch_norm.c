/* Tests of batch norm as a layer: PyTorch's numbers over three steps, inference from the buffers,
 * resuming, threads, fusion, layouts, refusals.  Its arithmetic is tested with the other ops
 * (test_ops). */
#include "graph_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/rng.h"
#include "graph/reference.h"
#include "ops/norm/batch_norm.h"
#include "train/checkpoint.h"
#include "train/weights.h"

/* ---------------------------------------------------------------- PyTorch's numbers */

/* y = BatchNorm2d(3)(x), loss = mean(y · k · y), SGD of rate 0.1, another x in each of 3 steps;
 * then y of the first x in evaluation.  The numbers are those of torch 2 in double. */
enum { IMAGES = 2, CHANNELS = 3, SIDE = 2, COUNT = IMAGES * CHANNELS * SIDE * SIDE, STEPS = 3 };

static const double torch_losses[STEPS] = {1.5143310878786156, -0.6369275836971587,
                                           1.0975649744474294};
static const double torch_dweight[CHANNELS] = {-0.25368024678746637, -0.23211853239521202,
                                               0.8857937843286985};
static const double torch_weight[CHANNELS] = {0.526434761397236, -1.4714554989575257,
                                              1.850709754878107};
static const double torch_bias[CHANNELS] = {0.2717124391587479, 0.4616406828204236,
                                            -0.6828179264966612};
static const double torch_mean[CHANNELS] = {-9.375000000000355e-05, 0.251875, 0.6179375};
static const double torch_var[CHANNELS] = {0.9227310267857144, 1.4430803571428572,
                                           2.383412946428572};
static const double torch_y[CHANNELS * SIDE * SIDE] = {
    -0.41327417260044097, -0.13925897675707719, -0.002251378835395279, 0.27176381700796853,
    -0.4547370712083293,  -1.6796363247137633,  -2.2920859514664804,   -3.5169852049719146,
    5.469371411283329,    -2.622361304367529,   -1.7232798915174339,   0.07488293418275671};

static void fill_x(int step, float out[COUNT])
{
    float *at = out;
    for (int n = 0; n < IMAGES; n++)
        for (int c = 0; c < CHANNELS; c++)
            for (int h = 0; h < SIDE; h++)
                for (int w = 0; w < SIDE; w++) {
                    int number = (n * 7 + c * 5 + h * 3 + w * 2 + step * 4) % 11 - 5;
                    *at++ = 0.25f * (float)(number * (c + 1)) + (float)c;
                }
}

typedef struct layer {
    be_graph *graph;
    be_value x, k, y, weight, bias, mean, var;
} layer;

static layer layer_new(void)
{
    be_error err;
    layer l = {.graph = be_graph_new(1)};
    be_graph *g = l.graph;
    const be_shape shape = {BE_F32, 4, {IMAGES, CHANNELS, SIDE, SIDE}};
    l.x = be_input(g, "x", shape);
    l.k = be_input(g, "k", shape);
    l.y = be_batch_norm(g, l.x, &(be_batch_norm_options){.name = "bn"});
    be_graph_minimize(g, be_mean(g, be_multiply(g, be_multiply(g, l.y, l.k), l.y)),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    ASSERT_OK(be_graph_check(g, &err));
    l.weight = be_value_find(g, "bn.weight");
    l.bias = be_value_find(g, "bn.bias");
    l.mean = be_value_find(g, "bn.running_mean");
    l.var = be_value_find(g, "bn.running_var");
    return l;
}

static const float first_weight[CHANNELS] = {0.5f, -1.5f, 2.0f};
static const float first_bias[CHANNELS] = {0.25f, 0.5f, -0.75f};

static void fill_k(float out[COUNT])
{
    for (int i = 0; i < COUNT; i++) out[i] = 0.5f * (float)(i * 3 % 7 - 3);
}

static void check_close(const float *found, const double *expected, int count, double tolerance)
{
    for (int i = 0; i < count; i++) {
        if (fabs((double)found[i] - expected[i]) <= tolerance * (1 + fabs(expected[i]))) continue;
        fail_msg("element %d: expected %.9g, found %.9g", i, expected[i], (double)found[i]);
    }
}

static void read_channels(be_plan *plan, be_value value, float out[CHANNELS])
{
    be_error err;
    ASSERT_OK(be_plan_read(plan, value, out, CHANNELS * sizeof(float), &err));
}

static void check_channels(be_plan *plan, be_value value, const double *expected)
{
    float found[CHANNELS];
    read_channels(plan, value, found);
    check_close(found, expected, CHANNELS, 2e-6);
}

static void three_steps(be_plan *plan, const layer *l)
{
    be_error err;
    float x[COUNT], k[COUNT], losses[STEPS];
    fill_k(k);
    ASSERT_OK(be_plan_write(plan, l->k, k, sizeof k, &err));
    ASSERT_OK(be_plan_write(plan, l->weight, first_weight, sizeof first_weight, &err));
    ASSERT_OK(be_plan_write(plan, l->bias, first_bias, sizeof first_bias, &err));
    for (int step = 0; step < STEPS; step++) {
        fill_x(step, x);
        ASSERT_OK(be_plan_write(plan, l->x, x, sizeof x, &err));
        ASSERT_OK(be_plan_run_checked(plan, 1, &err));
        if (step == 0) check_channels(plan, be_plan_parameter(plan, 0).gradient, torch_dweight);
    }
    ASSERT_OK(be_plan_losses(plan, STEPS, losses, NULL, &err));
    check_close(losses, torch_losses, STEPS, 2e-6);
}

/* Evaluation in a plan that shares the weights. */
static void check_inference(be_plan *trained, be_device *device, const layer *l)
{
    be_error err;
    be_plan *plan = NULL;
    float x[COUNT], y[COUNT], k[COUNT];
    be_plan_options options = {.mode = BE_INFER, .share = trained, .keep = &l->y, .keep_count = 1};
    fill_x(0, x);
    fill_k(k);
    ASSERT_OK(be_plan_new(l->graph, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, l->x, x, sizeof x, &err));
    ASSERT_OK(be_plan_write(plan, l->k, k, sizeof k, &err));
    ASSERT_OK(be_plan_run(plan, 2, &err));
    ASSERT_OK(be_plan_read(plan, l->y, y, sizeof y, &err));
    check_close(y, torch_y, CHANNELS * SIDE * SIDE, 4e-6);
    check_channels(trained, l->mean, torch_mean); /* as training left them */
    be_plan_free(plan);
}

static void check_training(be_device *device)
{
    be_error err;
    be_plan *plan = NULL;
    layer l = layer_new();
    ASSERT_OK(be_plan_new(l.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    three_steps(plan, &l);
    check_channels(plan, l.weight, torch_weight);
    check_channels(plan, l.bias, torch_bias);
    check_channels(plan, l.mean, torch_mean);
    check_channels(plan, l.var, torch_var);
    check_inference(plan, device, &l);
    be_plan_free(plan);
    be_graph_free(l.graph);
}

static void three_steps_and_inference_are_those_of_torch(void **state)
{
    (void)state;
    be_error err;
    static const char *const sets[] = {"generic", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        be_device *device = NULL;
        be_device_options options = {.threads = 1, .isa = sets[i]};
        if (be_device_open("cpu", &options, &device, &err) != BE_OK) continue;
        check_training(device);
        be_device_close(device);
    }
}

static void they_are_on_opencl_too(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("opencl:0", NULL, &device, &err));
    check_training(device);
    be_device_close(device);
}

static void check_doubles(const reference *r, be_value value, const double *expected,
                          double tolerance)
{
    for (int c = 0; c < CHANNELS; c++)
        assert_true(fabs(reference_data(r, value)[c] - expected[c]) < tolerance);
}

static void the_reference_is_that_of_torch(void **state)
{
    (void)state;
    be_error err;
    reference *r = NULL;
    float x[COUNT], k[COUNT];
    layer l = layer_new();
    fill_k(k);
    ASSERT_OK(reference_new(l.graph, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(reference_write(r, l.k, k, sizeof k, &err));
    ASSERT_OK(reference_write(r, l.weight, first_weight, sizeof first_weight, &err));
    ASSERT_OK(reference_write(r, l.bias, first_bias, sizeof first_bias, &err));
    for (int step = 0; step < STEPS; step++) {
        fill_x(step, x);
        ASSERT_OK(reference_write(r, l.x, x, sizeof x, &err));
        ASSERT_OK(reference_run(r, 1, &err));
    }
    check_doubles(r, l.weight, torch_weight, 1e-7); /* the rate is a float */
    check_doubles(r, l.mean, torch_mean, 1e-12);
    check_doubles(r, l.var, torch_var, 1e-12);
    reference_free(r);
    be_graph_free(l.graph);
}

/* ---------------------------------------------------------------- a residual block */

enum { BATCH = 4, WIDE = 16, EDGE = 8, CLASSES = 3, BLOCK_STEPS = 4 };

typedef struct block {
    be_graph *graph;
    be_value x, target, first, second, sum;
    float data[BATCH * 3 * EDGE * EDGE];
    int32_t classes[BATCH];
} block;

static be_value conv(be_graph *g, be_value x, const char *name)
{
    return be_conv2d(
        g, x, &(be_conv2d_options){.name = name, .channels = WIDE, .kernel = 3, .padding = 1});
}

static be_value norm(be_graph *g, be_value x, const char *name)
{
    return be_batch_norm(g, x, &(be_batch_norm_options){.name = name});
}

/* relu(bn2(conv2(h)) + h), h = relu(bn1(conv1(x))); `late`: the residual is made behind bn2. */
static block *block_new(bool late)
{
    be_error err;
    block *b = calloc(1, sizeof *b);
    assert_non_null(b);
    be_graph *g = b->graph = be_graph_new(7);
    b->x = be_input(g, "x", (be_shape){BE_F32, 4, {BATCH, 3, EDGE, EDGE}});
    b->target = be_input(g, "target", (be_shape){BE_I32, 1, {BATCH}});
    b->first = norm(g, conv(g, b->x, "conv1"), "bn1");
    be_value h = be_relu(g, b->first);
    b->second = norm(g, conv(g, h, "conv2"), "bn2");
    be_value residual = late ? be_scale(g, h, 0.5f) : h;
    b->sum = be_add(g, b->second, residual);
    be_value y = be_global_average_pool(g, be_relu(g, b->sum));
    be_graph_minimize(
        g,
        be_softmax_cross_entropy(
            g, be_linear(g, y, &(be_linear_options){.name = "fc", .features = CLASSES}), b->target),
        &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1, .momentum = 0.9});
    ASSERT_OK(be_graph_check(g, &err));
    rng r = {.key = {.seed = 3, .stream = RNG_TEST}};
    for (int i = 0; i < BATCH * 3 * EDGE * EDGE; i++)
        b->data[i] = 2.0f * rng_next_uniform(&r) - 1.0f;
    for (int i = 0; i < BATCH; i++) b->classes[i] = i % CLASSES;
    return b;
}

static void block_free(block *b)
{
    be_graph_free(b->graph);
    free(b);
}

static be_device *cpu(int threads, const char *library)
{
    be_error err;
    be_device *device = NULL;
    be_device_options options = {.threads = threads, .library = library};
    ASSERT_OK(be_device_open("cpu", &options, &device, &err));
    return device;
}

static be_plan *block_plan(const block *b, be_device *device, const be_plan_options *options)
{
    be_error err;
    be_plan *plan = NULL;
    ASSERT_OK(be_plan_new(b->graph, device, options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, b->x, b->data, sizeof b->data, &err));
    ASSERT_OK(be_plan_write(plan, b->target, b->classes, sizeof b->classes, &err));
    return plan;
}

static const be_plan_options train = {.mode = BE_TRAIN};

/* All weights, buffers included; the caller frees them. */
static float *weights_of(be_plan *plan, size_t *bytes)
{
    be_error err;
    *bytes = 0;
    for (int i = 0; i < weights_count(plan); i++) {
        be_shape shape = weights_at(plan, i).shape;
        *bytes += (size_t)shape_elements(&shape) * sizeof(float);
    }
    float *all = malloc(*bytes), *at = all;
    assert_non_null(all);
    for (int i = 0; i < weights_count(plan); i++) {
        be_parameter weight = weights_at(plan, i);
        int64_t count = shape_elements(&weight.shape);
        ASSERT_OK(be_plan_read(plan, weight.value, at, (size_t)count * sizeof(float), &err));
        at += count;
    }
    return all;
}

static void assert_same_weights(be_plan *a, be_plan *b)
{
    size_t bytes, more;
    float *first = weights_of(a, &bytes), *second = weights_of(b, &more);
    assert_int_equal(bytes, more);
    assert_memory_equal(first, second, bytes);
    free(first);
    free(second);
}

/* Norms and elementwise ops alone, of more images than are summed in one part. */
enum { MANY = 70, ODD = 13, PIXELS = 9 };

static be_plan *norms_plan(be_device *device, const be_graph *g, be_value x)
{
    be_error err;
    be_plan *plan = NULL;
    static float data[MANY * ODD * PIXELS * PIXELS];
    rng r = {.key = {.seed = 5, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = rng_next_uniform(&r);
    ASSERT_OK(be_plan_new(g, device, &train, &plan, &err));
    ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
    ASSERT_OK(be_plan_run(plan, BLOCK_STEPS, &err));
    return plan;
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {MANY, ODD, PIXELS, PIXELS}});
    be_value y = norm(g, be_relu(g, norm(g, x, "bn1")), "bn2");
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, x)),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    be_device *devices[3] = {cpu(1, "native"), cpu(2, "native"), cpu(3, "native")};
    be_plan *plans[3];
    for (int i = 0; i < 3; i++) plans[i] = norms_plan(devices[i], g, x);
    assert_same_weights(plans[0], plans[1]);
    assert_same_weights(plans[0], plans[2]);
    for (int i = 0; i < 3; i++) {
        be_plan_free(plans[i]);
        be_device_close(devices[i]);
    }
    be_graph_free(g);
}

static void a_resumed_training_is_the_same_to_the_bit(void **state)
{
    (void)state;
    be_error err;
    char *folder = support_make_folder(), path[FILE_PATH_BYTES];
    checkpoint_state where = {
        .workload = "block", .data = "none", .step = 2, .optimizer.kind = BE_SGD};
    checkpoint c;
    block *b = block_new(false);
    be_device *device = cpu(2, NULL);
    be_plan *whole = block_plan(b, device, &train), *resumed = block_plan(b, device, &train);
    ASSERT_OK(be_plan_run(whole, 2, &err));
    ASSERT_OK(checkpoint_save(whole, folder, &where, CHECKPOINT_LAST, path, &err));
    ASSERT_OK(be_plan_run(whole, 3, &err));
    ASSERT_OK(be_plan_run(resumed, 1, &err)); /* of another state */
    ASSERT_OK(checkpoint_open(&c, path, "block", &err));
    ASSERT_OK(checkpoint_restore(&c, resumed, &err));
    checkpoint_close(&c);
    ASSERT_OK(be_plan_run(resumed, 3, &err));
    assert_same_weights(whole, resumed);
    be_plan_free(whole);
    be_plan_free(resumed);
    be_device_close(device);
    block_free(b);
    support_remove_folder(folder);
}

/* ---------------------------------------------------------------- fusion and layouts */

static bool has_all(const void *device, const be_graph *g, const graph_node *node, const be_op *op)
{
    (void)device, (void)g, (void)node, (void)op;
    return true;
}

static const lower_target fusing = {.has = has_all};

static void relu_and_residual_are_fused(void **state)
{
    (void)state;
    block *b = block_new(false);
    for (int mode = BE_INFER; mode <= BE_TRAIN; mode++) {
        const be_op *op = mode == BE_TRAIN ? &be_op_batch_norm : &be_op_batch_norm_infer;
        be_graph *lowered = lower(b->graph, &(be_plan_options){.mode = (be_mode)mode}, &fusing);
        check_order(lowered);
        assert_int_equal(count_op(lowered, op), 2);
        assert_int_equal(count_op(lowered, &be_op_relu), 0);
        int residuals = 0;
        for (size_t n = 0; n < lowered->node_count; n++)
            residuals += lowered->nodes[n].op == op && lowered->nodes[n].in[3] != BE_NONE;
        assert_int_equal(residuals, 1);
        /* h and its residual use add their gradients, the convolution its own to the other's. */
        assert_int_equal(count_op(lowered, &be_op_add), 0);
        be_graph_free(lowered);
    }
    block_free(b);
}

static void what_cannot_be_fused_is_not(void **state)
{
    (void)state;
    be_error err;
    block *b = block_new(true); /* the residual is made behind the batch norm that would read it */
    be_graph *lowered = lower(b->graph, &train, &fusing);
    check_order(lowered);
    assert_int_equal(count_op(lowered, &be_op_add), 1);
    be_graph_free(lowered);
    block_free(b);
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value each = be_input(g, "each", (be_shape){BE_F32, 1, {5}});
    be_value y = be_add(g, norm(g, x, "bn"), each); /* b's elements are used again */
    be_graph_minimize(g, be_mean(g, y), &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    ASSERT_OK(be_graph_check(g, &err));
    lowered = lower(g, &train, &fusing);
    assert_int_equal(count_op(lowered, &be_op_add), 1);
    be_graph_free(lowered);
    be_graph_free(g);
}

/* Fused and not, and against the reference, whose batch norm fuses nothing. */
static void fused_or_not_the_training_is_the_same(void **state)
{
    (void)state;
    be_error err;
    float losses[2][BLOCK_STEPS];
    double expected[BLOCK_STEPS];
    reference *r = NULL;
    block *b = block_new(false);
    be_device *device = cpu(2, NULL);
    for (int fused = 0; fused < 2; fused++) {
        be_plan_options options = {.mode = BE_TRAIN, .no_fusion = !fused};
        be_plan *plan = block_plan(b, device, &options);
        ASSERT_OK(be_plan_run(plan, BLOCK_STEPS, &err));
        ASSERT_OK(be_plan_losses(plan, BLOCK_STEPS, losses[fused], NULL, &err));
        be_plan_free(plan);
    }
    ASSERT_OK(reference_new(b->graph, &train, &r, &err));
    ASSERT_OK(reference_write(r, b->x, b->data, sizeof b->data, &err));
    ASSERT_OK(reference_write(r, b->target, b->classes, sizeof b->classes, &err));
    ASSERT_OK(reference_run(r, BLOCK_STEPS, &err));
    ASSERT_OK(reference_losses(r, BLOCK_STEPS, expected, NULL, &err));
    check_close(losses[0], expected, BLOCK_STEPS, 1e-5);
    check_close(losses[1], expected, BLOCK_STEPS, 1e-5);
    assert_true(expected[0] - expected[BLOCK_STEPS - 1] > 0.1);
    reference_free(r);
    be_device_close(device);
    block_free(b);
}

/* Convolutions hand their blocked tensors through batch norm and back. */
static void batch_norm_needs_no_reorder(void **state)
{
    (void)state;
    const char *libraries[] = {"native", "onednn", NULL};
    block *b = block_new(false);
    for (int i = 0; i < 3; i++) {
        be_device *device = cpu(1, libraries[i]);
        be_plan *plan = block_plan(b, device, &train);
        FILE *out = tmpfile();
        char line[200];
        int blocked = 0;
        be_plan_print(plan, out);
        rewind(out);
        while (fgets(line, sizeof line, out)) blocked += strstr(line, "(blocked by") != NULL;
        fclose(out);
        assert_true(blocked > 0);
        assert_int_equal(be_plan_describe(plan).reorders, 0);
        be_plan_free(plan);
        be_device_close(device);
    }
    block_free(b);
}

/* ---------------------------------------------------------------- refusals */

static be_graph *one_value(be_value *x)
{
    be_graph *g = be_graph_new(1);
    *x = be_input(g, "x", (be_shape){BE_F32, 4, {1, 4, 1, 1}});
    be_graph_minimize(g, be_mean(g, norm(g, *x, "bn")),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    return g;
}

static void one_value_of_a_channel_is_no_statistics(void **state)
{
    (void)state;
    be_error err;
    be_value x;
    be_plan *plan = NULL;
    reference *r = NULL;
    const float data[4] = {1, 2, 3, 4};
    be_graph *g = one_value(&x);
    be_device *device = cpu(1, NULL);
    ASSERT_OK(be_graph_check(g, &err));
    ASSERT_FAILS(be_plan_new(g, device, &train, &plan, &err), BE_USAGE,
                 "batch_norm: expected at least 2 values of each channel to train on",
                 "x f32 [1, 4, 1, 1]", "use a larger batch or larger pictures");
    ASSERT_FAILS(reference_new(g, &train, &r, &err), BE_USAGE, "at least 2 values");
    ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_INFER}, &plan, &err));
    ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
    ASSERT_OK(be_plan_run_checked(plan, 1, &err)); /* the buffers know */
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
}

static void bad_uses_are_refused(void **state)
{
    (void)state;
    be_error err;
    static const struct {
        be_shape x;
        be_batch_norm_options options;
        const char *found;
    } cases[] = {
        {{BE_F32, 1, {5}}, {.name = "bn"}, "expected f32 of 2 to 4 dimensions, found f32 [5]"},
        {{BE_I32, 2, {4, 5}}, {.name = "bn"}, "found i32 [4, 5]"},
        {{BE_F32, 2, {4, 5}}, {"bn", -1, 0}, "expected an epsilon above 0"},
        {{BE_F32, 2, {4, 5}}, {"bn", (double)NAN, 0}, "batch_norm \"bn\""},
        {{BE_F32, 2, {4, 5}}, {"bn", 0, 1.5}, "at most 1, found 0 and 1.5"},
        {{BE_F32, 2, {4, 5}}, {"bn", 0, -0.1}, "a momentum above 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        be_graph *g = be_graph_new(1);
        be_batch_norm(g, be_input(g, "x", cases[i].x), &cases[i].options);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "batch_norm", cases[i].found);
        be_graph_free(g);
    }
}

/* What becomes of the statistics of the batch is the batch norm's own affair. */
static void statistics_lead_no_gradient(void **state)
{
    (void)state;
    be_error err;
    be_value x;
    be_plan *plan = NULL;
    be_graph *g = graph_of_rows(&x);
    norm(g, be_linear(g, x, &(be_linear_options){.name = "fc", .features = 5}), "bn");
    be_value mean = g->nodes[g->node_count - 1].out[1];
    be_graph_minimize(g, be_mean(g, mean), &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    be_device *device = cpu(1, NULL);
    ASSERT_FAILS(be_plan_new(g, device, &train, &plan, &err), BE_USAGE,
                 "op batch_norm: no gradient flows back through its output 1");
    be_device_close(device);
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_steps_and_inference_are_those_of_torch),
        cmocka_unit_test(they_are_on_opencl_too),
        cmocka_unit_test(the_reference_is_that_of_torch),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_resumed_training_is_the_same_to_the_bit),
        cmocka_unit_test(relu_and_residual_are_fused),
        cmocka_unit_test(what_cannot_be_fused_is_not),
        cmocka_unit_test(fused_or_not_the_training_is_the_same),
        cmocka_unit_test(batch_norm_needs_no_reorder),
        cmocka_unit_test(one_value_of_a_channel_is_no_statistics),
        cmocka_unit_test(bad_uses_are_refused),
        cmocka_unit_test(statistics_lead_no_gradient),
    };
    support_quick_kernels();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
