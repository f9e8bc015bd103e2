/* The pass that makes of a graph one rank's part of a group's. */
#include "graph/passes.h"
#include "group/group.h"

/* What one node reduces: small enough that a device can send one bucket while it computes the next,
 * large enough that sending it is worth while. */
#define BUCKET (INT64_C(4) << 20) /* gradients */

/* A value for the gradients from `at` on: its own part of the block. */
static be_status add_bucket(be_graph *g, int64_t at, be_value *out, be_error *err)
{
    int64_t left = g->values[g->lowered.gradients].shape.dim[0] - at;
    graph_value bucket = {.name = "bucket of gradients",
                          .shape = shape_make(BE_F32, 1, left < BUCKET ? left : BUCKET, 0, 0, 0),
                          .kind = VALUE_STATE,
                          .start = {BE_CONSTANT, 0.0f},
                          .alias_of = g->lowered.gradients,
                          .alias_bytes = (size_t)at * sizeof(float),
                          .producer = -1};
    return graph_add_value(g, &bucket, out, err);
}

/* The gradients of the last layers are there first, so their bucket goes first. */
be_status pass_group(be_graph *g, be_group *group, be_error *err)
{
    int64_t count = g->values[g->lowered.gradients].shape.dim[0];
    if (!group) return BE_OK;
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op->set_part)
            g->nodes[n].op->set_part(g->nodes[n].attrs, be_group_rank(group));
    MUST(g->recipe.all_reduce->attrs_bytes == sizeof group);
    g->lowered.group = group;
    for (int64_t at = (count - 1) / BUCKET * BUCKET; at >= 0; at -= BUCKET) {
        be_value in[OP_MAX_IN] = {BE_NONE};
        TRY(add_bucket(g, at, &in[0], err));
        TRY(graph_add_node(g, g->recipe.all_reduce, &group, in, NULL, err));
    }
    return BE_OK;
}
