/* Lowering: inference clean-up, fusion, the parameter block, gradients and optimizer, layouts. */
#include "graph/passes.h"

#include <stdio.h>
#include <string.h>

#include "graph/schedule.h"

static void replace_uses(be_graph *g, be_value from, be_value to)
{
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++)
            if (g->nodes[n].in[i] == from) g->nodes[n].in[i] = to;
}

const be_op op_passed_through = {.name = "passed through", .inputs = 1, .outputs = 1};

/* An output that is not there when inferring may not be kept or read. */
static be_status check_left_out(const be_graph *g, const graph_node *node, int output,
                                be_error *err)
{
    be_value value = node->out[output];
    if (g->values[value].keep)
        FAIL(err, BE_USAGE,
             "keep: value %d is made by op %s, which is left out when inferring; keep its input, "
             "value %d",
             (int)value, node->op->name, (int)node->in[0]);
    if (node->op->inferring != &op_passed_through && graph_use_count(g, value))
        FAIL(err, BE_USAGE,
             "op %s has no output %d when inferring, and another op reads it (value %d); use "
             "another output",
             node->op->name, output, (int)value);
    return BE_OK;
}

/* The node becomes another op, which has the first of its inputs and outputs. */
static be_status become(be_graph *g, size_t index, const be_op *op, be_error *err)
{
    graph_node *node = &g->nodes[index];
    MUST(op->attrs_bytes == node->op->attrs_bytes && op->inputs <= node->op->inputs);
    MUST(op->outputs >= 1 && op->outputs <= node->op->outputs);
    for (int o = op->outputs; o < OP_MAX_OUT; o++) {
        if (node->out[o] == BE_NONE) continue;
        TRY(check_left_out(g, node, o, err));
        node->out[o] = BE_NONE;
    }
    for (int i = op->inputs; i < OP_MAX_IN; i++) node->in[i] = BE_NONE;
    node->op = op;
    return graph_refresh_node(g, index, err);
}

be_status pass_inference(be_graph *g, be_error *err)
{
    for (size_t n = 0; n < g->node_count; n++) {
        graph_node *node = &g->nodes[n];
        if (!node->op->inferring) continue;
        if (node->op->inferring != &op_passed_through) {
            TRY(become(g, n, node->op->inferring, err));
            continue;
        }
        TRY(check_left_out(g, node, 0, err));
        replace_uses(g, node->out[0], node->in[0]);
        node->op = NULL;
    }
    graph_compact(g);
    return BE_OK;
}

/* The node that alone reads `value`, or −1 if there is none, or several, or it must stay readable.
 */
static int sole_user(const be_graph *g, be_value value)
{
    int found = -1;
    if (g->values[value].keep || graph_use_count(g, value) != 1) return -1;
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++)
            if (g->nodes[n].op && g->nodes[n].in[i] == value) found = (int)n;
    return found;
}

/* Is all that `next` reads, but its input 0, made before node n?  Fused into node n it is read
 * there.
 */
static bool is_ready_at(const be_graph *g, const graph_node *next, int n)
{
    for (int i = 1; i < OP_MAX_IN; i++)
        if (next->in[i] != BE_NONE && g->values[next->in[i]].producer >= n) return false;
    return true;
}

be_status pass_fusion(be_graph *g, const lower_target *target, be_error *err)
{
    if (!target->has) return BE_OK;
    for (size_t n = 0; n < g->node_count; n++) {
        for (;;) {
            graph_node *node = &g->nodes[n];
            if (!node->op || !node->op->absorb) break;
            int next = sole_user(g, node->out[0]);
            if (next < 0 || g->nodes[next].in[0] != node->out[0]) break;
            if (!is_ready_at(g, &g->nodes[next], (int)n)) break;
            if (!node->op->absorb(g, node, &g->nodes[next], target->has, target->has_of)) break;
            node->out[0] = g->nodes[next].out[0];
            g->values[node->out[0]].producer = (int)n;
            g->nodes[next].op = NULL;
            for (int i = 0; i < OP_MAX_IN; i++) g->nodes[next].in[i] = BE_NONE;
            TRY(graph_refresh_node(g, n, err));
        }
    }
    graph_compact(g);
    return BE_OK;
}

/* Who reads a buffer beside the node that updates it, or −1: before the update or behind it, which
 * says nobody. */
static int other_reader(const be_graph *g, be_value buffer, size_t updater)
{
    size_t offset;
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; n != updater && i < OP_MAX_IN; i++) {
            be_value in = g->nodes[n].in[i];
            if (in != BE_NONE && graph_root(g, in, &offset) == buffer) return (int)n;
        }
    return -1;
}

/* Buffers are updated while training alone, each by one op that alone reads it. */
static be_status check_buffers(const be_graph *g, be_mode mode, be_error *err)
{
    for (size_t n = 0; n < g->node_count; n++)
        for (int o = 0; o < OP_MAX_OUT; o++) {
            const graph_node *node = &g->nodes[n];
            size_t offset;
            if (!node->op->updates[o] || node->out[o] == BE_NONE) continue;
            be_value buffer = graph_root(g, node->out[o], &offset);
            if (g->values[buffer].kind != VALUE_BUFFER) continue;
            if (mode == BE_INFER)
                FAIL(err, BE_USAGE,
                     "op %s updates the buffer \"%s\", and inference changes no weights; plan for "
                     "training, or use an op that only reads it",
                     node->op->name, g->values[buffer].name);
            int reader = other_reader(g, buffer, n);
            if (reader >= 0)
                FAIL(err, BE_USAGE,
                     "op %s updates the buffer \"%s\", and op %s reads it too, before that or "
                     "after; let each have a buffer of its own",
                     node->op->name, g->values[buffer].name, g->nodes[reader].op->name);
        }
    return BE_OK;
}

static be_status add_state(be_graph *g, const char *name, be_shape shape, float constant,
                           be_value *out, be_error *err)
{
    return graph_add_value(g,
                           &(graph_value){.name = name,
                                          .shape = shape,
                                          .kind = VALUE_STATE,
                                          .start = {BE_CONSTANT, constant},
                                          .alias_of = BE_NONE,
                                          .producer = -1},
                           out, err);
}

#define PARAMETER_ALIGN 16 /* floats: a cache line, so that no two parameters share one */

/* Give the parameters with or without a decay, or the buffers, their places, from element `at` of
 * the block on; returns the end. */
static int64_t place_weights(be_graph *g, value_kind kind, bool no_decay, int64_t at)
{
    for (size_t i = 0; i < g->value_count; i++) {
        graph_value *value = &g->values[i];
        if (value->kind != kind || value->no_decay != no_decay) continue;
        value->alias_bytes = (size_t)at * sizeof(float);
        at += (shape_elements(&value->shape) + PARAMETER_ALIGN - 1) / PARAMETER_ALIGN *
              PARAMETER_ALIGN;
    }
    return at;
}

/* Those that decay come first, so that one number says where the decay ends; the buffers last, so
 * that the optimizer sees the parameters as one block. */
be_status pass_parameters(be_graph *g, be_error *err)
{
    size_t count = g->value_count;
    graph_lowered *lowered = &g->lowered;
    lowered->decayed = place_weights(g, VALUE_PARAMETER, false, 0);
    int64_t trained = place_weights(g, VALUE_PARAMETER, true, lowered->decayed);
    int64_t total = place_weights(g, VALUE_BUFFER, false, trained);
    if (total == 0) return BE_OK;
    TRY(add_state(g, "weights", shape_make(BE_F32, 1, total, 0, 0, 0), 0.0f, &lowered->weights,
                  err));
    if (trained > 0) {
        be_shape block = shape_make(BE_F32, 1, trained, 0, 0, 0);
        TRY(add_state(g, "parameters", block, 0.0f, &lowered->parameters, err));
        g->values[lowered->parameters].alias_of = lowered->weights;
    }
    for (size_t i = 0; i < count; i++) {
        graph_value *value = &g->values[i];
        if (value->kind == VALUE_PARAMETER) value->alias_of = lowered->parameters;
        if (value->kind == VALUE_BUFFER) value->alias_of = lowered->weights;
    }
    return BE_OK;
}

/* The values that a parameter acts on.  Through an op without a gradient too: backward_node refuses
 * such a way where it leads to the loss. */
static void mark_needs(const be_graph *g, bool *need)
{
    for (size_t i = 0; i < g->value_count; i++) need[i] = g->values[i].kind == VALUE_PARAMETER;
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
static be_status check_way(const op_gradient *call, bool *wanted, be_error *err)
{
    const graph_node *node = call->node;
    int input = 0;
    while (input < OP_MAX_IN && !call->need[input]) input++;
    if (input == OP_MAX_IN) *wanted = false;
    if (!*wanted) return BE_OK;
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

static be_status backward_node(be_graph *g, size_t index, const bool *need, be_value *gradient,
                               be_error *err)
{
    graph_node node = g->nodes[index];
    bool is_root = g->recipe.seeded == BE_NONE && node.out[0] == g->recipe.loss;
    op_gradient call = {.graph = g, .node = &node, .is_root = is_root};
    bool wanted = call.is_root;
    for (int o = 0; o < OP_MAX_OUT; o++) {
        call.dy[o] = node.out[o] == BE_NONE ? BE_NONE : gradient[node.out[o]];
        wanted |= call.dy[o] != BE_NONE;
    }
    for (int i = 0; i < OP_MAX_IN; i++) {
        call.need[i] = node.in[i] != BE_NONE && need[node.in[i]];
        call.dx[i] = BE_NONE;
    }
    TRY(check_way(&call, &wanted, err));
    if (!wanted) return BE_OK;
    if (call.is_root && !node.op->makes_loss)
        TRY(add_state(g, "gradient of the loss", shape_make(BE_F32, 1, 1, 0, 0, 0), 1.0f,
                      &call.dy[0], err));
    TRY(node.op->gradient(&call, err));
    for (int i = 0; i < node.op->inputs; i++) {
        if (!call.need[i]) continue;
        TRY(check_dx(&call, i, err));
        be_value *sum = &gradient[node.in[i]];
        if (*sum == BE_NONE) {
            *sum = call.dx[i];
            continue;
        }
        be_value pair[OP_MAX_IN] = {*sum, call.dx[i]}, added[OP_MAX_OUT];
        TRY(graph_add_node(g, g->recipe.accumulate, NULL, pair, added, err));
        *sum = added[0];
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

/* Let each parameter's gradient lie in the gradient block, beside the parameter's place. */
static be_status place_gradients(be_graph *g, size_t count, be_error *err)
{
    be_shape block = g->values[g->lowered.parameters].shape;
    TRY(add_state(g, "gradients", block, 0.0f, &g->lowered.gradients, err));
    for (size_t i = 0; i < count; i++) {
        const graph_value *parameter = &g->values[i];
        if (parameter->kind != VALUE_PARAMETER) continue;
        be_value gradient = g->lowered.gradient_of[i];
        if (gradient == BE_NONE)
            FAIL(err, BE_USAGE,
                 "parameter %s does not act on the loss; take it out, or use its layer",
                 parameter->name);
        size_t at = parameter->alias_bytes;
        if (g->values[gradient].alias_of != BE_NONE || g->values[gradient].kind != VALUE_RESULT)
            TRY(copy_gradient(g, &parameter->shape, &gradient, err));
        g->lowered.gradient_of[i] = gradient;
        g->values[gradient].alias_of = g->lowered.gradients;
        g->values[gradient].alias_bytes = at;
    }
    return BE_OK;
}

/* Between the gradients and the optimizer. */
static be_status add_clip(be_graph *g, be_error *err)
{
    if (!g->recipe.clip) return BE_OK;
    TRY(add_state(g, "gradient norm log", shape_make(BE_F32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                  &g->lowered.norm_log, err));
    be_value in[OP_MAX_IN] = {g->lowered.gradients, g->clock, g->lowered.norm_log};
    return graph_add_node(g, g->recipe.clip, g->recipe.clip_attrs, in, NULL, err);
}

static be_status add_schedule(be_graph *g, be_error *err)
{
    if (!g->recipe.schedule) return BE_OK;
    int64_t count = schedule_last_step(&g->recipe.rates) + 1;
    TRY(add_state(g, "learning rates", shape_make(BE_F32, 1, count, 0, 0, 0), 0.0f,
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
    TRY(add_state(g, "learning rate", shape_make(BE_F32, 1, 1, 0, 0, 0),
                  (float)recipe->learning_rate, &g->lowered.rate, err));
    TRY(add_schedule(g, err));
    TRY(add_clip(g, err));
    be_value in[OP_MAX_IN] = {
        g->lowered.parameters, g->lowered.gradients, g->lowered.rate, g->clock, BE_NONE, BE_NONE};
    for (int s = 0; s < recipe->slots; s++) {
        TRY(add_state(g, recipe->slot_name[s], block, 0.0f, &g->lowered.slot[s], err));
        TRY(name_slot(g, s, err));
        in[4 + s] = g->lowered.slot[s];
    }
    recipe->set_decayed(recipe->optimizer_attrs, g->lowered.decayed);
    return graph_add_node(g, recipe->optimizer, recipe->optimizer_attrs, in, NULL, err);
}

be_status pass_gradient(be_graph *g, be_group *group, be_error *err)
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
        TRY(backward_node(g, n, need, g->lowered.gradient_of, err));
    TRY(place_gradients(g, forward_values, err));
    TRY(pass_group(g, group, err));
    return g->recipe.no_update ? BE_OK : add_optimizer(g, err);
}

/* The end of every step with a loss: its log entry, and the clock. */
static be_status add_step_end(be_graph *g, be_error *err)
{
    TRY(add_state(g, "loss log", shape_make(BE_F32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                  &g->lowered.loss_log, err));
    TRY(add_state(g, "correct log", shape_make(BE_I32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                  &g->lowered.correct_log, err));
    be_value correct = g->recipe.correct;
    if (correct == BE_NONE)
        TRY(add_state(g, "nothing counted", shape_make(BE_I32, 1, 1, 0, 0, 0), 0.0f, &correct,
                      err));
    be_value in[OP_MAX_IN] = {g->clock, g->recipe.loss, correct, g->lowered.loss_log,
                              g->lowered.correct_log};
    return graph_add_node(g, g->recipe.advance, NULL, in, NULL, err);
}

/* The value in the wanted layout: itself, a reorder made before, or a new one. */
static be_status in_layout(be_graph *g, const lower_target *target, be_value value,
                           value_layout wanted, be_value *out, be_error *err)
{
    *out = value;
    if (g->values[value].layout == wanted) return BE_OK;
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == target->reorder && g->nodes[n].in[0] == value &&
            g->values[g->nodes[n].out[0]].layout == wanted) {
            *out = g->nodes[n].out[0];
            return BE_OK;
        }
    be_value in[OP_MAX_IN] = {value}, made[OP_MAX_OUT];
    TRY(graph_add_node(g, target->reorder, NULL, in, made, err));
    g->values[made[0]].layout = wanted;
    *out = made[0];
    return BE_OK;
}

/* What lies in another value is plain: the node gives a value of its own, and *behind reorders it.
 */
static be_status reorder_behind(be_graph *g, const lower_target *target, be_value *out,
                                graph_node *behind, be_error *err)
{
    graph_value own = g->values[*out];
    MUST(!behind->op);
    own.alias_of = BE_NONE;
    own.alias_bytes = 0;
    own.name = "";
    *behind = (graph_node){.op = target->reorder};
    for (int i = 0; i < OP_MAX_IN; i++) behind->in[i] = BE_NONE;
    for (int o = 0; o < OP_MAX_OUT; o++) behind->out[o] = BE_NONE;
    behind->out[0] = *out;
    TRY(graph_add_value(g, &own, out, err));
    behind->in[0] = *out;
    return BE_OK;
}

static be_status append_node(be_graph *g, const graph_node *node, be_error *err)
{
    TRY(memory_grow((void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes,
                    err));
    g->nodes[g->node_count++] = *node;
    return BE_OK;
}

be_status pass_layout(be_graph *g, const lower_target *target, be_error *err)
{
    if (!target->layouts) return BE_OK;
    /* The nodes are taken away and put back one by one, each behind the reorders that it needs. */
    size_t count = g->node_count;
    void *memory = NULL;
    TRY(arena_alloc(g->memory, &memory, (count + 1) * sizeof(graph_node), err));
    graph_node *nodes = memory;
    memcpy(nodes, g->nodes, count * sizeof *nodes);
    g->node_count = 0;
    for (size_t n = 0; n < count; n++) {
        graph_node node = nodes[n];
        value_layout in[OP_MAX_IN] = {LAYOUT_PLAIN}, out[OP_MAX_OUT] = {LAYOUT_PLAIN};
        target->layouts(target->device, g, &node, in, out);
        for (int i = 0; i < node.op->inputs; i++)
            if (node.in[i] != BE_NONE)
                TRY(in_layout(g, target, node.in[i], in[i], &node.in[i], err));
        graph_node behind = {.op = NULL};
        for (int o = 0; o < node.op->outputs; o++) {
            if (node.out[o] == BE_NONE) continue;
            if (out[o] != LAYOUT_PLAIN && g->values[node.out[o]].alias_of != BE_NONE)
                TRY(reorder_behind(g, target, &node.out[o], &behind, err));
            g->values[node.out[o]].layout = out[o];
        }
        TRY(append_node(g, &node, err));
        if (behind.op) TRY(append_node(g, &behind, err));
    }
    graph_compact(g);
    return BE_OK;
}

/* After the layouts, so that what a view looks at lies plainly.  A copy stays where y has a place
 * of its own already (a parameter's gradient), and for inputs, which lie where the user says. */
void pass_views(be_graph *g)
{
    for (size_t n = 0; n < g->node_count; n++) {
        graph_node *node = &g->nodes[n];
        if (!node->op->view_of) continue;
        size_t offset;
        be_value x = node->in[node->op->view_of - 1], root = graph_root(g, x, &offset);
        graph_value *y = &g->values[node->out[0]];
        if (y->alias_of != BE_NONE || g->values[root].kind == VALUE_INPUT) continue;
        MUST(g->values[x].layout == LAYOUT_PLAIN && y->layout == LAYOUT_PLAIN);
        y->alias_of = x;
        g->values[root].keep |= y->keep;
        node->op = NULL;
    }
    graph_compact(g);
}

static be_status lower_into(be_graph *g, const be_plan_options *options, const lower_target *target,
                            be_error *err)
{
    for (int k = 0; k < options->keep_count; k++) {
        be_value value = options->keep[k];
        if (value < 0 || (size_t)value >= g->value_count)
            FAIL(err, BE_USAGE, "keep: value %d is not in this graph", (int)value);
        g->values[value].keep = true;
    }
    if (options->group && options->mode != BE_TRAIN)
        FAIL(err, BE_USAGE, "group: inference has no gradients to share; leave the group out");
    if (options->mode == BE_INFER) TRY(pass_inference(g, err));
    TRY(check_buffers(g, options->mode, err));
    if (!options->no_fusion) TRY(pass_fusion(g, target, err));
    TRY(pass_parameters(g, err));
    if (options->mode == BE_TRAIN) TRY(pass_gradient(g, options->group, err));
    TRY(pass_precision(g, options->precision, err));
    if (g->recipe.loss != BE_NONE) TRY(add_step_end(g, err));
    TRY(pass_layout(g, target, err));
    pass_views(g);
    return BE_OK;
}

be_status graph_lower(const be_graph *g, const be_plan_options *options, const lower_target *target,
                      be_graph **out, be_error *err)
{
    *out = NULL;
    TRY(be_graph_check(g, err));
    be_graph *copy = NULL;
    TRY(graph_clone(g, &copy, err));
    be_status status = lower_into(copy, options, target, err);
    if (status == BE_OK)
        *out = copy;
    else
        be_graph_free(copy);
    return status;
}
