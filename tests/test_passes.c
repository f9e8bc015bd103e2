/* Tests of the passes between a user's graph and one that runs.  They use ops of their own where it
 * matters, so that each pass is tested without any kernel. */
#include "graph_fixture.h"

#include "graph/passes.h"
#include "group/group.h"
#include "ops/matmul/linear.h"

/* Ops of the tests. */

static be_status pair_infer(op_infer *call, be_error *err)
{
    TRY(same_infer(call, err));
    call->out[1] = call->in[0];
    return BE_OK;
}

/* head and tail are one op where the device has `both`, which also gives a second output. */
static bool head_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                        const void *device);

static const be_op op_tail = {
    .name = "tail", .inputs = 2, .outputs = 1, .optional = 2, .infer = same_infer, .cost = no_cost};
static const be_op op_both = {
    .name = "both", .inputs = 1, .outputs = 2, .infer = pair_infer, .cost = no_cost};
static const be_op op_head = {.name = "head",
                              .inputs = 1,
                              .outputs = 1,
                              .infer = same_infer,
                              .cost = no_cost,
                              .absorb = head_absorb};
static const be_op op_train = {.name = "train only",
                               .inputs = 1,
                               .outputs = 1,
                               .inferring = &op_passed_through,
                               .infer = same_infer,
                               .cost = no_cost};
static bool head_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                        const void *device)
{
    if (next->op != &op_tail || !has(device, g, node, &op_both)) return false;
    node->op = &op_both;
    return true;
}

/* Fusion. */

static bool has_all(const void *device, const be_graph *g, const graph_node *node, const be_op *op)
{
    (void)device, (void)g, (void)node, (void)op;
    return true;
}

static bool has_none(const void *device, const be_graph *g, const graph_node *node, const be_op *op)
{
    (void)device, (void)g, (void)node, (void)op;
    return false;
}

typedef struct fusion {
    bool two_users, second_input, keep_head, keep_tail, no_fusion, device_lacks_it;
    bool expected;
} fusion;

static void check_fusion(const fusion *f)
{
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value h = add(g, &op_head, x, BE_NONE);
    be_value y = f->second_input ? add(g, &op_tail, x, h) : add(g, &op_tail, h, BE_NONE);
    if (f->two_users) add(g, &op_tail, h, BE_NONE);
    be_plan_options options = {.mode = BE_INFER, .no_fusion = f->no_fusion};
    be_value keep = f->keep_head ? h : y;
    options.keep = &keep;
    options.keep_count = f->keep_head || f->keep_tail;
    lower_target target = {.has = f->device_lacks_it ? has_none : has_all};
    be_graph *lowered = lower(g, &options, &target);
    check_order(lowered);
    assert_int_equal(count_op(lowered, &op_both), f->expected);
    assert_int_equal(count_op(lowered, &op_head), !f->expected);
    assert_int_equal(count_op(g, &op_both), 0); /* the user's graph stays as it is */
    if (f->expected) {
        const graph_node *node = &lowered->nodes[0];
        assert_int_equal(lowered->node_count, 1);
        assert_int_equal(node->out[0], y);
        assert_true(node->out[1] != BE_NONE); /* the output that it gained */
        assert_int_equal(lowered->values[node->out[1]].producer, 0);
        assert_int_equal(lowered->values[h].producer, -1);
    }
    be_graph_free(lowered);
    be_graph_free(g);
}

static void fusion_keeps_what_is_still_needed(void **state)
{
    (void)state;
    static const fusion cases[] = {
        {.expected = true},        {.keep_tail = true, .expected = true},
        {.keep_head = true},       {.two_users = true},
        {.second_input = true},    {.no_fusion = true},
        {.device_lacks_it = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_fusion(&cases[i]);
}

/* `pair` takes over the second input of `joins`, which may be made only behind it. */
static bool pair_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                        const void *device);

static const be_op op_joins = {
    .name = "joins", .inputs = 2, .outputs = 1, .infer = same_infer, .cost = no_cost};
static const be_op op_pair = {.name = "pair",
                              .inputs = 2,
                              .outputs = 1,
                              .optional = 2,
                              .infer = same_infer,
                              .cost = no_cost,
                              .absorb = pair_absorb};

static bool pair_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                        const void *device)
{
    (void)g, (void)has, (void)device;
    if (next->op != &op_joins || node->in[1] != BE_NONE) return false;
    node->in[1] = next->in[1];
    return true;
}

static void fusion_reads_nothing_that_is_not_made_yet(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        be_value x, early = BE_NONE;
        be_graph *g = graph_of_rows(&x);
        if (!is_late) early = add(g, &op_train, x, BE_NONE);
        be_value h = add(g, &op_pair, x, BE_NONE);
        be_value second = is_late ? add(g, &op_train, x, BE_NONE) : early;
        add(g, &op_joins, h, second);
        be_error err;
        ASSERT_OK(pass_fusion(g, &(lower_target){.has = has_all}, &err));
        check_order(g);
        assert_int_equal(count_op(g, &op_joins), is_late);
        be_graph_free(g);
    }
}

/* What was fused lies where it was fused to: a fusion behind it may read it. */
static void a_fused_value_is_made_where_it_was_fused(void **state)
{
    (void)state;
    be_error err;
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value h = add(g, &op_head, x, BE_NONE), p = add(g, &op_pair, x, BE_NONE);
    be_value y = add(g, &op_tail, h, BE_NONE);
    add(g, &op_joins, p, y);
    ASSERT_OK(pass_fusion(g, &(lower_target){.has = has_all}, &err));
    check_order(g);
    assert_int_equal(g->node_count, 2);
    be_graph_free(g);
}

static void a_chain_of_fusions_is_followed(void **state)
{
    (void)state;
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value y = x;
    for (int i = 0; i < 5; i++) y = add(g, &op_tail, add(g, &op_head, y, BE_NONE), BE_NONE);
    lower_target target = {.has = has_all};
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_INFER}, &target);
    check_order(lowered);
    assert_int_equal(lowered->node_count, 5);
    assert_int_equal(count_op(lowered, &op_both), 5);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void inference_passes_through_what_only_trains(void **state)
{
    (void)state;
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value h = add(g, &op_head, x, BE_NONE);
    be_value dropped = add(g, &op_train, add(g, &op_train, h, BE_NONE), BE_NONE);
    be_value y = add(g, &op_tail, dropped, dropped);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_INFER, .no_fusion = 1}, NULL);
    check_order(lowered);
    assert_int_equal(lowered->node_count, 2);
    assert_int_equal(lowered->nodes[1].in[0], h);
    assert_int_equal(lowered->nodes[1].in[1], h);
    assert_int_equal(lowered->nodes[1].out[0], y);
    be_graph_free(lowered);
    be_error err;
    ASSERT_FAILS(
        graph_lower(g, &(be_plan_options){.mode = BE_INFER, .keep = &dropped, .keep_count = 1},
                    &(lower_target){0}, &lowered, &err),
        BE_USAGE, "keep", "train only", "keep its input");
    be_graph_free(g);
}

/* An op whose other half, without the last input and output, is used when inferring. */
static const be_op op_half = {
    .name = "half", .inputs = 1, .outputs = 1, .infer = same_infer, .cost = no_cost};
static const be_op op_whole = {.name = "whole",
                               .inputs = 2,
                               .outputs = 2,
                               .inferring = &op_half,
                               .infer = pair_infer,
                               .cost = no_cost};

static void inference_takes_the_other_half_of_an_op(void **state)
{
    (void)state;
    be_error err;
    for (int is_read = 0; is_read < 2; is_read++) {
        be_value x, out[OP_MAX_OUT];
        be_graph *g = graph_of_rows(&x), *lowered = NULL;
        be_value h = add(g, &op_head, x, BE_NONE);
        graph_build(g, &op_whole, NULL, (be_value[OP_MAX_IN]){x, h}, out);
        be_value y = add(g, &op_tail, out[is_read], BE_NONE);
        be_plan_options infer = {.mode = BE_INFER};
        be_status status = graph_lower(g, &infer, &(lower_target){0}, &lowered, &err);
        if (is_read) {
            ASSERT_FAILS(status, BE_USAGE, "op whole has no output 1 when inferring",
                         "another op reads it", "use another output");
        } else {
            ASSERT_OK(status);
            check_order(lowered);
            assert_int_equal(count_op(lowered, &op_whole), 0);
            assert_ptr_equal(lowered->nodes[1].op, &op_half);
            assert_int_equal(lowered->nodes[1].in[1], BE_NONE);
            assert_int_equal(lowered->nodes[1].out[1], BE_NONE);
            assert_int_equal(lowered->nodes[2].in[0], out[0]);
            assert_int_equal(lowered->nodes[2].out[0], y);
        }
        be_graph_free(lowered);
        be_graph_free(g);
    }
}

static void keep_names_values_of_the_graph(void **state)
{
    (void)state;
    be_error err;
    be_value x, wrong[] = {0, 99};
    be_graph *g = graph_of_rows(&x), *lowered = NULL;
    be_plan_options options = {.mode = BE_INFER, .keep = wrong, .keep_count = 2};
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE, "keep",
                 "value 99", "not in this graph");
    wrong[1] = BE_NONE;
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE, "keep",
                 "value -1");
    assert_null(lowered);
    be_graph_free(g);
}

/* Gradients. */

static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1f, .momentum = 0.9f};

/* A hidden layer whose output has two users, and weights that two nodes share. */
static be_graph *branching_graph(be_value *hidden, be_value *weight)
{
    be_value x, out[OP_MAX_OUT];
    be_graph *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    *hidden = be_relu(g, be_linear(g, x, &(be_linear_options){"in", .features = 6}));
    be_value a = be_linear(g, *hidden, &(be_linear_options){"a", .features = 3});
    *weight = be_value_find(g, "a.weight");
    size_t layer = g->node_count - 1;
    be_value in[OP_MAX_IN] = {be_relu(g, *hidden), *weight, BE_NONE};
    be_value b = graph_build(g, g->nodes[layer].op, g->nodes[layer].attrs, in, out);
    be_value loss = be_softmax_cross_entropy(g, add(g, &be_op_add, a, b), target);
    be_graph_minimize(g, loss, &sgd);
    return g;
}

static int nodes_making(const be_graph *g, be_value value)
{
    int count = 0;
    for (size_t n = 0; n < g->node_count; n++)
        for (int o = 0; o < OP_MAX_OUT; o++) count += g->nodes[n].out[o] == value;
    return count;
}

static void gradients_of_several_users_are_added(void **state)
{
    (void)state;
    be_value hidden, weight;
    be_graph *g = branching_graph(&hidden, &weight);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    check_order(lowered);
    /* One addition of the user and one for the weight; that for the hidden value is part of the
     * node that makes the second of its gradients. */
    assert_int_equal(count_op(lowered, &be_op_add), 2);
    int producer = lowered->values[lowered->lowered.gradient_of[hidden]].producer;
    assert_ptr_equal(lowered->nodes[producer].op, &be_op_linear_backward);
    assert_int_equal(lowered->values[lowered->nodes[producer].out[0]].alias_of,
                     lowered->nodes[producer].in[LINEAR_BACK_SUM]);
    producer = lowered->values[lowered->lowered.gradient_of[weight]].producer;
    assert_ptr_equal(lowered->nodes[producer].op, &be_op_add);
    assert_int_not_equal(lowered->nodes[producer].in[0], lowered->nodes[producer].in[1]);
    for (int i = 0; i < 2; i++) /* the two parts themselves do not lie in the block */
        assert_int_equal(lowered->values[lowered->nodes[producer].in[i]].alias_of, BE_NONE);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void parameters_and_gradients_lie_side_by_side(void **state)
{
    (void)state;
    be_value hidden, weight;
    be_graph *g = branching_graph(&hidden, &weight);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    const graph_value *block = &lowered->values[lowered->lowered.parameters];
    size_t end = 0, block_bytes = value_bytes(block);
    int parameters = 0;
    assert_int_equal(value_bytes(&lowered->values[lowered->lowered.gradients]), block_bytes);
    assert_int_equal(value_bytes(&lowered->values[lowered->lowered.slot[0]]), block_bytes);
    assert_string_equal(lowered->values[lowered->lowered.slot[0]].name, "momentum");
    for (size_t i = 0; i < lowered->value_count; i++) {
        const graph_value *value = &lowered->values[i];
        if (value->kind != VALUE_PARAMETER) continue;
        parameters++;
        const graph_value *gradient = &lowered->values[lowered->lowered.gradient_of[i]];
        assert_int_equal(value->alias_of, lowered->lowered.parameters);
        assert_int_equal(gradient->alias_of, lowered->lowered.gradients);
        assert_int_equal(gradient->alias_bytes, value->alias_bytes);
        assert_true(shape_equal(&gradient->shape, &value->shape));
        assert_int_equal(nodes_making(lowered, lowered->lowered.gradient_of[i]), 1);
        assert_int_equal(value->alias_bytes % 64, 0);
        assert_true(value->alias_bytes >= end);
        end = value->alias_bytes + value_bytes(value);
        assert_true(end <= block_bytes);
    }
    assert_int_equal(parameters, 4);
    /* The optimizer reads both blocks, behind all gradients; then the step ends. */
    const graph_node *last = &lowered->nodes[lowered->node_count - 1], *update = last - 1;
    assert_ptr_equal(update->op, lowered->recipe.optimizer);
    assert_int_equal(update->in[0], lowered->lowered.parameters);
    assert_int_equal(update->in[1], lowered->lowered.gradients);
    assert_ptr_equal(last->op, lowered->recipe.advance);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void gradients_are_asked_only_where_needed(void **state)
{
    (void)state;
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value h = be_relu(g, x); /* no parameter before it: no gradient through it */
    be_value loss = be_softmax_cross_entropy(
        g, be_linear(g, h, &(be_linear_options){"fc", .features = 3}), target);
    be_graph_minimize(g, loss, &sgd);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    assert_int_equal(lowered->lowered.gradient_of[x], BE_NONE);
    assert_int_equal(lowered->lowered.gradient_of[h], BE_NONE);
    assert_int_equal(count_op(lowered, &be_op_relu_backward), 0);
    be_graph_free(lowered);
    be_graph_free(g);
}

/* Ops of which one has no gradient, and one leaves out that of its second input. */
static be_status forgetful_gradient(op_gradient *call, be_error *err)
{
    (void)err;
    call->dx[0] = call->dy[0];
    return BE_OK;
}

static const be_op op_blind = {.name = "blind",
                               .inputs = 2,
                               .outputs = 1,
                               .optional = 2,
                               .infer = same_infer,
                               .cost = no_cost};
static const be_op op_forgetful = {.name = "forgetful",
                                   .inputs = 2,
                                   .outputs = 1,
                                   .optional = 2,
                                   .infer = same_infer,
                                   .gradient = forgetful_gradient,
                                   .cost = no_cost};

/* x -> linear "first" -> `op`, as its second input if so said -> linear "last" -> loss */
static be_graph *graph_through(const be_op *op, bool second)
{
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value h = be_linear(g, x, &(be_linear_options){"first", .features = 5});
    h = second ? add(g, op, x, h) : add(g, op, h, BE_NONE);
    be_graph_minimize(g,
                      be_softmax_cross_entropy(
                          g, be_linear(g, h, &(be_linear_options){"last", .features = 3}), target),
                      &sgd);
    return g;
}

static void a_way_without_gradient_is_refused(void **state)
{
    (void)state;
    be_error err;
    be_graph *lowered = NULL, *g = graph_through(&op_blind, false);
    be_plan_options options = {.mode = BE_TRAIN};
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "op blind has no gradient", "input 0");
    be_graph_free(g);
    g = graph_through(&op_forgetful, true);
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "op forgetful gives no gradient", "input 1");
    be_graph_free(g);
    /* Where nothing trained comes in, both may stand. */
    be_value x;
    g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value h = add(g, &op_blind, x, BE_NONE);
    h = add(g, &op_forgetful, be_linear(g, h, &(be_linear_options){"first", .features = 5}), h);
    be_graph_minimize(g, be_softmax_cross_entropy(g, h, target), &sgd);
    be_graph_free(lower(g, &options, NULL));
    be_graph_free(g);
}

static void nothing_flows_back_through_an_auxiliary_output(void **state)
{
    (void)state;
    be_error err;
    be_value x, out[OP_MAX_OUT];
    be_graph *lowered = NULL, *g = graph_of_rows(&x);
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value in[OP_MAX_IN] = {be_linear(g, x, &(be_linear_options){"first", .features = 5}),
                              target};
    graph_build(g, &be_op_softmax_cross_entropy, NULL, in, out);
    be_graph_minimize(g, be_softmax_cross_entropy(g, out[2], target), &sgd);
    ASSERT_FAILS(
        graph_lower(g, &(be_plan_options){.mode = BE_TRAIN}, &(lower_target){0}, &lowered, &err),
        BE_USAGE, "softmax_cross_entropy", "output 2");
    be_graph_free(g);
}

static void training_without_its_parts_is_refused(void **state)
{
    (void)state;
    be_error err;
    be_value x, target;
    be_graph *lowered = NULL, *g = graph_of_rows(&x);
    be_plan_options options = {.mode = BE_TRAIN};
    target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_value loss = be_softmax_cross_entropy(g, x, target);
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "training needs", "be_graph_minimize");
    be_graph_minimize(g, loss, &sgd);
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "needs parameters", "add a layer");
    be_graph_free(g);

    g = graph_of_rows(&x);
    target = be_input(g, "target", shape_make(BE_I32, 1, 4, 0, 0, 0));
    be_linear(g, x, &(be_linear_options){"idle", .features = 3});
    loss = be_softmax_cross_entropy(g, be_linear(g, x, &(be_linear_options){"fc", .features = 3}),
                                    target);
    be_graph_minimize(g, loss, &sgd);
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "parameter idle.weight", "does not act on the loss");
    be_graph_free(g);

    g = be_graph_new(1);
    be_input(g, "bad", shape_make(BE_F32, 1, 0, 0, 0, 0));
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE, "bad",
                 "at least 1");
    be_graph_free(g);
    assert_null(lowered);
}

/* The clock is the graph's, not whatever bears its name. */
static void an_input_is_no_clock(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "clock", shape_make(BE_I32, 1, 1, 0, 0, 0));
    assert_int_equal(graph_clock(g), BE_NONE);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "two values are named \"clock\"");
    assert_int_equal(x, 0);
    be_graph_free(g);
}

/* Groups. */

static be_graph *large_network(void)
{
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 2, 4096, 0, 0));
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 2, 0, 0, 0));
    x = be_dropout(g, be_linear(g, x, &(be_linear_options){"fc1", .features = 2048}), 0.5f);
    x = be_linear(g, x, &(be_linear_options){"fc2", .features = 1024});
    be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1, .max_gradient_norm = 1};
    be_graph_minimize(g, be_softmax_cross_entropy(g, x, target), &sgd);
    return g;
}

/* All gradients once, those of the last layers first, before they are clipped. */
static void gradients_are_reduced_in_buckets(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    be_graph *g = large_network();
    ASSERT_OK(group_of_threads(2, groups, &err));
    be_plan_options options = {.mode = BE_TRAIN, .group = groups[1]};
    be_graph *lowered = lower(g, &options, NULL);
    size_t end = value_bytes(&lowered->values[lowered->lowered.gradients]);
    assert_true(end > sizeof(float) * 2 * (4 << 20));
    int clip = -1, buckets = 0;
    for (int n = (int)lowered->node_count - 1; n >= 0; n--)
        if (lowered->nodes[n].op == &be_op_clip_gradients) clip = n;
    for (int n = 0; n < clip; n++) {
        if (lowered->nodes[n].op != &be_op_all_reduce) continue;
        size_t offset = 0;
        be_value bucket = lowered->nodes[n].in[0];
        assert_int_equal(graph_root(lowered, bucket, &offset), lowered->lowered.gradients);
        assert_int_equal(offset + value_bytes(&lowered->values[bucket]), end);
        end = offset;
        buckets++;
    }
    assert_int_equal(end, 0);
    assert_int_equal(buckets, 3);
    assert_int_equal(count_op(lowered, &be_op_all_reduce), buckets);
    check_order(lowered);
    be_graph_free(lowered);
    options.group = NULL;
    lowered = lower(g, &options, NULL);
    assert_int_equal(count_op(lowered, &be_op_all_reduce), 0);
    be_graph_free(lowered);
    /* What does not decay is of all layers: it goes last, whatever its place. */
    be_parameter_no_decay(g, be_value_find(g, "fc2.bias"));
    be_parameter_no_decay(g, be_value_find(g, "fc1.bias"));
    options.group = groups[1];
    lowered = lower(g, &options, NULL);
    size_t last = 0, offset = 0;
    for (size_t n = 0; n < lowered->node_count; n++)
        if (lowered->nodes[n].op == &be_op_all_reduce) last = n;
    assert_int_equal(count_op(lowered, &be_op_all_reduce), 4);
    graph_root(lowered, lowered->nodes[last].in[0], &offset);
    assert_int_equal(offset, sizeof(float) * (size_t)lowered->lowered.decayed);
    graph_root(lowered, lowered->nodes[last - 1].in[0], &offset);
    assert_int_equal(offset, 0);
    be_graph_free(lowered);
    options.group = NULL;
    be_value rows = be_parameter_add(g, "rows", (be_shape){BE_F32, 2, {3, 5}}, (be_start){0});
    assert_int_equal(be_all_gather(g, rows, NULL), rows);
    assert_int_equal(be_value_shape(g, be_all_gather(g, rows, groups[1])).dim[0], 6);
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "gathers rows of a group's ranks: expected that group, found none");
    options = (be_plan_options){.mode = BE_INFER, .group = groups[1]};
    ASSERT_FAILS(graph_lower(g, &options, &(lower_target){0}, &lowered, &err), BE_USAGE,
                 "no gradients to share");
    be_graph_free(g);
    for (int r = 0; r < 2; r++) be_group_close(groups[r]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fusion_keeps_what_is_still_needed),
        cmocka_unit_test(fusion_reads_nothing_that_is_not_made_yet),
        cmocka_unit_test(a_fused_value_is_made_where_it_was_fused),
        cmocka_unit_test(a_chain_of_fusions_is_followed),
        cmocka_unit_test(inference_passes_through_what_only_trains),
        cmocka_unit_test(an_input_is_no_clock),
        cmocka_unit_test(inference_takes_the_other_half_of_an_op),
        cmocka_unit_test(keep_names_values_of_the_graph),
        cmocka_unit_test(gradients_of_several_users_are_added),
        cmocka_unit_test(parameters_and_gradients_lie_side_by_side),
        cmocka_unit_test(gradients_are_asked_only_where_needed),
        cmocka_unit_test(a_way_without_gradient_is_refused),
        cmocka_unit_test(nothing_flows_back_through_an_auxiliary_output),
        cmocka_unit_test(training_without_its_parts_is_refused),
        cmocka_unit_test(gradients_are_reduced_in_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
