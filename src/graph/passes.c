/* Lowering: inference clean-up, fusion, the parameter block, the end of a step, layouts. */
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
    int user = -1;
    if (g->values[value].keep || graph_use_count(g, value) != 1) return -1;
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++)
            if (g->nodes[n].op && g->nodes[n].in[i] == value) user = (int)n;
    return user;
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

/* Only what an op says lies with the host, and only those read it that expect it there. */
static be_status check_host(const be_graph *g, const graph_node *node, be_value value,
                            bool expected, be_error *err)
{
    size_t offset;
    const graph_value *root = &g->values[graph_root(g, value, &offset)];
    if (root->on_host == expected) return BE_OK;
    FAIL(err, BE_USAGE,
         "op %s: expected \"%s\" in the memory of the %s, found it in that of the %s; copy it by "
         "be_upload or be_download",
         node->op->name, root->name, expected ? "host" : "device", expected ? "device" : "host");
}

/* What lies with the host: buffers that are uploaded, and what is downloaded. */
static void mark_host(be_graph *g, const graph_node *node)
{
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->op->host_out >> o & 1) g->values[node->out[o]].on_host = true;
    for (int i = 0; i < OP_MAX_IN; i++)
        if (node->op->host_in >> i & 1 && g->values[node->in[i]].kind == VALUE_BUFFER)
            g->values[node->in[i]].on_host = true;
}

be_status pass_host(be_graph *g, be_error *err)
{
    for (size_t n = 0; n < g->node_count; n++) mark_host(g, &g->nodes[n]);
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        for (int i = 0; i < OP_MAX_IN; i++)
            if (node->in[i] != BE_NONE)
                TRY(check_host(g, node, node->in[i], node->op->host_in >> i & 1, err));
        for (int o = 0; o < OP_MAX_OUT; o++)
            if (node->out[o] != BE_NONE)
                TRY(check_host(g, node, node->out[o], node->op->host_out >> o & 1, err));
    }
    return BE_OK;
}

/* The parameter that is to lie behind this one, or BE_NONE. */
static be_value parameter_behind(const be_graph *g, be_value value)
{
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].behind == value + 1) return (be_value)i;
    return BE_NONE;
}

/* Give the parameters with or without a decay, or the buffers, their places, from element `at` of
 * the block on; returns the end. */
static int64_t place_weights(be_graph *g, value_kind kind, bool no_decay, int64_t at)
{
    for (size_t i = 0; i < g->value_count; i++) {
        const graph_value *first = &g->values[i];
        if (first->kind != kind || first->no_decay != no_decay || first->behind || first->on_host)
            continue;
        for (be_value v = (be_value)i; v != BE_NONE; v = parameter_behind(g, v)) {
            graph_value *value = &g->values[v];
            value->alias_bytes = (size_t)at * sizeof(float);
            at += (shape_elements(&value->shape) + PARAMETER_ALIGN - 1) / PARAMETER_ALIGN *
                  PARAMETER_ALIGN;
        }
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
    TRY(graph_add_state(g, "weights", shape_make(BE_F32, 1, total, 0, 0, 0), 0.0f,
                        &lowered->weights, err));
    if (trained > 0) {
        be_shape block = shape_make(BE_F32, 1, trained, 0, 0, 0);
        TRY(graph_add_state(g, "parameters", block, 0.0f, &lowered->parameters, err));
        g->values[lowered->parameters].alias_of = lowered->weights;
    }
    for (size_t i = 0; i < count; i++) {
        graph_value *value = &g->values[i];
        if (value->kind == VALUE_PARAMETER) value->alias_of = lowered->parameters;
        if (value->kind == VALUE_BUFFER && !value->on_host) value->alias_of = lowered->weights;
        if (value->kind != VALUE_JOINED) continue;
        value->alias_bytes = g->values[value->alias_of].alias_bytes;
        value->alias_of = lowered->parameters;
    }
    return BE_OK;
}

/* The end of every step with a loss: its log entry, and the clock. */
static be_status add_step_end(be_graph *g, be_error *err)
{
    TRY(graph_add_state(g, "loss log", shape_make(BE_F32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                        &g->lowered.loss_log, err));
    TRY(graph_add_state(g, "correct log", shape_make(BE_I32, 1, BE_LOSS_LOG, 0, 0, 0), 0.0f,
                        &g->lowered.correct_log, err));
    bool in_turns = g->lowered.turns > 1;
    be_value loss = in_turns ? g->lowered.turn_loss : g->recipe.loss;
    be_value correct = in_turns ? g->lowered.turn_correct : g->recipe.correct;
    if (correct == BE_NONE)
        TRY(graph_add_state(g, "nothing counted", shape_make(BE_I32, 1, 1, 0, 0, 0), 0.0f, &correct,
                            err));
    be_value in[OP_MAX_IN] = {g->clock, loss, correct, g->lowered.loss_log, g->lowered.correct_log};
    return graph_add_node(g, g->recipe.advance, NULL, in, NULL, err);
}

/* The value in the wanted layout: itself, a reorder made before, or a new one. */
static be_status in_layout(be_graph *g, const lower_target *target, be_value value,
                           value_layout layout, be_value *out, be_error *err)
{
    *out = value;
    if (g->values[value].layout == layout) return BE_OK;
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == target->reorder && g->nodes[n].in[0] == value &&
            g->values[g->nodes[n].out[0]].layout == layout) {
            *out = g->nodes[n].out[0];
            return BE_OK;
        }
    be_value in[OP_MAX_IN] = {value}, made[OP_MAX_OUT];
    TRY(graph_add_node(g, target->reorder, NULL, in, made, err));
    g->values[made[0]].layout = layout;
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

/* Where a reorder stands in front of input i from now on, an output that updates it lies there. */
static void follow_input(be_graph *g, const graph_node *node, be_value before, int i)
{
    for (int o = 0; node->in[i] != before && o < node->op->outputs; o++)
        if (node->op->updates[o] == i + 1 && node->out[o] != BE_NONE)
            g->values[node->out[o]].alias_of = node->in[i];
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
    g->before = nodes;
    g->before_count = count;
    g->node_count = 0;
    for (size_t n = 0; n < count; n++) {
        graph_node node = nodes[n];
        value_layout in[OP_MAX_IN] = {LAYOUT_PLAIN}, out[OP_MAX_OUT] = {LAYOUT_PLAIN};
        target->layouts(target->device, g, &node, in, out);
        for (int i = 0; i < node.op->inputs; i++)
            if (node.in[i] != BE_NONE) {
                be_value before = node.in[i];
                TRY(in_layout(g, target, before, in[i], &node.in[i], err));
                follow_input(g, &node, before, i);
            }
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
    if (options->accumulate < 0 || (options->accumulate > 1 && options->mode != BE_TRAIN))
        FAIL(err, BE_USAGE,
             "accumulate: expected a number of turns from 1 on, and above 1 in training alone, "
             "found %d; leave it out",
             options->accumulate);
    g->lowered.turns = options->accumulate > 1 ? options->accumulate : 1;
    if (g->group && options->group != g->group)
        FAIL(err, BE_USAGE,
             "group: this graph gathers rows of a group's ranks: expected that group, found %s",
             options->group ? "another one" : "none");
    if (options->sync_batch_norm && !options->group)
        FAIL(err, BE_USAGE,
             "sync_batch_norm: it is of the ranks of a group, and there is none; leave it out");
    if (options->mode == BE_INFER) TRY(pass_inference(g, err));
    TRY(check_buffers(g, options->mode, err));
    if (!options->no_fusion) TRY(pass_fusion(g, target, err));
    TRY(pass_join(g, target->has && !options->no_fusion, err));
    if (target->is_apart) TRY(pass_host(g, err));
    TRY(pass_parameters(g, err));
    if (options->mode == BE_TRAIN) TRY(pass_gradient(g, options, err));
    TRY(pass_precision(g, options->precision, target, err));
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
