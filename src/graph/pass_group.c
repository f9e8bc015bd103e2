/* The passes that make of a graph one rank's part of a group's, and of that the turns of a step. */
#include "graph/passes.h"
#include "group/group.h"

/* What one node reduces: small enough that a device can send one bucket while it computes the next,
 * large enough that sending it is worth while. */
#define BUCKET (INT64_C(4) << 20) /* gradients */

/* A value for the gradients from `at` on, before `end`: its own part of the block. */
static be_status add_bucket(be_graph *g, int64_t at, int64_t end, be_value *out, be_error *err)
{
    int64_t rest = end - at;
    graph_value bucket = {.name = "bucket of gradients",
                          .shape = shape_make(BE_F32, 1, rest < BUCKET ? rest : BUCKET, 0, 0, 0),
                          .kind = VALUE_STATE,
                          .start = {BE_CONSTANT, 0.0f},
                          .alias_of = g->lowered.gradients,
                          .alias_bytes = (size_t)at * sizeof(float),
                          .producer = -1};
    return graph_add_value(g, &bucket, out, err);
}

/* All that reads the clock until here works on a part of the batch, and counts turns. */
static void read_turns(be_graph *g)
{
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++)
            if (g->nodes[n].in[i] == g->clock) g->nodes[n].in[i] = g->lowered.turn;
}

static be_status add_turn(be_graph *g, be_error *err)
{
    graph_lowered *lowered = &g->lowered;
    be_shape block = g->values[lowered->gradients].shape;
    be_shape real = shape_make(BE_F32, 1, 1, 0, 0, 0), whole = shape_make(BE_I32, 1, 1, 0, 0, 0);
    be_value sums = BE_NONE, correct = g->recipe.correct;
    TRY(graph_add_state(g, "sums of gradients", block, 0.0f, &sums, err));
    TRY(graph_add_state(g, "turns", whole, 0.0f, &lowered->turn, err));
    TRY(graph_add_state(g, "loss of the turns", real, 0.0f, &lowered->turn_loss, err));
    TRY(graph_add_state(g, "correct of the turns", whole, 0.0f, &lowered->turn_correct, err));
    if (correct == BE_NONE) TRY(graph_add_state(g, "nothing counted", whole, 0.0f, &correct, err));
    read_turns(g);
    be_value in[OP_MAX_IN] = {
        lowered->gradients,    sums,           lowered->turn, lowered->turn_loss,
        lowered->turn_correct, g->recipe.loss, correct,       BE_NONE};
    const int32_t turns = lowered->turns;
    MUST(g->recipe.take_turn->attrs_bytes == sizeof turns);
    return graph_add_node(g, g->recipe.take_turn, &turns, in, NULL, err);
}

be_status pass_parts(be_graph *g, be_group *group, be_error *err)
{
    int turns = g->lowered.turns;
    if (!group && turns == 1) return BE_OK;
    for (size_t n = 0; n < g->node_count; n++) {
        if (!g->nodes[n].op->set_part) continue;
        g->nodes[n].op->set_part(g->nodes[n].attrs, be_group_rank(group), turns);
        TRY(graph_refresh_node(g, n, err)); /* it may refuse so many */
    }
    return turns == 1 ? BE_OK : add_turn(g, err);
}

static be_status tell_nodes(be_graph *g, const be_plan_options *options, be_error *err)
{
    bool any = false, is_cut = group_is_cut(options->group);
    int64_t before = 0, each = is_cut ? group_part(options->group, 0, &before) : 0;
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        if (is_cut && node->op->set_cut) node->op->set_cut(node->attrs, before, each);
        if (!options->sync_batch_norm || !node->op->set_group) continue;
        node->op->set_group(node->attrs, options->group);
        any = true;
    }
    if (is_cut && g->lowered.turns > 1)
        FAIL(err, BE_USAGE, "accumulate: turns are of ranks with equal parts; leave it out");
    if (options->sync_batch_norm && is_cut)
        FAIL(err, BE_USAGE, "--sync-batch-norm: it is of workers with equal parts; leave it out");
    if (options->sync_batch_norm && !any)
        FAIL(err, BE_USAGE, "--sync-batch-norm: this network has no batch norm; leave it out");
    return BE_OK;
}

static be_status reduce(be_graph *g, int64_t begin, int64_t end, be_error *err)
{
    be_group *group = g->lowered.group;
    MUST(g->recipe.all_reduce->attrs_bytes == sizeof group);
    for (int64_t at = begin + (end - begin - 1) / BUCKET * BUCKET; at >= begin; at -= BUCKET) {
        be_value in[OP_MAX_IN] = {BE_NONE};
        TRY(add_bucket(g, at, end, &in[0], err));
        TRY(graph_add_node(g, g->recipe.all_reduce, &group, in, NULL, err));
    }
    return BE_OK;
}

/* The gradients of the last layers are there first, so their bucket goes first; a device adds up in
 * this order.  What does not decay, norms and biases of all layers, is there when the backward pass
 * has ended, and goes last. */
be_status pass_group(be_graph *g, const be_plan_options *options, be_error *err)
{
    int64_t count = g->values[g->lowered.gradients].shape.dim[0], decayed = g->lowered.decayed;
    if (!options->group) return BE_OK;
    TRY(tell_nodes(g, options, err));
    g->lowered.group = options->group;
    if (decayed > 0) TRY(reduce(g, 0, decayed, err));
    return decayed < count ? reduce(g, decayed, count, err) : BE_OK;
}
