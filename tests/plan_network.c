/* See plan_network.h. */
#include "plan_network.h"

#include "core/rng.h"

const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.25f};
const be_optimizer adam = {.kind = BE_ADAM, .learning_rate = 0.01};

network network_new(uint64_t seed, const be_optimizer *optimizer, float dropout)
{
    be_error err;
    network n = {.graph = be_graph_new(seed)};
    n.x = be_input(n.graph, "x", (be_shape){BE_F32, 2, {ROWS, FEATURES}});
    n.target = be_input(n.graph, "target", (be_shape){BE_I32, 1, {ROWS}});
    n.before = be_linear(n.graph, n.x, &(be_linear_options){"a", .features = HIDDEN});
    n.hidden = be_relu(n.graph, n.before);
    be_value dropped = dropout > 0.0f ? be_dropout(n.graph, n.hidden, dropout) : n.hidden;
    n.logits = be_linear(n.graph, dropped, &(be_linear_options){"b", .features = CLASSES});
    n.loss = be_softmax_cross_entropy(n.graph, n.logits, n.target);
    be_graph_minimize(n.graph, n.loss, optimizer);
    ASSERT_OK(be_graph_check(n.graph, &err));
    rng r = {.key = {.seed = 3, .stream = RNG_TEST}};
    for (int i = 0; i < ROWS * FEATURES; i++) n.data[i] = 2.0f * rng_next_uniform(&r) - 1.0f;
    for (int i = 0; i < ROWS; i++) n.classes[i] = i % CLASSES;
    return n;
}

be_device *cpu(int threads)
{
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = threads}, &device, &err));
    return device;
}

be_plan *plan_of(const network *n, be_device *device, const be_plan_options *options)
{
    be_error err;
    be_plan *plan = NULL;
    ASSERT_OK(be_plan_new(n->graph, device, options, &plan, &err));
    return plan;
}

void write_inputs(const network *n, be_plan *plan)
{
    be_error err;
    ASSERT_OK(be_plan_write(plan, n->x, n->data, sizeof n->data, &err));
    ASSERT_OK(be_plan_write(plan, n->target, n->classes, sizeof n->classes, &err));
}

be_plan *ready_plan(const network *n, be_device *device, const be_plan_options *options)
{
    be_plan *plan = plan_of(n, device, options);
    write_inputs(n, plan);
    return plan;
}

const be_plan_options train = {.mode = BE_TRAIN}, infer = {.mode = BE_INFER};

void run(be_plan *plan, int64_t steps)
{
    be_error err;
    ASSERT_OK(be_plan_run(plan, steps, &err));
}

void read_weight(be_plan *plan, float out[A_WEIGHT])
{
    be_error err;
    be_parameter p = be_plan_parameter(plan, 0);
    assert_string_equal(p.name, "a.weight");
    ASSERT_OK(be_plan_read(plan, p.value, out, A_WEIGHT * sizeof(float), &err));
}
