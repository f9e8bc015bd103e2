/* The memory planner: when each value lives, and where it lies.
 *
 * Results are placed from the largest to the smallest, each at the lowest offset where nothing that
 * lives at the same time lies ("greedy by size", Pisarchyk and Lee, "Efficient Memory Management
 * for Deep Neural Net Inference", 2020).  Before that, an output whose op allows it is given the
 * memory of an input that ends there. */
#include <string.h>

#include "graph/passes.h"

static size_t align_up(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static void touch(const be_graph *g, memory_place *places, be_value value, int node)
{
    size_t offset;
    if (value == BE_NONE) return;
    memory_place *place = &places[graph_root(g, value, &offset)];
    if (place->first < 0) place->first = node;
    place->last = g->values[value].keep ? (int)g->node_count
                  : node > place->last  ? node
                                        : place->last;
}

/* May output o of node n lie in the memory of its input i?  Nothing else may need it from here on,
 * neither a later node, nor the user, nor another operand of this one. */
static bool may_overwrite(const be_graph *g, const memory_place *places, int n, int o, int i)
{
    const graph_node *node = &g->nodes[n];
    if (!(node->op->in_place[o] >> i & 1) || node->in[i] == BE_NONE) return false;
    size_t offset, other;
    be_value root = graph_root(g, node->in[i], &offset);
    const graph_value *x = &g->values[node->in[i]], *y = &g->values[node->out[o]];
    if (g->values[root].kind != VALUE_RESULT || offset != 0 || places[root].last != n) return false;
    if (x->shape.dtype != y->shape.dtype || x->layout != y->layout) return false;
    if (value_bytes(x) != value_bytes(y)) return false;
    for (int k = 0; k < node->op->inputs; k++)
        if (k != i && node->in[k] != BE_NONE && graph_root(g, node->in[k], &other) == root)
            return false;
    for (int k = 0; k < node->op->outputs; k++)
        if (k != o && node->out[k] != BE_NONE && graph_root(g, node->out[k], &other) == root)
            return false;
    return true;
}

/* Let output o of node n lie where an input of it ends, if there is one. */
static void place_output(be_graph *g, memory_map *map, int n, int o)
{
    const graph_node *node = &g->nodes[n];
    be_value y = node->out[o];
    if (y == BE_NONE || g->values[y].alias_of != BE_NONE) return;
    for (int i = 0; i < node->op->inputs; i++) {
        size_t offset;
        if (!may_overwrite(g, map->places, n, o, i)) continue;
        memory_place *place = &map->places[graph_root(g, node->in[i], &offset)];
        if (map->places[y].last > place->last) place->last = map->places[y].last;
        g->values[y].alias_of = node->in[i];
        map->activation_sum_bytes += align_up(map->places[y].bytes);
        return;
    }
}

/* In the order of the nodes, so that a chain of them lies in one memory. */
static void place_in_place(be_graph *g, memory_map *map)
{
    for (size_t n = 0; n < g->node_count; n++)
        for (int o = 0; o < g->nodes[n].op->outputs; o++) place_output(g, map, (int)n, o);
}

/* The lowest offset at which `index` fits among the `count` values placed before it. */
static size_t lowest_fit(const memory_place *places, const be_value *placed, size_t count,
                         be_value index)
{
    size_t offset = 0;
    const memory_place *mine = &places[index];
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const memory_place *other = &places[placed[i]];
            bool together = mine->first <= other->last && other->first <= mine->last;
            if (together && offset < other->offset + align_up(other->bytes) &&
                other->offset < offset + align_up(mine->bytes)) {
                offset = other->offset + align_up(other->bytes);
                moved = true;
            }
        }
    }
    return offset;
}

static void place_activations(memory_map *map, be_value *order, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && map->places[order[j]].bytes > map->places[order[j - 1]].bytes;
             j--) {
            be_value kept = order[j];
            order[j] = order[j - 1];
            order[j - 1] = kept;
        }
    for (size_t i = 0; i < count; i++) {
        memory_place *place = &map->places[order[i]];
        place->offset = lowest_fit(map->places, order, i, order[i]);
        size_t end = place->offset + align_up(place->bytes);
        if (end > map->activation_bytes) map->activation_bytes = end;
        map->activation_sum_bytes += align_up(place->bytes);
    }
}

be_status memory_plan(be_graph *g, memory_map *out, be_error *err)
{
    void *memory = NULL, *order_memory = NULL;
    size_t count = g->value_count, activations = 0;
    *out = (memory_map){0};
    TRY(arena_alloc(g->memory, &memory, (count + 1) * sizeof(memory_place), err));
    TRY(arena_alloc(g->memory, &order_memory, (count + 1) * sizeof(be_value), err));
    memory_place *places = out->places = memory;
    be_value *order = order_memory;
    for (size_t i = 0; i < count; i++)
        places[i] = (memory_place){.first = -1, .last = -1, .bytes = value_bytes(&g->values[i])};
    for (size_t n = 0; n < g->node_count; n++) {
        for (int i = 0; i < OP_MAX_IN; i++) touch(g, places, g->nodes[n].in[i], (int)n);
        for (int o = 0; o < OP_MAX_OUT; o++) touch(g, places, g->nodes[n].out[o], (int)n);
    }
    place_in_place(g, out);
    for (size_t i = 0; i < count; i++) {
        if (g->values[i].alias_of != BE_NONE) continue;
        if (g->values[i].kind == VALUE_INPUT) {
            places[i].region = REGION_INPUT;
        } else if (g->values[i].kind == VALUE_STATE) {
            places[i].region = REGION_PERSISTENT;
            places[i].offset = out->persistent_bytes;
            out->persistent_bytes += align_up(places[i].bytes);
        } else if (places[i].first >= 0) {
            places[i].region = REGION_ACTIVATION;
            order[activations++] = (be_value)i;
        }
    }
    place_activations(out, order, activations);
    for (size_t i = 0; i < count; i++) {
        size_t offset;
        be_value root = graph_root(g, (be_value)i, &offset);
        if (root == (be_value)i) continue;
        size_t bytes = places[i].bytes;
        places[i] = places[root];
        places[i].offset += offset;
        places[i].bytes = bytes;
    }
    return BE_OK;
}
