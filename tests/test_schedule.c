/* Tests of what stands between gradients and update: learning rates by the step, and gradients that
 * are clipped by their norm; on the CPU and on the double reference, against formulas written here
 * once more. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/reference.h"

#define COUNT 70001
#define STEPS 12

static const be_shape row = {BE_F32, 1, {COUNT}};

static be_device *open_cpu(int threads)
{
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = threads}, &device, &err));
    return device;
}

/* loss = sum of w², so the gradient is 2 w. */
static be_graph *new_graph(const be_optimizer *optimizer, be_value *w)
{
    be_graph *g = be_graph_new(5);
    *w = be_parameter_add(g, "w", row, (be_start){BE_UNIFORM, 1.0f});
    be_value sum = be_sum_to(g, be_multiply(g, *w, *w), (be_shape){BE_F32, 1, {1}});
    be_graph_minimize(g, sum, optimizer);
    return g;
}

static be_plan *new_plan(be_device *device, const be_graph *g)
{
    be_error err;
    be_plan *plan = NULL;
    ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    return plan;
}

/* 4 steps up, down over 8, and the floor. */
static const be_schedule up_and_down = {
    .kind = BE_RATE_COSINE, .warmup_steps = 4, .total_steps = 12, .final_factor = 0.1};

static void factors_are_those_of_the_formula(void **state)
{
    (void)state;
    /* 0.1 + 0.9 · (1 + cos(π · k / 8)) / 2 by hand, k = 0 … 8 */
    static const double expected[] = {
        0.2,           0.4,           0.6,           0.8,  1.0,
        0.96574578963, 0.86819805153, 0.72220754456, 0.55, 0.37779245544,
        0.23180194847, 0.13425421037, 0.1,           0.1};
    for (int t = 0; t < 14; t++)
        if (!(fabs(be_schedule_factor(&up_and_down, t) - expected[t]) < 1e-11))
            fail_msg("step %d: expected %.12g, found %.12g", t, expected[t],
                     be_schedule_factor(&up_and_down, t));
    be_schedule line = up_and_down;
    line.kind = BE_RATE_LINEAR;
    assert_true(be_schedule_factor(&line, 3) == 0.8);
    for (int t = 4; t < 14; t++) /* 0.1 + 0.9 · (12 − t) / 8 */
        assert_true(fabs(be_schedule_factor(&line, t) - (t < 12 ? 0.1 + 0.1125 * (12 - t) : 0.1)) <
                    1e-12);
    be_schedule warm = {.kind = BE_RATE_CONSTANT, .warmup_steps = 1};
    assert_true(be_schedule_factor(&warm, 0) == 0.5 && be_schedule_factor(&warm, 1) == 1.0);
    assert_true(be_schedule_factor(&(be_schedule){0}, 0) == 1.0);
}

static void read_weights(be_plan *plan, be_value w, float out[COUNT])
{
    be_error err;
    ASSERT_OK(be_plan_read(plan, w, out, COUNT * sizeof *out, &err));
}

/* The device's steps in one run are those with a rate that the host sets before each. */
static void a_device_follows_its_schedule(void **state)
{
    (void)state;
    static float found[COUNT], expected[COUNT];
    be_error err;
    be_value w;
    be_device *device = open_cpu(2);
    be_optimizer scheduled = {.kind = BE_ADAM, .learning_rate = 0.03, .schedule = up_and_down};
    be_optimizer plain = {.kind = BE_ADAM, .learning_rate = 0.03};
    be_graph *a = new_graph(&scheduled, &w), *b = new_graph(&plain, &w);
    be_plan *one = new_plan(device, a), *other = new_plan(device, b);
    ASSERT_OK(be_plan_run(one, STEPS + 2, &err));
    double rate = 0;
    for (int t = 0; t < STEPS + 2; t++) {
        double wanted = 0.03 * be_schedule_factor(&up_and_down, t);
        ASSERT_OK(be_plan_set_learning_rate(other, wanted, &err));
        ASSERT_OK(be_plan_run(other, 1, &err));
        ASSERT_OK(be_plan_learning_rate(other, &rate, &err));
        assert_true(rate == (double)(float)wanted);
    }
    read_weights(one, w, found);
    read_weights(other, w, expected);
    assert_memory_equal(found, expected, sizeof found);
    ASSERT_OK(be_plan_learning_rate(one, &rate, &err));
    assert_true(rate == (double)(float)(0.03 * 0.1));
    /* Another rate under the same schedule, at another place of it. */
    ASSERT_OK(be_plan_set_learning_rate(one, 0.5, &err));
    ASSERT_OK(be_plan_set_steps(one, 7, &err));
    ASSERT_OK(be_plan_run(one, 1, &err));
    ASSERT_OK(be_plan_learning_rate(one, &rate, &err));
    assert_true(rate == (double)(float)(0.5 * be_schedule_factor(&up_and_down, 7)));
    be_plan_free(one);
    be_plan_free(other);
    be_graph_free(a);
    be_graph_free(b);
    be_device_close(device);
}

/* All steps of a training with clipping and a schedule, on that many threads. */
static void train_clipped(int threads, float weights[COUNT], float norms[STEPS])
{
    be_error err;
    be_value w;
    be_device *device = open_cpu(threads);
    be_optimizer clipped = {
        .kind = BE_SGD, .learning_rate = 20, .max_gradient_norm = 1.5, .schedule = up_and_down};
    be_graph *g = new_graph(&clipped, &w);
    be_plan *plan = new_plan(device, g);
    ASSERT_OK(be_plan_run(plan, STEPS, &err));
    ASSERT_OK(be_plan_gradient_norms(plan, STEPS, norms, &err));
    read_weights(plan, w, weights);
    ASSERT_FAILS(be_plan_gradient_norms(plan, STEPS + 1, norms, &err), BE_USAGE, "norms", "12",
                 "13");
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

/* As PyTorch's documentation says it, in double. */
static void expect_clipped(double w[COUNT], double norms[STEPS])
{
    for (int t = 0; t < STEPS; t++) {
        double sum = 0, rate = 20 * be_schedule_factor(&up_and_down, t);
        for (int i = 0; i < COUNT; i++) sum += 4 * w[i] * w[i];
        norms[t] = sqrt(sum);
        double factor = fmin(1.0, 1.5 / (norms[t] + 1e-6));
        for (int i = 0; i < COUNT; i++) w[i] -= rate * factor * 2 * w[i];
    }
}

static void gradients_are_clipped_by_their_norm(void **state)
{
    (void)state;
    static float start[COUNT], one[COUNT], two[COUNT];
    static double expected[COUNT];
    float norms[2][STEPS];
    double wanted[STEPS];
    be_error err;
    be_value w;
    be_device *device = open_cpu(1);
    be_optimizer clipped = {
        .kind = BE_SGD, .learning_rate = 20, .max_gradient_norm = 1.5, .schedule = up_and_down};
    be_graph *g = new_graph(&clipped, &w);
    be_plan *plan = new_plan(device, g);
    read_weights(plan, w, start);
    be_plan_free(plan);
    be_device_close(device);
    for (int i = 0; i < COUNT; i++) expected[i] = (double)start[i];
    expect_clipped(expected, wanted);
    train_clipped(1, one, norms[0]);
    train_clipped(2, two, norms[1]);
    assert_memory_equal(one, two, sizeof one);
    assert_memory_equal(norms[0], norms[1], sizeof norms[0]);
    int below = 0;
    for (int t = 0; t < STEPS; t++) {
        below += wanted[t] < 1.5;
        if (!(fabs((double)norms[0][t] - wanted[t]) <= 1e-5 * wanted[t] + 1e-5))
            fail_msg("step %d: expected a norm of %.9g, found %.9g", t, wanted[t],
                     (double)norms[0][t]);
    }
    assert_true(wanted[0] > 100 && below == 0);
    reference *r = NULL;
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(reference_run(r, STEPS, &err));
    const double *exact = reference_data(r, w);
    for (int i = 0; i < COUNT; i++)
        if (!(fabs((double)one[i] - expected[i]) <= 1e-5) ||
            !(fabs(exact[i] - expected[i]) <= 1e-6))
            fail_msg("weight %d: expected %.9g, found %.9g and in double %.9g", i, expected[i],
                     (double)one[i], exact[i]);
    reference_free(r);
    be_graph_free(g);
}

/* Who reads a gradient gets what was applied, before the first step too: the block keeps what came
 * back, and no reader sees it. */
static void gradients_are_read_as_they_were_applied(void **state)
{
    (void)state;
    static float start[COUNT], found[COUNT];
    be_error err;
    be_value w;
    float norm = 0;
    be_device *device = open_cpu(2);
    reference *r = NULL;
    be_optimizer clipped = {.kind = BE_ADAM, .learning_rate = 0.1, .max_gradient_norm = 1.5};
    be_graph *g = new_graph(&clipped, &w);
    be_plan *plan = new_plan(device, g);
    be_value gradient = be_plan_parameter(plan, 0).gradient;
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    read_weights(plan, gradient, found);
    for (int i = 0; i < COUNT; i++) assert_true(found[i] == 0.0f);
    for (int t = 0; t < 2; t++) {
        read_weights(plan, w, start);
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(reference_run(r, 1, &err));
        ASSERT_OK(be_plan_gradient_norms(plan, 1, &norm, &err));
        read_weights(plan, gradient, found);
        const double *exact = reference_data(r, reference_parameter(r, 0).gradient);
        for (int i = 0; i < COUNT; i++) {
            float applied = 2.0f * start[i] * (1.5f / (norm + 1e-6f));
            if (found[i] != applied || !(fabs((double)applied - exact[i]) <= 1e-6))
                fail_msg("step %d, gradient %d: expected %.9g, found %.9g and in double %.9g", t, i,
                         (double)applied, (double)found[i], exact[i]);
        }
    }
    reference_free(r);
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

/* Gradients shorter than the limit stay as they are, to the bit; and without a limit there is no
 * norm. */
static void short_gradients_stay(void **state)
{
    (void)state;
    static float clipped[COUNT], plain[COUNT];
    be_error err;
    be_device *device = open_cpu(2);
    for (int k = 0; k < 2; k++) {
        be_value w;
        float norm = 0;
        be_optimizer o = {.kind = BE_SGD, .learning_rate = 0.1, .max_gradient_norm = k ? 1e6 : 0.0};
        be_graph *g = new_graph(&o, &w);
        be_plan *plan = new_plan(device, g);
        ASSERT_OK(be_plan_run(plan, 3, &err));
        read_weights(plan, w, k ? clipped : plain);
        if (k)
            ASSERT_OK(be_plan_gradient_norms(plan, 1, &norm, &err));
        else
            ASSERT_FAILS(be_plan_gradient_norms(plan, 1, &norm, &err), BE_USAGE, "does not clip",
                         "max_gradient_norm");
        be_plan_free(plan);
        be_graph_free(g);
    }
    assert_memory_equal(clipped, plain, sizeof plain);
    be_device_close(device);
}

static void check_refused(be_optimizer o, const char *a, const char *b, const char *c)
{
    be_error err;
    be_value w;
    be_graph *g = new_graph(&o, &w);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, a, b, c);
    be_graph_free(g);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    be_optimizer o = {.kind = BE_SGD, .learning_rate = 0.1};
    be_optimizer norm = o, nan_norm = o, kind = o, warm = o, total = o, long_one = o, floor = o;
    norm.max_gradient_norm = -1;
    nan_norm.max_gradient_norm = (double)NAN;
    kind.schedule.kind = (be_schedule_kind)7;
    warm.schedule.warmup_steps = -3;
    total.schedule = up_and_down;
    total.schedule.total_steps = 4;
    long_one.schedule = up_and_down;
    long_one.schedule.total_steps = 16777217;
    floor.schedule = up_and_down;
    floor.schedule.final_factor = 1.5;
    check_refused(norm, "largest gradient norm", "at least 0", "found -1");
    check_refused(nan_norm, "largest gradient norm", "at least 0", "nan");
    check_refused(kind, "schedule", "be_schedule_kind", "found 7");
    check_refused(warm, "schedule", "warm-up", "found -3");
    check_refused(total, "schedule", "the 4 of the warm-up", "found 4");
    check_refused(long_one, "schedule", "at most 16777216", "found 16777217");
    check_refused(floor, "final factor", "0 to 1", "found 1.5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_are_those_of_the_formula),
        cmocka_unit_test(a_device_follows_its_schedule),
        cmocka_unit_test(gradients_are_clipped_by_their_norm),
        cmocka_unit_test(gradients_are_read_as_they_were_applied),
        cmocka_unit_test(short_gradients_stay),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
