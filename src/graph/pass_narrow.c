/* The pass that lets the optimizer write the narrow weights of the next step.
 *
 * In bf16 a product reads a narrow copy of its weight, which a cast would make from the parameter
 * in every step.  The optimizer has each new parameter in its registers and can write the same bits
 * beside it: one block lies beside the parameters, and a cast of all of it begins each run, since
 * parameters may have been written meanwhile.  Weights of images keep their casts: these make the
 * layout too. */
#include <string.h>

#include "graph/passes.h"

static bool is_cast_of_weight(const be_graph *g, const graph_node *node, const be_op *cast)
{
    if (node->op != cast) return false;
    const graph_value *from = &g->values[node->in[0]], *to = &g->values[node->out[0]];
    return graph_is_weight(g, node->in[0]) && from->shape.rank != 4 && to->shape.dtype == BE_BF16 &&
           !to->keep && to->alias_of == BE_NONE;
}

/* Elements of the parameters that have such casts, each of which counts once: a pass before has
 * made one copy of each value. */
static int64_t count_narrow(const be_graph *g, const be_op *cast)
{
    int64_t count = 0;
    for (size_t n = 0; n < g->node_count; n++)
        if (is_cast_of_weight(g, &g->nodes[n], cast))
            count += shape_elements(&g->values[g->nodes[n].in[0]].shape);
    return count;
}

/* What the casts made lies in the block, where the parameters lie in theirs. */
static void drop_casts(be_graph *g, const be_op *cast)
{
    for (size_t n = 0; n < g->node_count; n++) {
        graph_node *node = &g->nodes[n];
        if (!is_cast_of_weight(g, node, cast)) continue;
        graph_value *copy = &g->values[node->out[0]];
        copy->kind = VALUE_STATE;
        copy->alias_of = g->lowered.narrow;
        copy->alias_bytes =
            g->values[node->in[0]].alias_bytes / dtype_bytes(BE_F32) * dtype_bytes(BE_BF16);
        node->op = NULL;
        for (int i = 0; i < OP_MAX_IN; i++) node->in[i] = BE_NONE;
    }
}

/* The cast of all parameters, in front of everything. */
static be_status begin_with_cast(be_graph *g, const be_op *cast, be_error *err)
{
    const be_dtype to = BE_BF16;
    be_value in[OP_MAX_IN] = {g->lowered.parameters}, made[OP_MAX_OUT];
    TRY(graph_add_node(g, cast, &to, in, made, err));
    g->values[made[0]].alias_of = g->lowered.narrow;
    graph_node first = g->nodes[g->node_count - 1];
    memmove(g->nodes + 1, g->nodes, (g->node_count - 1) * sizeof first);
    g->nodes[0] = first;
    g->lowered.begin = 1;
    return BE_OK;
}

static be_status let_optimizer_write(be_graph *g, be_error *err)
{
    for (size_t n = 0; n < g->node_count; n++) {
        if (!g->recipe.optimizer || g->nodes[n].op != g->recipe.optimizer) continue;
        g->nodes[n].in[g->recipe.narrow_input] = g->lowered.narrow;
        TRY(graph_refresh_node(g, n, err));
    }
    return BE_OK;
}

be_status pass_narrow(be_graph *g, const be_op *cast, be_error *err)
{
    if (g->lowered.parameters == BE_NONE) return BE_OK;
    be_shape block = g->values[g->lowered.parameters].shape;
    int64_t all = 0;
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].kind == VALUE_PARAMETER) all += shape_elements(&g->values[i].shape);
    /* The optimizer writes all of the block. */
    if (2 * count_narrow(g, cast) < all) return BE_OK;
    block.dtype = BE_BF16;
    TRY(graph_add_state(g, "narrow weights", block, 0.0f, &g->lowered.narrow, err));
    drop_casts(g, cast);
    graph_compact(g);
    TRY(begin_with_cast(g, cast, err));
    TRY(let_optimizer_write(g, err));
    graph_compact(g);
    return BE_OK;
}
