/* Tests of running plans on the CPU: steps, losses, learning rate, numerical failures, lack of
 * memory. */
#include "plan_network.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"

/* Steps, losses, learning rate. */

static void losses_are_a_ring(void **state)
{
    (void)state;
    enum { STEPS = BE_LOSS_LOG + 10 };
    be_error err;
    static float at_once[BE_LOSS_LOG], one_by_one[STEPS];
    static int32_t correct[BE_LOSS_LOG], correct_one[STEPS];
    network n = network_new(1, &sgd, 0.25f);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    for (int s = 0; s < STEPS; s++) {
        run(plan, 1);
        ASSERT_OK(be_plan_losses(plan, 1, &one_by_one[s], &correct_one[s], &err));
        assert_true(one_by_one[s] > 0.0f && one_by_one[s] < 10.0f);
        assert_in_range(correct_one[s], 0, ROWS);
    }
    be_plan_free(plan);
    plan = ready_plan(&n, device, &train);
    ASSERT_FAILS(be_plan_losses(plan, 1, at_once, NULL, &err), BE_USAGE, "0 steps done",
                 "asked for 1");
    ASSERT_OK(be_plan_losses(plan, 0, at_once, correct, &err));
    run(plan, STEPS);
    ASSERT_FAILS(be_plan_losses(plan, BE_LOSS_LOG + 1, at_once, NULL, &err), BE_USAGE,
                 "at most 4096", "4106 steps done", "asked for 4097");
    ASSERT_FAILS(be_plan_losses(plan, -1, at_once, NULL, &err), BE_USAGE, "asked for -1");
    ASSERT_OK(be_plan_losses(plan, BE_LOSS_LOG, at_once, correct, &err));
    assert_memory_equal(at_once, one_by_one + 10, sizeof at_once);
    assert_memory_equal(correct, correct_one + 10, sizeof correct);
    ASSERT_OK(be_plan_losses(plan, 20, at_once, NULL, &err));
    assert_memory_equal(at_once, one_by_one + STEPS - 20, 20 * sizeof(float));
    ASSERT_OK(be_plan_losses(plan, 20, NULL, correct, &err));
    assert_memory_equal(correct, correct_one + STEPS - 20, 20 * sizeof(int32_t));
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void steps_are_counted_and_set(void **state)
{
    (void)state;
    be_error err;
    int64_t steps = -1;
    float w[A_WEIGHT], again[A_WEIGHT];
    network n = network_new(1, &adam, 0.5f);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    run(plan, 0);
    ASSERT_OK(be_plan_steps(plan, &steps, &err));
    assert_int_equal(steps, 0);
    ASSERT_FAILS(be_plan_run(plan, -1, &err), BE_USAGE, "0 or more steps", "found -1");
    ASSERT_FAILS(be_plan_set_steps(plan, -1, &err), BE_USAGE, "0 to 2^31 - 1", "found -1");
    ASSERT_FAILS(be_plan_set_steps(plan, INT64_C(1) << 31, &err), BE_USAGE, "found 2147483648");
    ASSERT_OK(be_plan_set_steps(plan, 1000, &err));
    run(plan, 7);
    ASSERT_OK(be_plan_steps(plan, &steps, &err));
    assert_int_equal(steps, 1007);
    read_weight(plan, w);
    be_plan_free(plan);
    /* The masks follow from the step: from step 0 the same seed goes another way. */
    plan = ready_plan(&n, device, &train);
    run(plan, 7);
    read_weight(plan, again);
    assert_memory_not_equal(w, again, sizeof w);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);

    be_graph *g = be_graph_new(1);
    be_relu(g, be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, FEATURES}}));
    device = cpu(1);
    ASSERT_OK(be_plan_new(g, device, &infer, &plan, &err));
    ASSERT_FAILS(be_plan_steps(plan, &steps, &err), BE_USAGE, "counts no steps");
    ASSERT_FAILS(be_plan_set_steps(plan, 1, &err), BE_USAGE, "counts no steps");
    ASSERT_FAILS(be_plan_losses(plan, 1, NULL, NULL, &err), BE_USAGE, "counts no steps");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
}

static void the_learning_rate_can_be_changed(void **state)
{
    (void)state;
    be_error err;
    float start[A_WEIGHT], once[A_WEIGHT], twice[A_WEIGHT], gradient[A_WEIGHT];
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    read_weight(plan, start);
    ASSERT_OK(be_plan_set_learning_rate(plan, 0.0f, &err));
    run(plan, 1);
    read_weight(plan, once);
    assert_memory_equal(start, once, sizeof start);
    ASSERT_OK(be_plan_set_learning_rate(plan, 0.5f, &err));
    run(plan, 1);
    read_weight(plan, twice);
    be_value dw = be_plan_parameter(plan, 0).gradient;
    ASSERT_OK(be_plan_read(plan, dw, gradient, sizeof gradient, &err));
    float largest = 0.0f;
    for (int i = 0; i < A_WEIGHT; i++) {
        assert_true(fabsf(start[i] - 0.5f * gradient[i] - twice[i]) < 1e-6f);
        largest = fmaxf(largest, fabsf(gradient[i]));
    }
    assert_true(largest > 1e-3f);
    be_plan_free(plan);
    plan = plan_of(&n, device, &infer);
    ASSERT_FAILS(be_plan_set_learning_rate(plan, 0.5f, &err), BE_USAGE, "does not train");
    assert_int_equal(be_plan_slot_count(plan), 0);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void one_seed_is_one_training(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        float w[3][A_WEIGHT];
        for (int i = 0; i < 3; i++) {
            network n = network_new(i < 2 ? 1 : 2, &adam, 0.5f);
            be_device *device = cpu(threads);
            be_plan *plan = ready_plan(&n, device, &train);
            be_graph_free(n.graph); /* the plan has its own */
            if (i == 0)
                run(plan, 20);
            else
                for (int s = 0; s < 20; s++) run(plan, 1);
            read_weight(plan, w[i]);
            be_plan_free(plan);
            be_device_close(device);
        }
        assert_memory_equal(w[0], w[1], sizeof w[0]);
        assert_memory_not_equal(w[0], w[2], sizeof w[0]);
    }
}

static void training_makes_the_loss_small(void **state)
{
    (void)state;
    be_error err;
    float first, last;
    int32_t correct;
    network n = network_new(1, &adam, 0);
    be_device *device = cpu(2);
    be_plan *plan = ready_plan(&n, device, &train);
    run(plan, 1);
    ASSERT_OK(be_plan_losses(plan, 1, &first, NULL, &err));
    run(plan, 2000);
    ASSERT_OK(be_plan_losses(plan, 1, &last, &correct, &err));
    assert_true(first > 0.5f && last < 0.02f);
    assert_int_equal(correct, ROWS);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* Numerical failure. */

static void the_first_bad_op_is_named(void **state)
{
    (void)state;
    be_error err;
    float w[A_WEIGHT], checked[A_WEIGHT];
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    be_plan *other = ready_plan(&n, device, &train);
    ASSERT_OK(be_plan_run_checked(plan, 5, &err));
    run(other, 5);
    read_weight(plan, checked);
    read_weight(other, w);
    assert_memory_equal(w, checked, sizeof w); /* looking changes nothing */

    n.data[2 * FEATURES + 3] = NAN; /* row 2: all of it becomes NaN in the first layer */
    write_inputs(&n, plan);
    run(plan, 1); /* unchecked, nobody notices */
    be_plan_free(plan);
    write_inputs(&n, other);
    ASSERT_FAILS(be_plan_run_checked(other, 3, &err), BE_NUMERIC, "step 5", "op linear", "number 0",
                 "output 0", "not finite", "nan");
    be_plan_free(other);

    n.data[2 * FEATURES + 3] = 0.5f;
    n.classes[1] = CLASSES; /* no such class: only the loss can tell */
    plan = ready_plan(&n, device, &train);
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_NUMERIC, "step 0",
                 "op softmax_cross_entropy", "output 0");
    n.classes[1] = 1;
    write_inputs(&n, plan);
    ASSERT_OK(be_plan_set_learning_rate(plan, INFINITY, &err));
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_NUMERIC, "op sgd", "learning rate");
    be_plan_free(plan);

    plan = ready_plan(&n, device, &train); /* 6 · 2 · 3e38 is beyond f32, and no NaN */
    for (int i = 0; i < ROWS * FEATURES; i++) n.data[i] = 2.0f;
    for (int i = 0; i < A_WEIGHT; i++) w[i] = 3e38f;
    write_inputs(&n, plan);
    ASSERT_OK(be_plan_write(plan, be_plan_parameter(plan, 0).value, w, sizeof w, &err));
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_NUMERIC, "op linear", "gave inf");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* Lack of memory. */

typedef struct attempt {
    const network *n;
    be_mode mode;
    int dry_run, attempts;
} attempt;

static be_status open_plan_write_run(void *context, be_error *err)
{
    attempt *a = context;
    be_device *device = NULL;
    be_plan *plan = NULL;
    a->attempts++;
    TRY(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, err));
    be_plan_options options = {.mode = a->mode, .dry_run = a->dry_run};
    be_status status = be_plan_new(a->n->graph, device, &options, &plan, err);
    if (status == BE_OK && !a->dry_run)
        status = be_plan_write(plan, a->n->x, a->n->data, sizeof a->n->data, err);
    if (status == BE_OK && !a->dry_run)
        status = be_plan_write(plan, a->n->target, a->n->classes, sizeof a->n->classes, err);
    size_t before = memory_fail_at(1); /* from here on nothing may be allocated */
    (void)before;
    if (status == BE_OK && !a->dry_run) status = be_plan_run(plan, 2, err);
    if (status == BE_OK) assert_int_equal(memory_fail_at(0), 0);
    be_plan_free(plan);
    be_device_close(device);
    return status;
}

static void a_lack_of_memory_is_reported(void **state)
{
    (void)state;
    network n = network_new(1, &adam, 0.5f);
    for (int mode = 0; mode < 2; mode++)
        for (int dry = 0; dry < 2; dry++) {
            attempt a = {.n = &n, .mode = mode ? BE_TRAIN : BE_INFER, .dry_run = dry};
            int failures = support_fail_each_allocation(open_plan_write_run, &a, 500);
            assert_true(failures >= (dry ? 8 : 12));
            assert_int_equal(a.attempts, failures + 1);
        }
    be_graph_free(n.graph);
}

static be_status plan_images(void *context, be_error *err)
{
    const be_graph *g = context;
    be_device *device = NULL;
    be_plan *plan = NULL;
    TRY(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, err));
    be_status status = be_plan_new(g, device, &train, &plan, err);
    be_plan_free(plan);
    be_device_close(device);
    return status;
}

/* The same with primitives of the library, which have to be given back. */
static void a_lack_of_memory_among_primitives_is_reported(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {2, 3, 16, 16}});
    be_value target = be_input(g, "target", (be_shape){BE_I32, 1, {2}});
    x = be_conv2d(g, x, &(be_conv2d_options){.name = "c1", .channels = 8, .kernel = 3});
    x = be_max_pool2d(g, be_relu(g, x), &(be_pool2d_options){.size = 2});
    x = be_conv2d(g, x,
                  &(be_conv2d_options){.name = "c2", .channels = 24, .kernel = 3, .padding = 1});
    x = be_global_average_pool(g, be_relu(g, x));
    be_graph_minimize(g,
                      be_softmax_cross_entropy(
                          g, be_linear(g, x, &(be_linear_options){"fc", .features = 3}), target),
                      &adam);
    ASSERT_OK(be_graph_check(g, &err));
    assert_true(support_fail_each_allocation(plan_images, g, 500) > 8);
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_a_ring),
        cmocka_unit_test(steps_are_counted_and_set),
        cmocka_unit_test(the_learning_rate_can_be_changed),
        cmocka_unit_test(one_seed_is_one_training),
        cmocka_unit_test(training_makes_the_loss_small),
        cmocka_unit_test(the_first_bad_op_is_named),
        cmocka_unit_test(a_lack_of_memory_is_reported),
        cmocka_unit_test(a_lack_of_memory_among_primitives_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
