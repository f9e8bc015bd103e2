/* Rows apart: a classifier whose rows of classes do not lie at 16 bytes trains in tf32 and bf16
 * with fakes in the place of CUDA's driver and libraries; its logits and their gradient lie with
 * their rows apart and are never copied, the losses are those of the reference in double, and what
 * is kept is read plainly. */
#include <math.h>
#include <stdlib.h>

#include "core/rng.h"
#include "fake_cuda/fake_world.h"
#include "graph/plan.h"
#include "graph/precision.h"
#include "graph/reference.h"
#include "support.h"

enum { ROWS = 96, DEPTH = 12, WIDTH = 8, CLASSES = 2731, STEPS = 3 };
#define LOGITS (ROWS * CLASSES)

typedef struct network {
    be_graph *graph;
    be_value x, target, logits;
    float inputs[ROWS * DEPTH];
    int32_t targets[ROWS];
} network;

static void network_open(network *n)
{
    be_error err = {0};
    be_graph *g = n->graph = be_graph_new(3);
    rng r = {.key = {.seed = 7, .stream = RNG_TEST}};
    n->x = be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, DEPTH}});
    n->target = be_input(g, "target", (be_shape){BE_I32, 1, {ROWS}});
    be_value hidden =
        be_relu(g, be_linear(g, n->x, &(be_linear_options){.name = "a", .features = WIDTH}));
    n->logits =
        be_linear(g, hidden, &(be_linear_options){.name = "b", .features = CLASSES, .no_bias = 1});
    be_value loss = be_softmax_cross_entropy(g, n->logits, n->target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 16.0});
    ASSERT_OK(be_graph_check(g, &err));
    for (int i = 0; i < ROWS * DEPTH; i++) n->inputs[i] = 2.0f * rng_next_uniform(&r) - 1.0f;
    for (int i = 0; i < ROWS; i++) n->targets[i] = (int32_t)rng_next_below(&r, CLASSES);
    n->targets[5] = -1;
    n->targets[6] = CLASSES - 1;
}

static void train_reference(const network *n, double losses[STEPS])
{
    reference *r = NULL;
    be_error err = {0};
    ASSERT_OK(reference_new(n->graph, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(reference_write(r, n->x, n->inputs, sizeof n->inputs, &err));
    ASSERT_OK(reference_write(r, n->target, n->targets, sizeof n->targets, &err));
    ASSERT_OK(reference_run(r, STEPS, &err));
    ASSERT_OK(reference_losses(r, STEPS, losses, NULL, &err));
    reference_free(r);
}

static be_plan *plan_of(const network *n, be_device *device, const be_plan_options *options)
{
    be_error err = {0};
    be_plan *plan = NULL;
    ASSERT_OK(be_plan_new(n->graph, device, options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, n->x, n->inputs, sizeof n->inputs, &err));
    ASSERT_OK(be_plan_write(plan, n->target, n->targets, sizeof n->targets, &err));
    return plan;
}

/* How many values lie so; and nothing is copied to make it so. */
static int count_apart(const be_plan *plan)
{
    int count = 0;
    assert_int_equal(be_plan_describe(plan).reorders, 0);
    for (size_t i = 0; i < plan->graph->value_count; i++)
        count += plan->graph->values[i].layout == LAYOUT_ROWS_APART;
    return count;
}

static void a_classifier_trains(void **state)
{
    (void)state;
    network n;
    be_device *device = NULL;
    be_error err = {0};
    double expected[STEPS];
    network_open(&n);
    train_reference(&n, expected);
    if (!(expected[STEPS - 1] < 0.95 * expected[0]))
        fail_msg("expected the loss to fall, found %g and %g", expected[0], expected[STEPS - 1]);
    ASSERT_OK(be_device_open("cuda:0", NULL, &device, &err));
    for (int p = BE_PRECISION_FP32; p < BE_PRECISION_COUNT; p++) {
        float losses[STEPS];
        double band = p == BE_PRECISION_FP32 ? 1e-5 : p == BE_PRECISION_TF32 ? 1e-3 : 1e-2;
        be_plan_options options = {.mode = BE_TRAIN, .precision = (be_precision)p};
        be_plan *plan = plan_of(&n, device, &options);
        assert_int_equal(count_apart(plan), p == BE_PRECISION_FP32 ? 0 : 2);
        ASSERT_OK(be_plan_run(plan, STEPS, &err));
        ASSERT_OK(be_plan_losses(plan, STEPS, losses, NULL, &err));
        for (int s = 0; s < STEPS; s++)
            if (!(fabs((double)losses[s] - expected[s]) <= band * expected[0]))
                fail_msg("%s, step %d: expected a loss of %g, found %g",
                         precision_name((be_precision)p), s, expected[s], (double)losses[s]);
        be_plan_free(plan);
    }
    be_device_close(device);
    be_graph_free(n.graph);
}

static void kept_logits_are_read_plainly(void **state)
{
    (void)state;
    network n;
    be_device *device = NULL;
    be_error err = {0};
    float *logits[2];
    double all = 0.0, off = 0.0;
    network_open(&n);
    ASSERT_OK(be_device_open("cuda:0", NULL, &device, &err));
    for (int narrow = 0; narrow < 2; narrow++) {
        be_plan_options options = {.mode = BE_INFER,
                                   .precision = narrow ? BE_PRECISION_BF16 : BE_PRECISION_FP32,
                                   .keep = &n.logits,
                                   .keep_count = 1};
        be_plan *plan = plan_of(&n, device, &options);
        assert_int_equal(count_apart(plan), narrow);
        ASSERT_OK(be_plan_run(plan, 1, &err));
        logits[narrow] = malloc(LOGITS * sizeof **logits);
        assert_non_null(logits[narrow]);
        ASSERT_OK(be_plan_read(plan, n.logits, logits[narrow], LOGITS * sizeof **logits, &err));
        be_plan_free(plan);
    }
    for (size_t i = 0; i < LOGITS; i++) {
        double right = (double)logits[0][i], found = (double)logits[1][i];
        all += right * right;
        off += (found - right) * (found - right);
    }
    if (!(sqrt(off / all) <= 0.01)) fail_msg("off by %g of all", sqrt(off / all));
    free(logits[0]);
    free(logits[1]);
    be_device_close(device);
    be_graph_free(n.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_classifier_trains),
        cmocka_unit_test(kept_logits_are_read_plainly),
    };
    return cmocka_run_group_tests(tests, fake_world_open, fake_world_close);
}
