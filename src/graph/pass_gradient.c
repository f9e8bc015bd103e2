/* The backward part of a graph: the gradients of its nodes, in reverse order, the block in which
 * those of the parameters lie, and behind it what is done with them: clipping, and the optimizer.
 */
#include <stdio.h>

#include "graph/passes.h"
#include "graph/schedule.h"

/* The values that a parameter acts on.  Through an op without a gradient too: backward_node refuses
 * such a way where it leads to the loss. */
static void mark_needs(const be_graph *g, bool *need)
{
    for (size_t i = 0; i < g->value_count; i++) need[i] = graph_is_weight(g, (be_value)i);
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        bool any = false;
        for (int i = 0; i < node->op->inputs; i++)
            any |= node->in[i] != BE_NONE && need[node->in[i]];
        for (int o = 0; o < node->op->outputs; o++)
            if (any && node->out[o] != BE_NONE &&
                dtype_is_real(g->values[node->out[o]].shape.dtype))
                need[node->out[o]] = true;
    }
}

typedef struct name_text {
    char text[80];
} name_text;

/* ' "NAME"', or nothing for a value without a name. */
static name_text quoted_name(const be_graph *g, be_value value)
{
    name_text quoted = {""};
    const char *name = g->values[value].name;
    if (*name) snprintf(quoted.text, sizeof quoted.text, " \"%s\"", name);
    return quoted;
}

/* Refuse a node through which parameters act on the loss and no gradient can come back. */
static be_status check_way(const op_gradient *call, bool *is_needed, be_error *err)
{
    const graph_node *node = call->node;
    int input = 0;
    while (input < OP_MAX_IN && !call->need[input]) input++;
    if (input == OP_MAX_IN) *is_needed = false;
    if (!*is_needed) return BE_OK;
    if (!node->op->gradient)
        FAIL(err, BE_USAGE,
             "op %s has no gradient, and parameters act on the loss through its input %d%s; take "
             "it out of the way from the parameters to the loss",
             node->op->name, input, quoted_name(call->graph, node->in[input]).text);
    for (int o = 0; o < node->op->outputs; o++)
        if (node->op->auxiliary >> o & 1 && call->dy[o] != BE_NONE)
            FAIL(err, BE_USAGE,
                 "op %s: no gradient flows back through its output %d, and parameters act on the "
                 "loss through it; use another output",
                 node->op->name, o);
    return BE_OK;
}

/* The gradient that the op's function gave for an input that needs one. */
static be_status check_dx(const op_gradient *call, int input, be_error *err)
{
    const be_graph *g = call->graph;
    be_value x = call->node->in[input], dx = call->dx[input];
    if (dx == BE_NONE)
        FAIL(err, BE_USAGE,
             "op %s gives no gradient for its input %d%s, through which parameters act on the "
             "loss; let nothing trained come in there",
             call->node->op->name, input, quoted_name(g, x).text);
    MUST(shape_equal(&g->values[x].shape, &g->values[dx].shape));
    return BE_OK;
}

/* The value in whose memory this one lies, or will lie where a view is no copy. */
static be_value memory_of(const be_graph *g, be_value value)
{
    for (;;) {
        const graph_value *v = &g->values[value];
        const graph_node *maker = v->producer < 0 ? NULL : &g->nodes[v->producer];
        if (v->alias_of != BE_NONE)
            value = v->alias_of;
        else if (maker && maker->op->view_of)
            value = maker->in[maker->op->view_of - 1];
        else
            return value;
    }
}

/* The gradient of `value` until now, if node `index` may add its own to it in place: it is a result
 * of the backward part, and no gradient that is still to be read lies in its memory. */
static be_value sum_to_add_to(const be_graph *g, size_t index, be_value value,
                              const be_value *gradient, size_t forward_values)
{
    be_value sum = value == BE_NONE ? BE_NONE : gradient[value];
    if (sum == BE_NONE) return BE_NONE;
    if (g->values[value].kind != VALUE_RESULT && g->values[value].kind != VALUE_PARAMETER)
        return BE_NONE;
    be_value memory = memory_of(g, sum);
    if (g->values[memory].kind != VALUE_RESULT || (size_t)memory < forward_values) return BE_NONE;
    for (size_t i = 0; i < forward_values; i++) {
        bool is_read = g->values[i].producer <= (int)index;
        if ((be_value)i != value && is_read && gradient[i] != BE_NONE &&
            memory_of(g, gradient[i]) == memory)
            return BE_NONE;
    }
    return sum;
}

/* Does the node that makes dx read the sum?  Only to add to it: what flows into a node lies in no
 * sum that it is given. */
static bool is_read_for(const be_graph *g, be_value dx, be_value sum)
{
    int maker = g->values[dx].producer;
    bool is_read = false;
    for (int i = 0; maker >= 0 && i < OP_MAX_IN; i++) is_read |= g->nodes[maker].in[i] == sum;
    return is_read;
}

static be_status backward_node(be_graph *g, size_t index, const bool *need, be_value *gradient,
                               size_t forward_values, be_error *err)
{
    graph_node node = g->nodes[index];
    bool is_root = g->recipe.seeded == BE_NONE && node.out[0] == g->recipe.loss;
    op_gradient call = {.graph = g, .node = &node, .is_root = is_root};
    bool is_needed = call.is_root;
    for (int o = 0; o < OP_MAX_OUT; o++) {
        call.dy[o] = node.out[o] == BE_NONE ? BE_NONE : gradient[node.out[o]];
        is_needed |= call.dy[o] != BE_NONE;
    }
    for (int i = 0; i < OP_MAX_IN; i++) {
        call.need[i] = node.in[i] != BE_NONE && need[node.in[i]];
        call.dx[i] = BE_NONE;
        call.sum[i] =
            call.need[i] ? sum_to_add_to(g, index, node.in[i], gradient, forward_values) : BE_NONE;
    }
    TRY(check_way(&call, &is_needed, err));
    if (!is_needed) return BE_OK;
    if (call.is_root && !node.op->makes_loss)
        TRY(graph_add_state(g, "gradient of the loss", shape_make(BE_F32, 1, 1, 0, 0, 0), 1.0f,
                            &call.dy[0], err));
    TRY(node.op->gradient(&call, err));
    for (int i = 0; i < node.op->inputs; i++) {
        if (!call.need[i]) continue;
        TRY(check_dx(&call, i, err));
        be_value *sum = &gradient[node.in[i]];
        bool is_added =
            call.sum[i] != BE_NONE && call.sum[i] == *sum && is_read_for(g, call.dx[i], *sum);
        if (*sum == BE_NONE || is_added) {
            *sum = call.dx[i];
            continue;
        }
        be_value pair[OP_MAX_IN] = {*sum, call.dx[i]}, sums[OP_MAX_OUT];
        TRY(graph_add_node(g, g->recipe.accumulate, NULL, pair, sums, err));
        *sum = sums[0];
    }
    return BE_OK;
}

/* A gradient of its own for a parameter: its gradient is that of another parameter too, or a
 * constant. */
static be_status copy_gradient(be_graph *g, const be_shape *shape, be_value *gradient,
                               be_error *err)
{
    be_value in[OP_MAX_IN] = {*gradient}, out[OP_MAX_OUT];
    MUST(g->recipe.copy->attrs_bytes == sizeof *shape);
    be_shape own = *shape;
    TRY(graph_add_node(g, g->recipe.copy, &own, in, out, err));
    *gradient = out[0];
    return BE_OK;
}

/* The value in whose memory a gradient lies to which several nodes have added: that of the first.
 */
static be_value first_sum(const be_graph *g, be_value gradient)
{
    for (bool is_moved = true; is_moved;) {
        const graph_node *maker =
            g->values[gradient].producer < 0 ? NULL : &g->nodes[g->values[gradient].producer];
        is_moved = false;
        for (int o = 0; maker && !is_moved && o < maker->op->outputs; o++) {
            is_moved = maker->out[o] == gradient && maker->op->updates[o] &&
                       g->values[gradient].alias_of != BE_NONE;
            if (is_moved) gradient = g->values[gradient].alias_of;
        }
    }
    return gradient;
}

/* The value as a part of which nodes read this parameter, or itself. */
static be_value read_as(const be_graph *g, be_value parameter)
{
    size_t at = g->values[parameter].alias_bytes;
    for (size_t i = 0; i < g->value_count; i++) {
        const graph_value *value = &g->values[i];
        if (value->kind == VALUE_JOINED && at >= value->alias_bytes &&
            at < value->alias_bytes + value_bytes(value))
            return (be_value)i;
    }
    return parameter;
}

/* The part of a parameter that lies behind or before others, of a gradient of all of them. */
static be_status name_part(be_graph *g, be_value parameter, be_error *err)
{
    graph_value part = {.name = "",
                        .shape = g->values[parameter].shape,
                        .kind = VALUE_STATE,
                        .alias_of = g->lowered.gradients,
                        .alias_bytes = g->values[parameter].alias_bytes,
                        .producer = -1};
    return graph_add_value(g, &part, &g->lowered.gradient_of[parameter], err);
}

/* Let each parameter's gradient lie in the gradient block, beside the parameter's place. */
static be_status place_gradients(be_graph *g, size_t count, be_error *err)
{
    be_shape block = g->values[g->lowered.parameters].shape;
    TRY(graph_add_state(g, "gradients", block, 0.0f, &g->lowered.gradients, err));
    for (size_t i = 0; i < count; i++) {
        const graph_value *parameter = &g->values[i];
        if (!graph_is_weight(g, (be_value)i)) continue;
        be_value whole = read_as(g, (be_value)i), gradient = g->lowered.gradient_of[whole];
        if (gradient == BE_NONE)
            FAIL(err, BE_USAGE,
                 "parameter %s does not act on the loss; take it out, or use its layer",
                 parameter->name);
        if (whole != (be_value)i) {
            TRY(name_part(g, (be_value)i, err));
            continue;
        }
        size_t at = parameter->alias_bytes;
        be_value first = first_sum(g, gradient);
        if (g->values[first].alias_of != BE_NONE || g->values[first].kind != VALUE_RESULT) {
            TRY(copy_gradient(g, &parameter->shape, &gradient, err));
            first = gradient;
        }
        g->lowered.gradient_of[i] = gradient;
        g->values[first].alias_of = g->lowered.gradients;
        g->values[first].alias_bytes = at;
    }
    return BE_OK;
}

/* Between the gradients and the optimizer. */
static be_status add_clip(be_graph *g, be_error *err)
{
    if (!g->recipe.clip) return BE_OK;
    TRY(graph_add_state(g, "gradient norm log", shape_make(BE_F32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                        &g->lowered.norm_log, err));
    TRY(graph_add_state(g, "clipping factor", shape_make(BE_F32, 1, 1, 0, 0, 0), 1.0f,
                        &g->lowered.clip_factor, err));
    be_value in[OP_MAX_IN] = {g->lowered.gradients, g->clock, g->lowered.norm_log,
                              g->lowered.clip_factor};
    return graph_add_node(g, g->recipe.clip, g->recipe.clip_attrs, in, NULL, err);
}

static be_status add_schedule(be_graph *g, be_error *err)
{
    if (!g->recipe.schedule) return BE_OK;
    int64_t count = schedule_last_step(&g->recipe.rates) + 1;
    TRY(graph_add_state(g, "learning rates", shape_make(BE_F32, 1, count, 0, 0, 0), 0.0f,
                        &g->lowered.rates, err));
    be_value in[OP_MAX_IN] = {g->clock, g->lowered.rates, g->lowered.rate};
    return graph_add_node(g, g->recipe.schedule, NULL, in, NULL, err);
}

/* A name for each parameter's part of a slot, so that files need not know the order of the block.
 */
static be_status name_slot(be_graph *g, int slot, be_error *err)
{
    void *memory = NULL;
    size_t count = g->value_count;
    TRY(arena_alloc(g->memory, &memory, count * sizeof(be_value), err));
    be_value *parts = g->lowered.slot_of[slot] = memory;
    for (size_t i = 0; i < count; i++) {
        parts[i] = BE_NONE;
        if (g->values[i].kind != VALUE_PARAMETER) continue;
        graph_value part = {.shape = g->values[i].shape,
                            .kind = VALUE_STATE,
                            .alias_of = g->lowered.slot[slot],
                            .alias_bytes = g->values[i].alias_bytes,
                            .producer = -1};
        TRY(arena_printf(g->memory, &part.name, err, "%s.%s", g->recipe.slot_name[slot],
                         g->values[i].name));
        TRY(graph_add_value(g, &part, &parts[i], err));
    }
    return BE_OK;
}

static be_status add_optimizer(be_graph *g, be_error *err)
{
    const graph_recipe *recipe = &g->recipe;
    be_shape block = g->values[g->lowered.parameters].shape;
    TRY(graph_add_state(g, "learning rate", shape_make(BE_F32, 1, 1, 0, 0, 0),
                        (float)recipe->learning_rate, &g->lowered.rate, err));
    TRY(add_schedule(g, err));
    TRY(add_clip(g, err));
    be_value in[OP_MAX_IN] = {g->lowered.parameters,
                              g->lowered.gradients,
                              g->lowered.rate,
                              g->clock,
                              BE_NONE,
                              BE_NONE,
                              BE_NONE,
                              BE_NONE};
    for (int s = 0; s < recipe->slots; s++) {
        TRY(graph_add_state(g, recipe->slot_name[s], block, 0.0f, &g->lowered.slot[s], err));
        TRY(name_slot(g, s, err));
        in[4 + s] = g->lowered.slot[s];
    }
    if (recipe->clip) in[recipe->clip_input] = g->lowered.clip_factor;
    recipe->set_decayed(recipe->optimizer_attrs, g->lowered.decayed);
    return graph_add_node(g, recipe->optimizer, recipe->optimizer_attrs, in, NULL, err);
}

be_status pass_gradient(be_graph *g, const be_plan_options *options, be_error *err)
{
    if (g->recipe.loss == BE_NONE || !(g->recipe.optimizer || g->recipe.no_update))
        FAIL(err, BE_USAGE, "training needs a loss and an optimizer: call be_graph_minimize");
    if (g->lowered.parameters == BE_NONE)
        FAIL(err, BE_USAGE, "training needs parameters, and this graph has none; add a layer");
    /* A node adds at most a few values, and gradients are asked for values of the forward part
     * only. */
    size_t forward_nodes = g->node_count, forward_values = g->value_count;
    void *need = NULL, *gradient = NULL;
    TRY(arena_alloc(g->memory, &need, forward_values * sizeof(bool), err));
    TRY(arena_alloc(g->memory, &gradient, forward_values * sizeof(be_value), err));
    g->lowered.gradient_of = gradient;
    for (size_t i = 0; i < forward_values; i++) g->lowered.gradient_of[i] = BE_NONE;
    if (g->recipe.seeded != BE_NONE) g->lowered.gradient_of[g->recipe.seeded] = g->recipe.seed;
    mark_needs(g, need);
    for (size_t n = forward_nodes; n-- > 0;)
        TRY(backward_node(g, n, need, g->lowered.gradient_of, forward_values, err));
    TRY(place_gradients(g, forward_values, err));
    TRY(pass_parts(g, options->group, err));
    TRY(pass_group(g, options, err));
    return g->recipe.no_update ? BE_OK : add_optimizer(g, err);
}
