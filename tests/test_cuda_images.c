/* Images with the channels last and in bf16 between the convolutions of a network, with fakes in
 * the place of CUDA's driver and libraries: nothing is reordered, who computes what, how far the
 * losses are from those of the reference in double, and the same bits twice. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cuda/fake_world.h"
#include "graph/plan.h"
#include "graph/reference.h"
#include "support.h"

enum { BATCH = 8, SIDE = 16, WIDTH = 16, CLASSES = 10, STEPS = 4 };
#define PIXELS (BATCH * 3 * SIDE * SIDE)
#define BETWEEN (BATCH * WIDTH * (SIDE / 4) * (SIDE / 4))

/* A stem, a pool, and a block with a shortcut of its own: all that a ResNet has. */
typedef struct network {
    be_graph *graph;
    be_value x, target, loss, between;
} network;

static be_value norm_of(be_graph *g, be_value x, const char *name, int channels, int kernel,
                        int stride)
{
    char norm[16];
    snprintf(norm, sizeof norm, "n%s", name);
    x = be_conv2d(g, x,
                  &(be_conv2d_options){.name = name,
                                       .channels = channels,
                                       .kernel = kernel,
                                       .stride = stride,
                                       .padding = kernel / 2,
                                       .no_bias = 1});
    return be_batch_norm(g, x, &(be_batch_norm_options){.name = norm});
}

static network network_new(void)
{
    network n = {.graph = be_graph_new(3)};
    be_graph *g = n.graph;
    be_error err = {0};
    n.x = be_input(g, "x", (be_shape){BE_F32, 4, {BATCH, 3, SIDE, SIDE}});
    n.target = be_input(g, "target", (be_shape){BE_I32, 1, {BATCH}});
    be_value x = be_relu(g, norm_of(g, n.x, "a", WIDTH, 7, 2));
    x = be_max_pool2d(g, x, &(be_pool2d_options){.size = 3, .stride = 2, .padding = 1});
    n.between = be_relu(g, norm_of(g, x, "b", WIDTH, 3, 1));
    be_value y = norm_of(g, n.between, "c", 2 * WIDTH, 3, 2);
    x = be_relu(g, be_add(g, norm_of(g, x, "d", 2 * WIDTH, 1, 2), y));
    y = be_relu(g, norm_of(g, x, "e", 2 * WIDTH, 1, 1));
    y = norm_of(g, y, "g", 2 * WIDTH, 3, 1);
    x = be_relu(g, be_add(g, y, x));
    x = be_global_average_pool(g, x);
    x = be_linear(g, x, &(be_linear_options){.name = "f", .features = CLASSES});
    n.loss = be_softmax_cross_entropy(g, x, n.target);
    be_graph_minimize(g, n.loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.01});
    ASSERT_OK(be_graph_check(g, &err));
    return n;
}

static void fill(float *pixels, int32_t *target)
{
    for (int i = 0; i < PIXELS; i++) pixels[i] = sinf((float)i * 0.37f) + 0.2f;
    for (int i = 0; i < BATCH; i++) target[i] = i;
}

/* A plan on the fake device that has run that many steps; *losses are theirs. */
static be_plan *train(const network *n, be_device *device, be_value keep, int steps, float *losses)
{
    be_error err = {0};
    be_plan *plan = NULL;
    float pixels[PIXELS];
    int32_t target[BATCH];
    be_plan_options options = {
        .mode = BE_TRAIN, .precision = BE_PRECISION_BF16, .keep = &keep, .keep_count = keep >= 0};
    fill(pixels, target);
    ASSERT_OK(be_plan_new(n->graph, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, n->x, pixels, sizeof pixels, &err));
    ASSERT_OK(be_plan_write(plan, n->target, target, sizeof target, &err));
    ASSERT_OK(be_plan_run(plan, steps, &err));
    ASSERT_OK(be_plan_losses(plan, steps, losses, NULL, &err));
    return plan;
}

/* What the reference makes of the same steps; *between is n.between in the last. */
static void train_reference(const network *n, int steps, float *losses, float *between)
{
    be_error err = {0};
    reference *r = NULL;
    double each[STEPS];
    float pixels[PIXELS];
    int32_t target[BATCH];
    be_plan_options options = {
        .mode = BE_TRAIN, .precision = BE_PRECISION_BF16, .keep = &n->between, .keep_count = 1};
    fill(pixels, target);
    ASSERT_OK(reference_new(n->graph, &options, &r, &err));
    ASSERT_OK(reference_write(r, n->x, pixels, sizeof pixels, &err));
    ASSERT_OK(reference_write(r, n->target, target, sizeof target, &err));
    ASSERT_OK(reference_run(r, steps, &err));
    ASSERT_OK(reference_losses(r, steps, each, NULL, &err));
    for (int s = 0; s < steps; s++) losses[s] = (float)each[s];
    ASSERT_OK(reference_read(r, n->between, between, BETWEEN * sizeof *between, &err));
    reference_free(r);
}

static be_device *open_device(const char *library)
{
    be_device *device = NULL;
    be_error err = {0};
    ASSERT_OK(be_device_open("cuda:0", &(be_device_options){.library = library}, &device, &err));
    return device;
}

/* bf16 keeps 8 bits of each of the 20 results of a step. */
static void check_losses(const float found[STEPS], const float expected[STEPS])
{
    for (int s = 0; s < STEPS; s++)
        if (!(fabsf(found[s] - expected[s]) <= 0.01f * expected[0]))
            fail_msg("step %d: expected a loss of %g, found %g", s, (double)expected[s],
                     (double)found[s]);
    assert_true(found[STEPS - 1] < 0.9f * found[0]);
}

/* How many nodes of this op are computed by what is called so. */
static int count_by(const be_plan *plan, const be_op *op, const char *name)
{
    int count = 0;
    for (size_t i = 0; i < plan->graph->node_count; i++) {
        if (plan->graph->nodes[i].op != op) continue;
        const char *found = plan->device->vtable->implementation(plan->program, (int)i);
        count += strncmp(found, name, strlen(name)) == 0;
    }
    return count;
}

static void count_images(const be_plan *plan, int *wide, int *plain)
{
    *wide = *plain = 0;
    for (size_t i = 0; i < plan->graph->value_count; i++) {
        const graph_value *v = &plan->graph->values[i];
        if (v->shape.rank != 4 || v->kind != VALUE_RESULT || v->producer < 0) continue;
        if (v->alias_of == plan->graph->lowered.gradients) continue; /* of windows */
        *wide += v->shape.dtype == BE_F32;
        *plain += v->layout != LAYOUT_CHANNELS_LAST;
    }
}

static void nothing_is_turned_or_widened(void **state)
{
    (void)state;
    network n = network_new();
    be_device *device = open_device(NULL);
    float losses[STEPS], expected[STEPS], between[BETWEEN];
    int wide, plain;
    be_plan *plan = train(&n, device, BE_NONE, STEPS, losses);
    train_reference(&n, STEPS, expected, between);
    check_losses(losses, expected);
    assert_int_equal(be_plan_describe(plan).reorders, 0);
    count_images(plan, &wide, &plain);
    assert_int_equal(wide, 0);
    assert_int_equal(plain, 0);
    assert_int_equal(count_by(plan, &be_op_conv2d, "cuDNN"), 6);
    assert_int_equal(count_by(plan, &be_op_conv2d_backward, "cuDNN"), 5);
    assert_int_equal(count_by(plan, &be_op_conv2d_backward, "cuBLASLt"), 1);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* What the user keeps stays f32 and is read plainly. */
static void a_value_between_can_be_read(void **state)
{
    (void)state;
    network n = network_new();
    be_device *device = open_device(NULL);
    be_error err = {0};
    float losses[STEPS], expected[STEPS], found[BETWEEN], right[BETWEEN];
    double all = 0.0, off = 0.0;
    be_plan *plan = train(&n, device, n.between, 1, losses);
    train_reference(&n, 1, expected, right);
    ASSERT_OK(be_plan_read(plan, n.between, found, sizeof found, &err));
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        all += (double)right[i] * (double)right[i];
        off += ((double)found[i] - (double)right[i]) * ((double)found[i] - (double)right[i]);
    }
    if (!(sqrt(off / all) <= 0.02)) fail_msg("off by %g of all", sqrt(off / all));
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* The library has none that may be taken: our own kernels, which the plan names. */
static void without_an_engine(void **state)
{
    (void)state;
    network n = network_new();
    float losses[STEPS], expected[STEPS], between[BETWEEN];
    train_reference(&n, STEPS, expected, between);
    setenv("FAKE_CUDNN_NONE", "1", 1);
    setenv("FAKE_CUDNN_FINALIZE", "3000", 1);
    be_device *device = open_device(NULL);
    be_plan *plan = train(&n, device, BE_NONE, STEPS, losses);
    check_losses(losses, expected);
    assert_int_equal(count_by(plan, &be_op_conv2d, "native gpu"), 6);
    assert_int_equal(count_by(plan, &be_op_conv2d_backward, "native gpu"), 5);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
    unsetenv("FAKE_CUDNN_NONE");
    unsetenv("FAKE_CUDNN_FINALIZE");
}

static void the_same_bits_twice(void **state)
{
    (void)state;
    network n = network_new();
    float *weights[2], losses[STEPS];
    size_t bytes = 0;
    for (int turn = 0; turn < 2; turn++) {
        be_error err = {0};
        be_device *device = open_device(NULL);
        be_plan *plan = train(&n, device, BE_NONE, STEPS, losses);
        be_value block = plan->graph->lowered.weights;
        bytes = value_bytes(&plan->graph->values[block]);
        weights[turn] = malloc(bytes);
        assert_non_null(weights[turn]);
        ASSERT_OK(be_plan_read(plan, block, weights[turn], bytes, &err));
        be_plan_free(plan);
        be_device_close(device);
    }
    assert_memory_equal(weights[0], weights[1], bytes);
    free(weights[0]);
    free(weights[1]);
    be_graph_free(n.graph);
}

/* Our own kernels alone, and fp32, keep to the plain layout. */
static void others_stay_plain(void **state)
{
    static const struct {
        const char *library;
        be_precision precision;
    } ways[] = {{"native", BE_PRECISION_BF16}, {"cudnn", BE_PRECISION_FP32}};
    (void)state;
    network n = network_new();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        be_error err = {0};
        be_plan *plan = NULL;
        be_device *device = open_device(ways[i].library);
        be_plan_options options = {.mode = BE_TRAIN, .precision = ways[i].precision, .dry_run = 1};
        ASSERT_OK(be_plan_new(n.graph, device, &options, &plan, &err));
        for (size_t v = 0; v < plan->graph->value_count; v++)
            assert_int_equal(plan->graph->values[v].layout, LAYOUT_PLAIN);
        be_plan_free(plan);
        be_device_close(device);
    }
    be_graph_free(n.graph);
}

static int clean(void **state)
{
    (void)state;
    cuda_math_forget();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_turned_or_widened, clean),
        cmocka_unit_test_setup(a_value_between_can_be_read, clean),
        cmocka_unit_test_setup(without_an_engine, clean),
        cmocka_unit_test_setup(the_same_bits_twice, clean),
        cmocka_unit_test_setup(others_stay_plain, clean),
    };
    return cmocka_run_group_tests(tests, fake_world_open, fake_world_close);
}
