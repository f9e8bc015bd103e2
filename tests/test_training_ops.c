/* Tests of the ops around a network, as a user meets them: loss, end of the step, optimizers,
 * dropout, batches from a data set.  Each is run on the CPU with every instruction set that this
 * machine has, and on the double reference, against formulas written here once more. */
#include "isa_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "graph/reference.h"
#include "ops/op_list.h"
#include "optimizer_rule.h"

/* The smallest network with everything around it: one parameter [rows, classes], through dropout if
 * p is above 0, is the logits. */
typedef struct toy {
    be_graph *graph;
    be_value x, y, target, loss;
    int64_t rows, classes;
} toy;

static toy toy_new(int64_t rows, int64_t classes, float p, const be_optimizer *optimizer)
{
    be_error err;
    toy t = {.graph = be_graph_new(11), .rows = rows, .classes = classes};
    t.x = graph_parameter(t.graph, "toy", "x", shape_make(BE_F32, 2, rows, classes, 0, 0),
                          (be_start){BE_UNIFORM, 1.0f});
    t.target = be_input(t.graph, "target", shape_make(BE_I32, 1, rows, 0, 0, 0));
    t.y = p > 0.0f ? be_dropout(t.graph, t.x, p) : t.x;
    t.loss = be_softmax_cross_entropy(t.graph, t.y, t.target);
    be_graph_minimize(t.graph, t.loss, optimizer);
    ASSERT_OK(be_graph_check(t.graph, &err));
    return t;
}

static const be_optimizer plain_sgd = {.kind = BE_SGD, .learning_rate = 0.5f};

static be_plan *plan_new(const toy *t, be_device *device)
{
    be_error err;
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_TRAIN, .keep = &t->y, .keep_count = t->y != t->x};
    ASSERT_OK(be_plan_new(t->graph, device, &options, &plan, &err));
    return plan;
}

static reference *toy_reference(const toy *t)
{
    be_error err;
    reference *r = NULL;
    ASSERT_OK(reference_new(t->graph, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    return r;
}

static void assert_near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: expected %.9g, found %.9g", what, expected, found);
}

/* Loss */

/* Two rows that count, one that does not; row 1 has a tie, of which the first class wins. */
static const float loss_logits[] = {1.0f, 2.0f, -1.0f, 3.0f, 3.0f, 0.0f, 9.0f, 9.0f, 9.0f};

static double loss_expected(void)
{
    double row0 = log(exp(1.0) + exp(2.0) + exp(-1.0)) - 2.0;
    double row1 = log(2.0 * exp(3.0) + 1.0) - 3.0;
    return (row0 + row1) / 2.0;
}

/* Plan and reference side by side, with the same logits and targets, one step done. */
typedef struct loss_run {
    float loss;
    int32_t correct;
    float gradient[9];
    double reference_loss;
    int32_t reference_correct;
    double reference_gradient[9];
} loss_run;

static loss_run run_loss(be_device *device, const int32_t target[3])
{
    be_error err;
    loss_run run;
    toy t = toy_new(3, 3, 0.0f, &plain_sgd);
    be_plan *plan = plan_new(&t, device);
    reference *r = toy_reference(&t);
    ASSERT_OK(be_plan_write(plan, t.x, loss_logits, sizeof loss_logits, &err));
    ASSERT_OK(be_plan_write(plan, t.target, target, 3 * sizeof *target, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_losses(plan, 1, &run.loss, &run.correct, &err));
    be_value gradient = be_plan_parameter(plan, 0).gradient;
    ASSERT_OK(be_plan_read(plan, gradient, run.gradient, sizeof run.gradient, &err));
    ASSERT_OK(reference_write(r, t.x, loss_logits, sizeof loss_logits, &err));
    ASSERT_OK(reference_write(r, t.target, target, 3 * sizeof *target, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    ASSERT_OK(reference_losses(r, 1, &run.reference_loss, &run.reference_correct, &err));
    memcpy(run.reference_gradient, reference_data(r, reference_parameter(r, 0).gradient),
           sizeof run.reference_gradient);
    be_plan_free(plan);
    reference_free(r);
    be_graph_free(t.graph);
    return run;
}

static void check_losses(be_device *device)
{
    loss_run run = run_loss(device, (const int32_t[]){1, 0, -1});
    assert_near((double)run.loss, loss_expected(), 1e-6, "loss");
    assert_near(run.reference_loss, loss_expected(), 1e-14, "loss of the reference");
    assert_int_equal(run.correct, 2);
    assert_int_equal(run.reference_correct, 2);
    double sum = exp(1.0) + exp(2.0) + exp(-1.0);
    for (int c = 0; c < 3; c++) {
        double expected = (exp((double)loss_logits[c]) / sum - (c == 1 ? 1.0 : 0.0)) / 2.0;
        assert_near((double)run.gradient[c], expected, 1e-7, "gradient");
        assert_near(run.reference_gradient[c], expected, 1e-15, "gradient of the reference");
        assert_true(run.gradient[6 + c] == 0.0f && run.reference_gradient[6 + c] == 0.0);
    }
    run = run_loss(device, (const int32_t[]){0, 1, -7});
    assert_int_equal(run.correct, 0); /* the tie's second class is wrong */
    assert_int_equal(run.reference_correct, 0);
    run = run_loss(device, (const int32_t[]){-1, -1, -1});
    assert_true(run.loss == 0.0f && run.reference_loss == 0.0);
    assert_true(run.gradient[0] == 0.0f && run.reference_gradient[0] == 0.0);
    run = run_loss(device, (const int32_t[]){1, 3, 0});
    assert_true(isnan(run.loss) && isnan(run.reference_loss));
    assert_true(isnan(run.gradient[3]) && isnan(run.reference_gradient[3]));
    assert_false(isnan(run.gradient[0]) || isnan(run.reference_gradient[0]));
    assert_int_equal(run.correct, run.reference_correct);
    run = run_loss(device, (const int32_t[]){1, INT32_MAX, 0});
    assert_true(isnan(run.loss) && isnan(run.reference_loss));
}

static void each_device(void (*check)(be_device *device))
{
    for (int i = 0; i < ISA_COUNT; i++) {
        be_device *device = isa_open(isas[i], 2);
        if (device) check(device);
        be_device_close(device);
    }
}

static void loss_ignores_rows_and_notices_bad_targets(void **state)
{
    (void)state;
    each_device(check_losses);
}

static void loss_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    be_error err;
    toy t = toy_new(211, 200, 0.0f, &plain_sgd);
    int32_t target[211];
    float losses[3][4];
    for (int i = 0; i < 211; i++) target[i] = i % 200;
    for (int threads = 1; threads <= 3; threads++) {
        be_device *device = isa_open("generic", threads);
        be_plan *plan = plan_new(&t, device);
        ASSERT_OK(be_plan_write(plan, t.target, target, sizeof target, &err));
        ASSERT_OK(be_plan_run(plan, 4, &err));
        ASSERT_OK(be_plan_losses(plan, 4, losses[threads - 1], NULL, &err));
        be_plan_free(plan);
        be_device_close(device);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_memory_equal(losses[0], losses[2], sizeof losses[0]);
    assert_true(losses[0][3] < losses[0][0]);
    be_graph_free(t.graph);
}

static void losses_want_a_target_for_each_row(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value logits = be_input(g, "x", shape_make(BE_F32, 2, 4, 3, 0, 0));
    be_value target = be_input(g, "t", shape_make(BE_I32, 1, 5, 0, 0, 0));
    be_softmax_cross_entropy(g, logits, target);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "target: expected i32 [4], found i32 [5]");
    be_graph_free(g);
}

/* The end of the step */

static void check_log_is_a_ring(be_device *device)
{
    be_error err;
    float losses[5];
    double reference_losses_[5];
    int64_t steps;
    int32_t target[3] = {0, 1, 2}, correct[5], reference_correct[5];
    toy t = toy_new(3, 3, 0.0f, &plain_sgd);
    be_plan *plan = plan_new(&t, device);
    reference *r = toy_reference(&t);
    ASSERT_OK(be_plan_write(plan, t.target, target, sizeof target, &err));
    ASSERT_OK(reference_write(r, t.target, target, sizeof target, &err));
    ASSERT_OK(be_plan_set_steps(plan, BE_LOSS_LOG - 2, &err));
    ASSERT_OK(reference_set_steps(r, BE_LOSS_LOG - 2, &err));
    ASSERT_OK(be_plan_run(plan, 5, &err));
    ASSERT_OK(reference_run(r, 5, &err));
    ASSERT_OK(be_plan_steps(plan, &steps, &err));
    assert_int_equal(steps, BE_LOSS_LOG + 3);
    ASSERT_OK(reference_steps(r, &steps, &err));
    assert_int_equal(steps, BE_LOSS_LOG + 3);
    ASSERT_OK(be_plan_losses(plan, 5, losses, correct, &err));
    ASSERT_OK(reference_losses(r, 5, reference_losses_, reference_correct, &err));
    for (int i = 0; i < 5; i++) {
        assert_near((double)losses[i], reference_losses_[i], 1e-6, "loss");
        assert_int_equal(correct[i], reference_correct[i]);
        if (i) assert_true(losses[i] < losses[i - 1]);
    }
    ASSERT_OK(be_plan_set_steps(plan, INT32_MAX, &err)); /* the clock wraps, in the log's bounds */
    ASSERT_OK(be_plan_run(plan, 2, &err));
    be_plan_free(plan);
    reference_free(r);
    be_graph_free(t.graph);
}

static void loss_log_is_a_ring(void **state)
{
    (void)state;
    each_device(check_log_is_a_ring);
}

/* Dropout */

#define DROPOUT_P 0.3f

static void check_mask(const float *y, int64_t count, uint32_t salt, int64_t step)
{
    rng_key key = {.seed = 11, .stream = RNG_DROPOUT, .sub = salt};
    float scale = 1.0f / (1.0f - DROPOUT_P);
    for (int64_t i = 0; i < count; i++) {
        uint64_t index = ((uint64_t)step << 34) + (uint64_t)i;
        float expected = rng_uniform(key, index) >= DROPOUT_P ? scale : 0.0f;
        if (memcmp(&y[i], &expected, sizeof expected) != 0)
            fail_msg("element %d of step %d: expected %.9g, found %.9g", (int)i, (int)step,
                     (double)expected, (double)y[i]);
    }
}

static void check_dropout(be_device *device, int64_t rows, int64_t classes)
{
    be_error err;
    int64_t count = rows * classes;
    size_t bytes = (size_t)count * sizeof(float);
    toy t = toy_new(rows, classes, DROPOUT_P, &plain_sgd);
    be_plan *plan = plan_new(&t, device);
    float *x = malloc(bytes), *y = malloc(bytes);
    int32_t *target = calloc((size_t)rows, sizeof *target);
    for (int64_t i = 0; i < count; i++) x[i] = 1.0f;
    ASSERT_OK(be_plan_write(plan, t.target, target, (size_t)rows * sizeof *target, &err));
    for (int64_t step = 7; step < 9; step++) {
        ASSERT_OK(be_plan_set_steps(plan, step, &err));
        ASSERT_OK(be_plan_write(plan, t.x, x, bytes, &err));
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(be_plan_read(plan, t.y, y, bytes, &err));
        check_mask(y, count, 0, step);
    }
    /* The gradient goes through the same mask. */
    float *gradient = malloc(bytes);
    ASSERT_OK(be_plan_read(plan, be_plan_parameter(plan, 0).gradient, gradient, bytes, &err));
    for (int64_t i = 0; i < count; i++) assert_true((gradient[i] != 0.0f) == (y[i] != 0.0f));
    free(x);
    free(y);
    free(gradient);
    free(target);
    be_plan_free(plan);
    be_graph_free(t.graph);
}

static void check_dropout_shapes(be_device *device)
{
    check_dropout(device, 37, 301);
    check_dropout(device, 67, 401); /* several threads */
    check_dropout(device, 3, 2);
}

static void dropout_draws_the_bits_of_the_generator(void **state)
{
    (void)state;
    each_device(check_dropout_shapes);
    be_error err;
    toy t = toy_new(37, 301, DROPOUT_P, &plain_sgd);
    reference *r = toy_reference(&t);
    int32_t target[37] = {0};
    float y[37 * 301];
    ASSERT_OK(reference_write(r, t.target, target, sizeof target, &err));
    ASSERT_OK(reference_set_steps(r, 5, &err));
    for (int i = 0; i < 37 * 301; i++) reference_data(r, t.x)[i] = 1.0;
    ASSERT_OK(reference_run(r, 1, &err));
    for (int i = 0; i < 37 * 301; i++) /* the scale in double may round otherwise than in float */
        y[i] = reference_data(r, t.y)[i] != 0.0 ? 1.0f / (1.0f - DROPOUT_P) : 0.0f;
    check_mask(y, 37 * 301, 0, 5);
    reference_free(r);
    be_graph_free(t.graph);
}

static void dropout_layers_draw_apart_and_vanish_when_inferring(void **state)
{
    (void)state;
    be_error err;
    be_plan *plan = NULL;
    float x[64], y[64];
    be_graph *g = be_graph_new(11);
    be_value in = be_input(g, "x", shape_make(BE_F32, 1, 64, 0, 0, 0));
    be_value first = be_dropout(g, in, 0.5f), second = be_dropout(g, first, 0.5f);
    be_value out = be_relu(g, second);
    ASSERT_OK(be_graph_check(g, &err));
    const uint32_t *salt[2];
    for (int n = 0; n < 2; n++) salt[n] = g->nodes[n].attrs;
    assert_int_equal(g->salt, 2);
    assert_memory_not_equal(salt[0], salt[1], be_op_dropout.attrs_bytes);
    for (int i = 0; i < 64; i++) x[i] = (float)i;
    be_device *device = isa_open("generic", 1);
    be_plan_options options = {.mode = BE_INFER, .keep = &out, .keep_count = 1};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, in, x, sizeof x, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, out, y, sizeof y, &err));
    assert_memory_equal(x, y, sizeof x);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
}

static void dropout_refuses_a_senseless_probability(void **state)
{
    (void)state;
    be_error err;
    const float bad[] = {1.0f, -0.1f, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        be_graph *g = be_graph_new(1);
        be_dropout(g, be_input(g, "x", shape_make(BE_F32, 1, 4, 0, 0, 0)), bad[i]);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "at least 0 and below 1, found");
        be_graph_free(g);
    }
}

/* Optimizers */

static const optimizer_rule rules[] = {
    {.options = {.kind = BE_SGD, .learning_rate = 0.3f}},
    {.options = {.kind = BE_SGD, .learning_rate = 0.3f, .weight_decay = 0.01}},
    {.options = {.kind = BE_SGD, .learning_rate = 0.3f, .momentum = 0.9, .weight_decay = 5e-4},
     .slots = {"momentum"}},
    {.options = {.kind = BE_ADAM, .learning_rate = 0.01f},
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8,
     .slots = {"adam.m", "adam.v"}},
    {.options = {.kind = BE_ADAM,
                 .learning_rate = 0.01f,
                 .beta1 = 0.8,
                 .beta2 = 0.95,
                 .epsilon = 1e-3,
                 .weight_decay = 0.1},
     .beta1 = 0.8,
     .beta2 = 0.95,
     .epsilon = 1e-3,
     .slots = {"adam.m", "adam.v"}},
    {.options = {.kind = BE_ADAMW, .learning_rate = 0.01f, .weight_decay = 0.1},
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8,
     .slots = {"adam.m", "adam.v"}},
};

#define OPTIMIZER_ROWS 211
#define OPTIMIZER_CLASSES 200 /* enough for several threads */
#define OPTIMIZER_COUNT (OPTIMIZER_ROWS * OPTIMIZER_CLASSES)
#define OPTIMIZER_STEPS 4

/* The states by the formulas, fed with the gradients that the device found. */
typedef struct follower {
    double p[OPTIMIZER_COUNT], first[OPTIMIZER_COUNT], second[OPTIMIZER_COUNT];
} follower;

static void follow(const optimizer_rule *rule, follower *f, int step, const float *gradient,
                   const float *p)
{
    for (int i = 0; i < OPTIMIZER_COUNT; i++) {
        optimizer_rule_apply(rule, step, (double)gradient[i], &f->p[i], &f->first[i],
                             &f->second[i]);
        assert_near((double)p[i], f->p[i], 2e-6, "a parameter");
    }
}

static void check_slots(be_plan *plan, const optimizer_rule *rule, const follower *f, float *buffer)
{
    be_error err;
    const double *expected[2] = {f->first, f->second};
    int slots = rule->slots[1] ? 2 : rule->slots[0] ? 1 : 0;
    assert_int_equal(be_plan_slot_count(plan), slots);
    for (int s = 0; s < slots; s++) {
        be_parameter slot = be_plan_slot(plan, s);
        size_t bytes = (size_t)shape_elements(&slot.shape) * sizeof(float);
        assert_string_equal(slot.name, rule->slots[s]);
        ASSERT_OK(be_plan_read(plan, slot.value, buffer, bytes, &err));
        double largest = 0.0;
        for (int i = 0; i < OPTIMIZER_COUNT; i++) largest = fmax(largest, fabs(expected[s][i]));
        for (int i = 0; i < OPTIMIZER_COUNT; i++)
            assert_near((double)buffer[i], expected[s][i], 1e-6 * largest, rule->slots[s]);
    }
}

static void check_rule(be_device *device, const optimizer_rule *rule)
{
    be_error err;
    toy t = toy_new(OPTIMIZER_ROWS, OPTIMIZER_CLASSES, 0.0f, &rule->options);
    be_plan *plan = plan_new(&t, device);
    reference *r = toy_reference(&t);
    size_t bytes = OPTIMIZER_COUNT * sizeof(float);
    float *p = malloc(bytes + 64), *gradient = malloc(bytes);
    follower *f = calloc(1, sizeof *f);
    int32_t target[OPTIMIZER_ROWS];
    for (int i = 0; i < OPTIMIZER_ROWS; i++) target[i] = i % OPTIMIZER_CLASSES;
    ASSERT_OK(be_plan_write(plan, t.target, target, sizeof target, &err));
    ASSERT_OK(reference_write(r, t.target, target, sizeof target, &err));
    ASSERT_OK(be_plan_read(plan, t.x, p, bytes, &err));
    for (int i = 0; i < OPTIMIZER_COUNT; i++) f->p[i] = (double)p[i];
    for (int step = 1; step <= OPTIMIZER_STEPS; step++) {
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(be_plan_read(plan, t.x, p, bytes, &err));
        ASSERT_OK(be_plan_read(plan, be_plan_parameter(plan, 0).gradient, gradient, bytes, &err));
        follow(rule, f, step, gradient, p);
    }
    check_slots(plan, rule, f, p);
    ASSERT_OK(reference_run(r, OPTIMIZER_STEPS, &err));
    for (int i = 0; i < OPTIMIZER_COUNT; i++)
        assert_near(reference_data(r, t.x)[i], f->p[i], 1e-4, "a parameter of the reference");
    free(p);
    free(gradient);
    free(f);
    reference_free(r);
    be_plan_free(plan);
    be_graph_free(t.graph);
}

static void check_rules(be_device *device)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) check_rule(device, &rules[i]);
}

static void optimizers_follow_their_formulas(void **state)
{
    (void)state;
    each_device(check_rules);
}

static void expect_refused(be_optimizer optimizer, const char *text)
{
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = graph_parameter(g, "toy", "x", shape_make(BE_F32, 2, 3, 3, 0, 0),
                                 (be_start){BE_UNIFORM, 1.0f});
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 3, 0, 0, 0));
    be_graph_minimize(g, be_softmax_cross_entropy(g, x, target), &optimizer);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "optimizer: ", text);
    be_graph_free(g);
}

static void optimizers_refuse_senseless_numbers(void **state)
{
    (void)state;
    be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1f};
    be_optimizer adam = {.kind = BE_ADAM, .learning_rate = 0.1f};
#define REFUSED(start, field, value, text) \
    do {                                   \
        be_optimizer o = start;            \
        o.field = value;                   \
        expect_refused(o, text);           \
    } while (0)
    REFUSED(sgd, learning_rate, 0.0f, "learning rate: expected a finite number above 0, found 0");
    REFUSED(sgd, learning_rate, NAN, "learning rate: expected a finite number above 0, found");
    REFUSED(sgd, learning_rate, INFINITY, "learning rate: expected a finite number above 0, found");
    REFUSED(sgd, momentum, 1.0, "momentum: expected at least 0 and below 1, found 1");
    REFUSED(sgd, momentum, -0.5, "momentum: expected at least 0 and below 1, found -0.5");
    REFUSED(sgd, weight_decay, -1.0, "weight decay: expected a finite number of at least 0");
    REFUSED(sgd, beta1, 0.9, "sgd has no beta1: expected 0, found 0.9");
    REFUSED(sgd, kind, (be_optimizer_kind)9, "expected a kind of 0 to 3, found 9");
    REFUSED(adam, momentum, 0.9, "adam has no momentum: expected 0, found 0.9");
    REFUSED(adam, beta1, 1.0, "beta1: expected at least 0 and below 1, found 1");
    REFUSED(adam, beta2, (double)NAN, "beta2: expected at least 0 and below 1, found");
    REFUSED(adam, epsilon, (double)INFINITY, "epsilon: expected a finite number of at least 0");
#undef REFUSED
}

static void minimize_wants_the_loss_once(void **state)
{
    (void)state;
    be_error err;
    toy t = toy_new(3, 3, 0.0f, &plain_sgd);
    be_graph_minimize(t.graph, t.loss, &plain_sgd);
    ASSERT_FAILS(be_graph_check(t.graph, &err), BE_USAGE, "has an optimizer already (sgd)");
    be_graph_free(t.graph);
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 1, 2, 0, 0, 0));
    be_graph_minimize(g, x, &plain_sgd);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "expected a loss f32 [1]", "found f32 [2]");
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_ignores_rows_and_notices_bad_targets),
        cmocka_unit_test(loss_bits_do_not_depend_on_threads),
        cmocka_unit_test(losses_want_a_target_for_each_row),
        cmocka_unit_test(loss_log_is_a_ring),
        cmocka_unit_test(dropout_draws_the_bits_of_the_generator),
        cmocka_unit_test(dropout_layers_draw_apart_and_vanish_when_inferring),
        cmocka_unit_test(dropout_refuses_a_senseless_probability),
        cmocka_unit_test(optimizers_follow_their_formulas),
        cmocka_unit_test(optimizers_refuse_senseless_numbers),
        cmocka_unit_test(minimize_wants_the_loss_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
