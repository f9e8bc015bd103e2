/* Tests of the double interpreter: its gradients against finite differences of its own losses, its
 * agreement with plans on the CPU, its memory, its refusals; and of batches from a data set. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "graph/reference.h"
#include "ops/input/data_batch.h"

static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.05f, .momentum = 0.9};

/* A convolutional network with every kind of layer, over a generated data set. */
enum { IMAGES = 12, BATCH = 4, CHANNELS = 2, SIDE = 9, CLASSES = 3 };

typedef struct network {
    be_graph *graph;
    be_batch batch;
    be_value dropped, loss;
    uint8_t images[IMAGES * CHANNELS * SIDE * SIDE];
    int32_t labels[IMAGES], order[IMAGES];
} network;

static network network_new(void)
{
    be_error err;
    network n = {.graph = be_graph_new(5)};
    be_graph *g = n.graph;
    n.batch = be_data_batch(g, &(be_batch_options){.count = IMAGES,
                                                   .order_count = IMAGES,
                                                   .batch = BATCH,
                                                   .channels = CHANNELS,
                                                   .height = SIDE,
                                                   .width = SIDE,
                                                   .mean = {0.4f, 0.5f},
                                                   .std = {0.3f, 0.2f}});
    be_value x = be_conv2d(
        g, n.batch.x, &(be_conv2d_options){.name = "c1", .channels = 5, .kernel = 3, .padding = 1});
    x = be_max_pool2d(g, be_relu(g, x), &(be_pool2d_options){.size = 2});
    x = be_conv2d(g, x, &(be_conv2d_options){.name = "c2", .channels = 7, .kernel = 3});
    x = n.dropped = be_dropout(g, be_relu(g, x), 0.25f);
    x = be_relu(g, be_linear(g, be_flatten(g, x), &(be_linear_options){"l1", .features = 6}));
    n.loss = be_softmax_cross_entropy(
        g, be_linear(g, x, &(be_linear_options){"l2", .features = CLASSES}), n.batch.target);
    be_graph_minimize(g, n.loss, &sgd);
    ASSERT_OK(be_graph_check(g, &err));
    rng source = {.key = {.seed = 9, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof n.images; i++) n.images[i] = (uint8_t)rng_next(&source);
    for (int i = 0; i < IMAGES; i++) n.labels[i] = (int32_t)rng_next_below(&source, CLASSES);
    rng_permutation(source.key, n.order, IMAGES);
    return n;
}

static reference *network_reference(const network *n)
{
    be_error err;
    reference *r = NULL;
    ASSERT_OK(reference_new(n->graph, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(reference_write(r, n->batch.images, n->images, sizeof n->images, &err));
    ASSERT_OK(reference_write(r, n->batch.labels, n->labels, sizeof n->labels, &err));
    ASSERT_OK(reference_write(r, n->batch.order, n->order, sizeof n->order, &err));
    return r;
}

static double loss_at(reference *r, int64_t step)
{
    be_error err;
    double loss;
    ASSERT_OK(reference_set_steps(r, step, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    ASSERT_OK(reference_losses(r, 1, &loss, NULL, &err));
    return loss;
}

#define STEP 1e-6
#define SMOOTH 12 /* places per parameter */

/* The gradient at one place against the central difference; false where the loss has a kink. */
static bool check_place(reference *r, double *w, double gradient, const char *name)
{
    double kept = *w, middle = loss_at(r, 1);
    *w = kept + STEP;
    double above = loss_at(r, 1);
    *w = kept - STEP;
    double below = loss_at(r, 1);
    *w = kept;
    double right = (above - middle) / STEP, left = (middle - below) / STEP;
    if (!(fabs(right - left) <= 1e-5 * (fabs(right) + fabs(left)) + 1e-7)) return false;
    double found = (above - below) / (2.0 * STEP);
    if (!(fabs(found - gradient) <= 1e-5 * fabs(gradient) + 1e-8))
        fail_msg("%s: the difference is %.9g, the gradient %.9g", name, found, gradient);
    return true;
}

static void gradients_are_those_of_the_loss(void **state)
{
    (void)state;
    be_error err;
    network n = network_new();
    reference *r = network_reference(&n);
    rng source = {.key = {.seed = 3, .stream = RNG_TEST}};
    ASSERT_OK(reference_set_learning_rate(r, 0.0f, &err));
    loss_at(r, 1);
    assert_int_equal(reference_parameter_count(r), 8);
    for (int p = 0; p < reference_parameter_count(r); p++) {
        be_parameter parameter = reference_parameter(r, p);
        int64_t count = shape_elements(&parameter.shape);
        double *w = reference_data(r, parameter.value);
        const double *gradient = reference_data(r, parameter.gradient);
        int smooth = 0;
        double largest = 0.0;
        for (int tries = 0; tries < 60 && smooth < SMOOTH; tries++) {
            int64_t i = (int64_t)rng_next_below(&source, (uint32_t)count);
            double expected = gradient[i];
            largest = fmax(largest, fabs(expected));
            smooth += check_place(r, &w[i], expected, parameter.name);
        }
        assert_int_equal(smooth, SMOOTH);
        assert_true(largest > 1e-5);
    }
    reference_free(r);
    be_graph_free(n.graph);
}

static void assert_near_all(const float *found, const double *expected, int64_t count,
                            double tolerance, const char *what)
{
    double largest = 1e-6;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= tolerance * largest))
            fail_msg("%s, element %d: expected %.9g, found %.9g", what, (int)i, expected[i],
                     (double)found[i]);
}

#define TRAIN_STEPS 10

/* A value of at most this many floats, from the plan and from the reference. */
static void check_value(be_plan *plan, const reference *r, be_parameter info, be_value value)
{
    be_error err;
    int64_t count = shape_elements(&info.shape);
    size_t bytes = (size_t)count * sizeof(float);
    float *found = malloc(bytes);
    ASSERT_OK(be_plan_read(plan, value, found, bytes, &err));
    assert_near_all(found, reference_data(r, value), count, 1e-4, info.name);
    free(found);
}

static be_plan *network_plan(const network *n, be_device *device)
{
    be_error err;
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_TRAIN, .no_fusion = 1};
    ASSERT_OK(be_plan_new(n->graph, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, n->batch.images, n->images, sizeof n->images, &err));
    ASSERT_OK(be_plan_write(plan, n->batch.labels, n->labels, sizeof n->labels, &err));
    ASSERT_OK(be_plan_write(plan, n->batch.order, n->order, sizeof n->order, &err));
    return plan;
}

static void a_plan_does_the_same(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    float losses[TRAIN_STEPS];
    double expected[TRAIN_STEPS];
    int32_t correct[TRAIN_STEPS], expected_correct[TRAIN_STEPS];
    network n = network_new();
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    be_plan *plan = network_plan(&n, device);
    reference *r = network_reference(&n);
    for (int p = 0; p < reference_parameter_count(r); p++) { /* the same start, bit for bit */
        be_parameter parameter = reference_parameter(r, p);
        size_t count = (size_t)shape_elements(&parameter.shape);
        float *mine = malloc(count * sizeof *mine), *its = malloc(count * sizeof *its);
        ASSERT_OK(reference_read(r, parameter.value, mine, count * sizeof *mine, &err));
        ASSERT_OK(be_plan_read(plan, parameter.value, its, count * sizeof *its, &err));
        assert_memory_equal(mine, its, count * sizeof *mine);
        assert_string_equal(parameter.name, be_plan_parameter(plan, p).name);
        assert_true(count < 4 || mine[0] != mine[1]);
        free(mine);
        free(its);
    }
    ASSERT_OK(be_plan_run(plan, TRAIN_STEPS, &err));
    ASSERT_OK(reference_run(r, TRAIN_STEPS, &err));
    ASSERT_OK(be_plan_losses(plan, TRAIN_STEPS, losses, correct, &err));
    ASSERT_OK(reference_losses(r, TRAIN_STEPS, expected, expected_correct, &err));
    assert_near_all(losses, expected, TRAIN_STEPS, 1e-5, "losses");
    assert_memory_equal(correct, expected_correct, sizeof correct);
    for (int p = 0; p < reference_parameter_count(r); p++) {
        be_parameter parameter = reference_parameter(r, p);
        check_value(plan, r, parameter, parameter.value);
        check_value(plan, r, parameter, parameter.gradient);
    }
    assert_int_equal(reference_slot_count(r), 1);
    assert_string_equal(reference_slot(r, 0).name, "momentum");
    check_value(plan, r, reference_slot(r, 0), reference_slot(r, 0).value);
    be_plan_free(plan);
    be_device_close(device);
    reference_free(r);
    be_graph_free(n.graph);
}

static void inferring_leaves_everything_but_the_logs(void **state)
{
    (void)state;
    be_error err;
    network n = network_new();
    reference *r = NULL;
    float dropped[BATCH * 7 * 2 * 2];
    ASSERT_OK(reference_new(n.graph, &(be_plan_options){.mode = BE_INFER}, &r, &err));
    ASSERT_FAILS(reference_run(r, 1, &err), BE_USAGE, "input \"order\" was never written");
    ASSERT_OK(reference_write(r, n.batch.images, n.images, sizeof n.images, &err));
    ASSERT_OK(reference_write(r, n.batch.labels, n.labels, sizeof n.labels, &err));
    ASSERT_OK(reference_write(r, n.batch.order, n.order, sizeof n.order, &err));
    double first = loss_at(r, 0), again = loss_at(r, 0);
    assert_true(first == again && first > 0.0);
    assert_int_equal(reference_slot_count(r), 0);
    assert_int_equal(reference_parameter(r, 0).gradient, BE_NONE);
    assert_null(reference_data(r, n.dropped));
    ASSERT_FAILS(reference_read(r, n.dropped, dropped, sizeof dropped, &err), BE_USAGE,
                 "does not exist in this mode");
    ASSERT_FAILS(reference_set_learning_rate(r, 0.1f, &err), BE_USAGE, "does not train");
    reference_free(r);
    be_graph_free(n.graph);
}

static void mistakes_have_clear_texts(void **state)
{
    (void)state;
    be_error err;
    network n = network_new();
    reference *r = network_reference(&n), *none = NULL;
    double losses[2];
    ASSERT_FAILS(reference_write(r, n.batch.labels, n.labels, 4, &err), BE_USAGE,
                 "\"labels\" is i32 [12]: expected 48 bytes, found 4");
    ASSERT_FAILS(reference_read(r, 4000, n.labels, 4, &err), BE_USAGE, "value 4000 is not in");
    ASSERT_FAILS(reference_run(r, -1, &err), BE_USAGE, "expected 0 or more steps, found -1");
    ASSERT_FAILS(reference_set_steps(r, -1, &err), BE_USAGE, "expected 0 to 2^31 - 1 steps");
    ASSERT_OK(reference_run(r, 1, &err));
    ASSERT_FAILS(reference_losses(r, 2, losses, NULL, &err), BE_USAGE,
                 "of the 1 steps done, asked for 2");
    ASSERT_FAILS(reference_new(n.graph, &(be_plan_options){.dry_run = 1}, &none, &err), BE_USAGE,
                 "no dry run");
    assert_null(none);
    reference_free(r);
    be_graph_free(n.graph);
}

static be_status make_reference(void *context, be_error *err)
{
    reference *r = NULL;
    TRY(reference_new(context, &(be_plan_options){.mode = BE_TRAIN}, &r, err));
    reference_free(r);
    return BE_OK;
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    network n = network_new();
    assert_true(support_fail_each_allocation(make_reference, n.graph, 200) > 5);
    be_graph_free(n.graph);
}

/* Batches.  Pixel k of image i is (i · 10 + k) mod 256, its label i. */
enum { SET = 7, PIXELS = 6 };

typedef struct batch_case {
    int batch, clip, steps;
    int32_t order[5];
    int32_t expected[12]; /* images, in the order in which they come; −1: none */
} batch_case;

static const batch_case batch_cases[] = {
    {.batch = 2, .steps = 3, .order = {6, 0, 3, 1, 5}, .expected = {6, 0, 3, 1, 6, 0}},
    {.batch = 2,
     .clip = 1,
     .steps = 4,
     .order = {6, 0, 3, 1, 5},
     .expected = {6, 0, 3, 1, 5, -1, -1, -1}},
    {.batch = 5, .steps = 2, .order = {4, 4, 2, 0, 1}, .expected = {4, 4, 2, 0, 1, 4, 4, 2, 0, 1}},
    {.batch = 12,
     .clip = 1,
     .steps = 1,
     .order = {4, 3, 2, 0, 1},
     .expected = {4, 3, 2, 0, 1, -1, -1, -1, -1, -1, -1, -1}},
    /* Entries that are no images read nothing, and cannot go unnoticed. */
    {.batch = 5,
     .steps = 1,
     .order = {4, 7, -1, INT32_MIN, INT32_MAX},
     .expected = {4, DATA_BATCH_BAD_TARGET, DATA_BATCH_BAD_TARGET, DATA_BATCH_BAD_TARGET,
                  DATA_BATCH_BAD_TARGET}},
};

typedef struct batch_run {
    const batch_case *c;
    be_graph *graph;
    be_batch batch;
    float x[12 * PIXELS];
    int32_t target[12];
} batch_run;

static batch_run batch_run_new(const batch_case *c)
{
    be_error err;
    batch_run run = {.c = c, .graph = be_graph_new(1)};
    be_batch_options options = {.count = SET,
                                .order_count = 5,
                                .batch = c->batch,
                                .channels = 2,
                                .height = 1,
                                .width = 3,
                                .mean = {0.25f, 0.5f},
                                .std = {0.5f, 0.125f},
                                .clip = c->clip};
    run.batch = be_data_batch(run.graph, &options);
    ASSERT_OK(be_graph_check(run.graph, &err));
    return run;
}

static void check_place_of_batch(const float *x, int32_t target, int32_t image)
{
    bool exists = image >= 0 && image < SET;
    assert_int_equal(target, image);
    for (int k = 0; k < PIXELS; k++) {
        double mean = k < 3 ? 0.25 : 0.5, std = k < 3 ? 0.5 : 0.125;
        double pixel = exists ? (double)((image * 10 + k) % 256) : 0.0;
        double expected = exists ? (pixel / 255.0 - mean) / std : 0.0;
        assert_true(fabs((double)x[k] - expected) <= 1e-6 * fmax(1.0, fabs(expected)));
    }
}

/* What the device or (if NULL) the reference gives for one step. */
static void run_batch(batch_run *run, be_device *device, int step)
{
    be_error err;
    be_plan *plan = NULL;
    reference *r = NULL;
    const be_batch *b = &run->batch;
    const int32_t *order = run->c->order;
    uint8_t images[SET * PIXELS];
    int32_t labels[SET];
    size_t places = (size_t)run->c->batch, order_bytes = sizeof run->c->order;
    size_t x_bytes = places * PIXELS * sizeof *run->x, target_bytes = places * sizeof *run->target;
    be_plan_options options = {.keep = (be_value[]){b->x, b->target}, .keep_count = 2};
    for (int i = 0; i < SET * PIXELS; i++) images[i] = (uint8_t)(i / PIXELS * 10 + i % PIXELS);
    for (int i = 0; i < SET; i++) labels[i] = i;
    if (device) {
        ASSERT_OK(be_plan_new(run->graph, device, &options, &plan, &err));
        ASSERT_OK(be_plan_write(plan, b->images, images, sizeof images, &err));
        ASSERT_OK(be_plan_write(plan, b->labels, labels, sizeof labels, &err));
        ASSERT_OK(be_plan_write(plan, b->order, order, order_bytes, &err));
        ASSERT_OK(be_plan_set_steps(plan, step, &err));
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(be_plan_read(plan, b->x, run->x, x_bytes, &err));
        ASSERT_OK(be_plan_read(plan, b->target, run->target, target_bytes, &err));
        be_plan_free(plan);
        return;
    }
    ASSERT_OK(reference_new(run->graph, &options, &r, &err));
    ASSERT_OK(reference_write(r, b->images, images, sizeof images, &err));
    ASSERT_OK(reference_write(r, b->labels, labels, sizeof labels, &err));
    ASSERT_OK(reference_write(r, b->order, order, order_bytes, &err));
    ASSERT_OK(reference_set_steps(r, step, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    ASSERT_OK(reference_read(r, b->x, run->x, x_bytes, &err));
    ASSERT_OK(reference_read(r, b->target, run->target, target_bytes, &err));
    reference_free(r);
}

static void check_batch(batch_run *run, be_device *device)
{
    int batch = run->c->batch;
    for (int step = 0; step < run->c->steps; step++) {
        run_batch(run, device, step);
        for (int place = 0; place < batch; place++)
            check_place_of_batch(run->x + place * PIXELS, run->target[place],
                                 run->c->expected[step * batch + place]);
    }
}

static void batches_follow_the_order(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    for (size_t k = 0; k < sizeof batch_cases / sizeof batch_cases[0]; k++) {
        batch_run run = batch_run_new(&batch_cases[k]);
        check_batch(&run, device);
        check_batch(&run, NULL);
        be_graph_free(run.graph);
    }
    be_device_close(device);
}

static void batches_refuse_senseless_options(void **state)
{
    (void)state;
    be_error err;
    const be_batch_options good = {.count = 9,
                                   .order_count = 9,
                                   .batch = 3,
                                   .channels = 1,
                                   .height = 2,
                                   .width = 2,
                                   .std = {1.0f}};
#define REFUSED(field, value, text)                            \
    do {                                                       \
        be_batch_options o = good;                             \
        o.field = value;                                       \
        be_graph *g = be_graph_new(1);                         \
        be_data_batch(g, &o);                                  \
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, text); \
        be_graph_free(g);                                      \
    } while (0)
    REFUSED(batch, 10, "at most the 9 samples of the order, found 10; use a smaller batch");
    REFUSED(batch, 0, "expected a batch of at least 1, found 0");
    REFUSED(channels, 5, "expected 1 to 4 channels, found 5");
    REFUSED(channels, 0, "expected 1 to 4 channels, found 0");
    REFUSED(std[0], 0.0f, "a finite std above 0 for channel 0, found 0 and 0");
    REFUSED(std[0], NAN, "a finite std above 0 for channel 0");
    REFUSED(mean[0], INFINITY, "expected a finite mean");
    REFUSED(count, 0, "expected dimensions of at least 1");
#undef REFUSED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(a_plan_does_the_same),
        cmocka_unit_test(inferring_leaves_everything_but_the_logs),
        cmocka_unit_test(mistakes_have_clear_texts),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(batches_follow_the_order),
        cmocka_unit_test(batches_refuse_senseless_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
