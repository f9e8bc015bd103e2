/* Tests of parameter groups: the weight decay acts on some parameters and not on others, on the CPU
 * with every instruction set that this machine has and on the double reference, against formulas
 * written here once more. */
#include "isa_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/reference.h"
#include "optimizer_rule.h"

static void each_device(void (*check)(be_device *device))
{
    for (int i = 0; i < ISA_COUNT; i++) {
        be_device *device = isa_open(isas[i], 2);
        if (device) check(device);
        be_device_close(device);
    }
}

static void assert_near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: expected %.9g, found %.9g", what, expected, found);
}

/* A decay that is seen after a few steps. */
static const optimizer_rule rules[] = {
    {.options = {.kind = BE_SGD, .learning_rate = 0.3, .weight_decay = 0.5}},
    {.options = {.kind = BE_SGD, .learning_rate = 0.3, .momentum = 0.9, .weight_decay = 0.5}},
    {.options = {.kind = BE_ADAM, .learning_rate = 0.01, .weight_decay = 0.5},
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8},
    {.options = {.kind = BE_ADAMW, .learning_rate = 0.01, .weight_decay = 0.5},
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8},
};

#define STEPS 4

/* Two groups: "b" and "d" of four parameters do not decay, and lie between the others.  All have
 * the gradient that the formulas are told. */
#define GROUP_COUNT 4

typedef struct grouped {
    be_graph *graph;
    be_value parameter[GROUP_COUNT];
} grouped;

static const int64_t group_sizes[GROUP_COUNT] = {21, 5, 40000, 30007};

static grouped grouped_new(const be_optimizer *optimizer)
{
    static const char *const names[GROUP_COUNT] = {"a", "b", "c", "d"};
    be_error err;
    grouped n = {.graph = be_graph_new(3)};
    be_value loss = BE_NONE;
    for (int i = 0; i < GROUP_COUNT; i++) {
        be_shape shape = shape_make(BE_F32, 1, group_sizes[i], 0, 0, 0);
        n.parameter[i] = be_parameter_add(n.graph, names[i], shape, (be_start){BE_UNIFORM, 1.0f});
        be_value part = be_mean(n.graph, be_scale(n.graph, n.parameter[i], (float)(i + 1)));
        loss = i ? be_add(n.graph, loss, part) : part;
    }
    be_parameter_no_decay(n.graph, n.parameter[1]);
    be_parameter_no_decay(n.graph, n.parameter[3]);
    be_graph_minimize(n.graph, loss, optimizer);
    ASSERT_OK(be_graph_check(n.graph, &err));
    return n;
}

static void read_group(be_plan *plan, const grouped *n, int i, float *out)
{
    be_error err;
    ASSERT_OK(
        be_plan_read(plan, n->parameter[i], out, (size_t)group_sizes[i] * sizeof(float), &err));
}

static void check_group(const optimizer_rule *r, const grouped *n, int i, be_plan *plan,
                        const float *start)
{
    be_error err;
    reference *reference = NULL;
    ASSERT_OK(reference_new(n->graph, &(be_plan_options){.mode = BE_TRAIN}, &reference, &err));
    ASSERT_OK(reference_run(reference, STEPS, &err));
    const double *meant = reference_data(reference, n->parameter[i]);
    float *found = malloc((size_t)group_sizes[i] * sizeof(float));
    read_group(plan, n, i, found);
    optimizer_rule own = *r;
    if (i % 2) own.options.weight_decay = 0.0;
    for (int64_t e = 0; e < group_sizes[i]; e++) {
        double p = (double)start[e], first = 0.0, second = 0.0;
        for (int step = 1; step <= STEPS; step++)
            optimizer_rule_apply(&own, step, (double)(i + 1) / (double)group_sizes[i], &p, &first,
                                 &second);
        assert_near((double)found[e], p, 5e-6, "a parameter of a group");
        assert_near(meant[e], p, 1e-6, "a parameter of a group of the reference");
    }
    free(found);
    reference_free(reference);
}

static void check_groups(be_device *device)
{
    be_error err;
    for (size_t k = 0; k < sizeof rules / sizeof rules[0]; k++) {
        grouped n = grouped_new(&rules[k].options);
        be_plan *plan = NULL;
        float *start[GROUP_COUNT];
        ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
        for (int i = 0; i < GROUP_COUNT; i++) {
            start[i] = malloc((size_t)group_sizes[i] * sizeof(float));
            read_group(plan, &n, i, start[i]);
        }
        ASSERT_OK(be_plan_run(plan, STEPS, &err));
        for (int i = 0; i < GROUP_COUNT; i++) {
            check_group(&rules[k], &n, i, plan, start[i]);
            free(start[i]);
        }
        be_plan_free(plan);
        be_graph_free(n.graph);
    }
}

static void a_group_without_decay_follows_its_formulas(void **state)
{
    (void)state;
    each_device(check_groups);
}

static void decay_is_a_parameters(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "pixels", shape_make(BE_F32, 1, 3, 0, 0, 0));
    be_parameter_no_decay(g, x);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "be_parameter_no_decay: expected a parameter",
                 "found value 0 pixels", "be_parameter_add");
    be_graph_free(g);
    g = be_graph_new(1);
    be_parameter_no_decay(g, 7);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "expected a parameter", "found value 7;");
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_without_decay_follows_its_formulas),
        cmocka_unit_test(decay_is_a_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
