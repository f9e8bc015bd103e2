/* Tests of networks of a user's own: parameters, views, losses from parts, counts; what they train
 * to is compared with formulas, on the CPU and on the double reference. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "breakeven/breakeven.h"
#include "graph/reference.h"
#include "ops/op_list.h"

enum { ROWS = 4, COLUMNS = 3, COUNT = ROWS * COLUMNS };

static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.5f};
static const be_shape scalar = {BE_F32, 1, {1}}, row = {BE_F32, 1, {COLUMNS}};
static const be_shape table = {BE_F32, 2, {ROWS, COLUMNS}};

static be_device *open_cpu(void)
{
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 2}, &device, &err));
    return device;
}

static be_plan *plan_for(const be_graph *g, be_device *device, be_value keep)
{
    be_error err;
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_TRAIN, .keep = &keep, .keep_count = keep != BE_NONE};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    return plan;
}

static void read_floats(be_plan *plan, be_value value, int count, float *out)
{
    be_error err;
    ASSERT_OK(be_plan_read(plan, value, out, (size_t)count * sizeof *out, &err));
}

static void assert_near(double found, double expected, const char *what)
{
    if (!(fabs(found - expected) <= 1e-6 * (1.0 + fabs(expected))))
        fail_msg("%s: expected %.9g, found %.9g", what, expected, found);
}

static be_value parameter_of(const be_graph *g, const char *name)
{
    be_value value = be_value_find(g, name);
    assert_int_not_equal(value, BE_NONE);
    return value;
}

/* loss = mean(x · w · w + c + d) + b, with w tied, c and d with one gradient, b with a constant
 * one; everything also seen as one row if `viewed`. */
static be_graph *sum_of_everything(bool viewed, be_value *x, be_value *y)
{
    be_graph *g = be_graph_new(5);
    *x = be_input(g, "x", table);
    be_value w = be_parameter_add(g, "w", row, (be_start){BE_CONSTANT, 2.0f});
    be_value c = be_parameter_add(g, "c", table, (be_start){BE_NORMAL, 0.1f});
    be_value d = be_parameter_add(g, "d", table, (be_start){BE_UNIFORM, 0.1f});
    be_value b = be_parameter_add(g, "b", scalar, (be_start){BE_CONSTANT, 0.0f});
    *y = be_add(g, be_multiply(g, be_multiply(g, *x, w), w), be_add(g, c, d));
    if (viewed) *y = be_view(g, *y, (be_shape){BE_F32, 1, {COUNT}});
    be_graph_minimize(g, be_add(g, be_mean(g, *y), b), &sgd);
    return g;
}

static void check_gradients(be_plan *plan, const float x[COUNT])
{
    float found[COUNT];
    for (int p = 0; p < be_plan_parameter_count(plan); p++) {
        be_parameter info = be_plan_parameter(plan, p);
        int count = info.name[0] == 'w' ? COLUMNS : info.name[0] == 'b' ? 1 : COUNT;
        read_floats(plan, info.gradient, count, found);
        for (int i = 0; i < count; i++) {
            double expected = info.name[0] == 'b' ? 1.0 : 1.0 / COUNT, sum = 0.0;
            for (int r = 0; r < ROWS && info.name[0] == 'w'; r++) sum += (double)x[r * COLUMNS + i];
            if (info.name[0] == 'w') expected = 2.0 * 2.0 * sum / COUNT;
            assert_near((double)found[i], expected, info.name);
        }
    }
}

static void gradients_of_parts_are_right(void **state)
{
    (void)state;
    be_error err;
    be_device *device = open_cpu();
    float x_data[COUNT], seen[COUNT], flat[COUNT];
    for (int i = 0; i < COUNT; i++) x_data[i] = (float)(i * i % 7) - 2.5f;
    for (int viewed = 0; viewed < 2; viewed++) {
        be_value x, y;
        be_graph *g = sum_of_everything(viewed, &x, &y);
        ASSERT_OK(be_graph_check(g, &err));
        be_plan *plan = plan_for(g, device, y);
        ASSERT_OK(be_plan_write(plan, x, x_data, sizeof x_data, &err));
        ASSERT_OK(be_plan_run(plan, 1, &err));
        check_gradients(plan, x_data);
        read_floats(plan, y, COUNT, viewed ? flat : seen); /* kept, though it lies in another */
        be_plan_free(plan);
        be_graph_free(g);
    }
    assert_memory_equal(seen, flat, sizeof seen);
    be_device_close(device);
}

static void a_view_is_no_launch(void **state)
{
    (void)state;
    int launches[2];
    be_device *device = open_cpu();
    for (int viewed = 0; viewed < 2; viewed++) {
        be_graph *g = be_graph_new(5);
        be_value w = be_parameter_add(g, "w", row, (be_start){BE_CONSTANT, 2.0f});
        be_value y = be_multiply(g, be_input(g, "x", table), w);
        if (viewed) y = be_view(g, be_view(g, y, (be_shape){BE_F32, 1, {COUNT}}), table);
        be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &sgd);
        be_plan *plan = plan_for(g, device, BE_NONE);
        launches[viewed] = be_plan_describe(plan).launches;
        be_plan_free(plan);
        be_graph_free(g);
    }
    assert_int_equal(launches[0], launches[1]);
    be_device_close(device);
}

/* A picture that is trained: where its gradient lies is plain, and a convolution may give it in
 * blocks. */
static void a_picture_may_be_a_parameter(void **state)
{
    (void)state;
    be_error err;
    const be_shape picture = {BE_F32, 4, {2, 16, 4, 4}};
    be_device *device = open_cpu();
    be_graph *g = be_graph_new(5);
    be_value p = be_parameter_add(g, "p", picture, (be_start){BE_NORMAL, 1.0f});
    be_value y = be_conv2d(g, p, &(be_conv2d_options){.name = "c", .channels = 32, .kernel = 3});
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)), &sgd);
    be_plan *plan = plan_for(g, device, BE_NONE);
    reference *r = NULL;
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(be_plan_run(plan, 2, &err));
    ASSERT_OK(reference_run(r, 2, &err));
    float found[2 * 16 * 4 * 4];
    read_floats(plan, p, 2 * 16 * 4 * 4, found);
    for (int i = 0; i < 2 * 16 * 4 * 4; i++)
        assert_near((double)found[i], reference_data(r, p)[i], "pixel");
    reference_free(r);
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

static void the_reference_trains_alike(void **state)
{
    (void)state;
    be_error err;
    be_value x, y;
    float x_data[COUNT];
    be_device *device = open_cpu();
    be_graph *g = sum_of_everything(true, &x, &y);
    be_plan *plan = plan_for(g, device, BE_NONE);
    reference *r = NULL;
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    for (int i = 0; i < COUNT; i++) x_data[i] = 0.1f * (float)i;
    ASSERT_OK(be_plan_write(plan, x, x_data, sizeof x_data, &err));
    ASSERT_OK(reference_write(r, x, x_data, sizeof x_data, &err));
    ASSERT_OK(be_plan_run(plan, 5, &err));
    ASSERT_OK(reference_run(r, 5, &err));
    double losses[5];
    float found[5], weights[COUNT];
    ASSERT_OK(be_plan_losses(plan, 5, found, NULL, &err));
    ASSERT_OK(reference_losses(r, 5, losses, NULL, &err));
    for (int i = 0; i < 5; i++) assert_near((double)found[i], losses[i], "loss");
    static const char *const names[] = {"w", "c", "d"};
    for (int n = 0; n < 3; n++) {
        be_value value = parameter_of(g, names[n]);
        int count = n == 0 ? COLUMNS : COUNT;
        read_floats(plan, value, count, weights);
        for (int i = 0; i < count; i++)
            assert_near((double)weights[i], reference_data(r, value)[i], names[n]);
    }
    reference_free(r);
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

static void starts_are_what_they_say(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    static const be_start starts[] = {{BE_UNIFORM, 0.5f}, {BE_NORMAL, 0.5f}, {BE_CONSTANT, 0.5f}};
    static const double deviations[] = {0.288675, 0.5, 0.0}, means[] = {0, 0, 0.5};
    float values[MANY];
    for (int s = 0; s < 3; s++) {
        be_graph *g = be_graph_new(2);
        be_value p = be_parameter_add(g, "p", (be_shape){BE_F32, 1, {MANY}}, starts[s]);
        graph_fill_start(g, p, 0, values);
        double sum = 0, squares = 0;
        for (int i = 0; i < MANY; i++) sum += (double)values[i];
        for (int i = 0; i < MANY; i++) squares += pow((double)values[i] - sum / MANY, 2);
        assert_true(fabs(sum / MANY - means[s]) < 0.03);
        assert_true(fabs(sqrt(squares / MANY) - deviations[s]) < 0.03);
        be_graph_free(g);
    }
}

/* The classifier's loss, whole or as the half of two that are the same. */
static void train_classifier(bool halves, float weights[COUNT], int32_t *right)
{
    be_error err;
    be_device *device = open_cpu();
    be_graph *g = be_graph_new(3);
    be_value w = be_parameter_add(g, "w", table, (be_start){BE_UNIFORM, 1.0f});
    be_value target = be_input(g, "target", (be_shape){BE_I32, 1, {ROWS}});
    be_value loss = be_softmax_cross_entropy(g, w, target);
    if (halves) {
        be_value second = be_softmax_cross_entropy(g, w, target);
        loss = be_add(g, be_scale(g, loss, 0.5f), be_scale(g, second, 0.5f));
    }
    be_graph_minimize(g, loss, &sgd);
    be_plan *plan = plan_for(g, device, BE_NONE);
    ASSERT_OK(be_plan_write(plan, target, (int32_t[ROWS]){0, 1, 2, 1}, 4 * ROWS, &err));
    ASSERT_OK(be_plan_run(plan, 10, &err));
    ASSERT_OK(be_plan_losses(plan, 1, NULL, right, &err));
    read_floats(plan, w, COUNT, weights);
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

static void a_loss_may_be_a_part_of_the_loss(void **state)
{
    (void)state;
    float whole[COUNT], halves[COUNT];
    int32_t right[2];
    train_classifier(false, whole, &right[0]);
    train_classifier(true, halves, &right[1]);
    for (int i = 0; i < COUNT; i++) assert_near((double)halves[i], (double)whole[i], "weight");
    assert_int_equal(right[0], right[1]);
}

/* What is counted: nothing, or what be_graph_count names, before or after be_graph_minimize. */
static void what_is_named_is_counted(void **state)
{
    (void)state;
    be_error err;
    be_device *device = open_cpu();
    for (int when = 0; when < 3; when++) {
        be_graph *g = be_graph_new(1);
        be_value right = be_input(g, "right", (be_shape){BE_I32, 1, {1}});
        be_value p = be_parameter_add(g, "p", scalar, (be_start){BE_CONSTANT, 1.0f});
        if (when == 1) be_graph_count(g, right, "retrieval at 1");
        be_graph_minimize(g, be_multiply(g, p, p), &sgd);
        if (when == 2) be_graph_count(g, right, "retrieval at 1");
        be_plan *plan = plan_for(g, device, BE_NONE);
        int32_t found = -1;
        float loss = 0;
        ASSERT_OK(be_plan_write(plan, right, &(int32_t){7}, 4, &err));
        ASSERT_OK(be_plan_run(plan, 2, &err));
        ASSERT_OK(be_plan_losses(plan, 1, &loss, &found, &err));
        assert_int_equal(found, when == 0 ? 0 : 7);
        assert_string_equal(be_plan_describe(plan).counted, when == 0 ? "" : "retrieval at 1");
        assert_near((double)loss, 0.0, "loss"); /* p − 0.5 · 2 p = 0 after one step */
        be_plan_free(plan);
        be_graph_free(g);
    }
    be_device_close(device);
}

static void loss_of_rows(be_graph *g)
{
    be_value p = be_parameter_add(g, "p", row, (be_start){BE_CONSTANT, 1.0f});
    be_graph_minimize(g, p, &sgd);
}
static void count_of_floats(be_graph *g)
{
    be_graph_count(g, be_parameter_add(g, "p", scalar, (be_start){BE_CONSTANT, 1.0f}), "p");
}
static void count_without_a_name(be_graph *g)
{
    be_graph_count(g, be_input(g, "n", (be_shape){BE_I32, 1, {1}}), "");
}
static void spread_below_zero(be_graph *g)
{
    be_parameter_add(g, "p", row, (be_start){BE_NORMAL, -1.0f});
}
static void start_nan(be_graph *g)
{
    be_parameter_add(g, "p", row, (be_start){BE_CONSTANT, NAN});
}
static void parameter_of_integers(be_graph *g)
{
    be_parameter_add(g, "p", (be_shape){BE_I32, 1, {3}}, (be_start){BE_CONSTANT, 1.0f});
}
static void view_of_too_few(be_graph *g)
{
    be_view(g, be_input(g, "x", table), row);
}
static void add_of_another_size(be_graph *g)
{
    be_add(g, be_input(g, "x", table), be_input(g, "b", (be_shape){BE_F32, 1, {2}}));
}
static void sum_to_something_else(be_graph *g)
{
    be_sum_to(g, be_input(g, "x", table), (be_shape){BE_F32, 1, {ROWS}});
}

static void no_such_activation(be_graph *g)
{
    be_activate(g, be_input(g, "x", table), (be_activation)99);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        void (*make)(be_graph *);
        const char *first, *second;
    } mistakes[] = {
        {loss_of_rows, "expected a loss f32 [1]", "found f32 [3]"},
        {count_of_floats, "expected a count i32 [1]", "found f32 [1]"},
        {count_without_a_name, "what is counted", "found no name"},
        {spread_below_zero, "parameter \"p\"", "kind 1 with -1"},
        {start_nan, "parameter \"p\"", "nan"},
        {parameter_of_integers, "expected f32", "i32 [3]"},
        {view_of_too_few, "as many elements as f32 [4, 3]", "found f32 [3]"},
        {add_of_another_size, "add: b", "found f32 [2]"},
        {no_such_activation, "be_activate", "found 99"},
        {sum_to_something_else, "sum_to", "found f32 [4]"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        be_error err = {0};
        be_graph *g = be_graph_new(1);
        mistakes[i].make(g);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, mistakes[i].first, mistakes[i].second);
        be_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_parts_are_right),
        cmocka_unit_test(a_view_is_no_launch),
        cmocka_unit_test(a_picture_may_be_a_parameter),
        cmocka_unit_test(the_reference_trains_alike),
        cmocka_unit_test(starts_are_what_they_say),
        cmocka_unit_test(a_loss_may_be_a_part_of_the_loss),
        cmocka_unit_test(what_is_named_is_counted),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
