/* The pass that makes one node of several which read the same value, where one reader takes their
 * results side by side: the projections of an attention to q, k and v are one product then, forward
 * and back, instead of three small ones behind one another.
 *
 * Their weights stay parameters of their own, with names, starts and gradients, but lie behind one
 * another in the block, and the node reads them as one value.  That they lie so depends on the
 * network alone, so that plans with and without fusion can share weights. */
#include <stdint.h>
#include <string.h>

#include "graph/passes.h"

/* The nodes that make what `reader` may take side by side, in the order of its inputs; returns how
 * many, 0: not all of them are there, or another node reads one. */
static int list_makers(const be_graph *g, const graph_node *reader, int out[OP_MAX_IN])
{
    int count = 0;
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (!(reader->op->side_by_side >> i & 1)) continue;
        be_value value = reader->in[i];
        int maker = value == BE_NONE ? -1 : g->values[value].producer;
        if (maker < 0 || graph_use_count(g, value) != 1) return 0;
        out[count++] = maker;
    }
    return count;
}

/* May the two parameters be parts of one value, the second behind the first? */
static bool are_parts(const be_graph *g, be_value a, be_value b)
{
    if (a == BE_NONE || b == BE_NONE) return a == b;
    const graph_value *x = &g->values[a], *y = &g->values[b];
    return x->kind == VALUE_PARAMETER && y->kind == VALUE_PARAMETER && graph_use_count(g, a) == 1 &&
           graph_use_count(g, b) == 1 && x->no_decay == y->no_decay &&
           shape_equal(&x->shape, &y->shape) && shape_elements(&x->shape) % PARAMETER_ALIGN == 0;
}

static bool are_alike(const be_graph *g, const graph_node *a, const graph_node *b)
{
    if (a == b || a->op != b->op || a->in[0] != b->in[0]) return false;
    if (!a->op->stacks || !a->op->stacks(a->attrs)) return false;
    bool alike = memcmp(a->attrs, b->attrs, a->op->attrs_bytes) == 0;
    for (int i = 1; i < OP_MAX_IN; i++) alike = alike && are_parts(g, a->in[i], b->in[i]);
    return alike;
}

/* Could the result of all of them be one that a graph may have, and does the user read none? */
static bool may_be_one(const be_graph *g, const int *makers, int count)
{
    const graph_value *y = &g->values[g->nodes[makers[0]].out[0]];
    bool may = shape_elements(&y->shape) <= INT32_MAX / count;
    for (int k = 0; k < count; k++) may = may && !g->values[g->nodes[makers[k]].out[0]].keep;
    return may;
}

static be_status become_one(be_graph *g, graph_node *reader, const int *makers, int count,
                            be_error *err)
{
    int place = makers[0];
    be_value all[OP_MAX_IN] = {g->nodes[place].in[0]};
    for (int i = 1; i < OP_MAX_IN; i++) {
        be_value first = all[i] = g->nodes[makers[0]].in[i];
        if (first == BE_NONE) continue;
        graph_value joined = {.name = "",
                              .shape = g->values[first].shape,
                              .kind = VALUE_JOINED,
                              .alias_of = first,
                              .producer = -1};
        joined.shape.dim[0] *= count;
        TRY(graph_add_value(g, &joined, &all[i], err));
    }
    for (int k = 0; k < count; k++) {
        graph_node *maker = &g->nodes[makers[k]];
        if (makers[k] < place) place = makers[k];
        for (int i = 0; i < OP_MAX_IN; i++) maker->in[i] = BE_NONE;
        maker->out[0] = BE_NONE;
    }
    for (int k = 0; k < count; k++)
        if (makers[k] != place) g->nodes[makers[k]].op = NULL;
    memcpy(g->nodes[place].in, all, sizeof all);
    TRY(graph_refresh_node(g, (size_t)place, err));
    be_value one = g->nodes[place].out[0];
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (!(reader->op->side_by_side >> i & 1)) continue;
        reader->in[i] = one;
        one = BE_NONE;
    }
    return BE_OK;
}

be_status pass_join(be_graph *g, bool fuses, be_error *err)
{
    for (size_t n = 0; n < g->node_count; n++) {
        int makers[OP_MAX_IN];
        if (!g->nodes[n].op || !g->nodes[n].op->side_by_side) continue;
        int count = list_makers(g, &g->nodes[n], makers);
        bool alike = count > 1;
        for (int a = 0; a < count; a++)
            for (int b = 0; b < a; b++)
                alike = alike && are_alike(g, &g->nodes[makers[a]], &g->nodes[makers[b]]);
        if (!alike) continue;
        for (int k = 1; k < count; k++)
            for (int i = 1; i < OP_MAX_IN; i++) {
                be_value before = g->nodes[makers[k - 1]].in[i];
                if (before != BE_NONE) g->values[g->nodes[makers[k]].in[i]].behind = before + 1;
            }
        if (fuses && may_be_one(g, makers, count))
            TRY(become_one(g, &g->nodes[n], makers, count, err));
    }
    graph_compact(g);
    return BE_OK;
}
