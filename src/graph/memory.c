/* The memory planner: when each value lives, and where it lies.
 *
 * Results are placed from the largest to the smallest, each at the lowest offset where nothing that
 * lives at the same time lies ("greedy by size", Pisarchyk and Lee, "Efficient Memory Management
 * for Deep Neural Net Inference", 2020).  Before that, an output whose op allows it is given the
 * memory of an input that ends there.
 *
 * Where nodes run beside one another, values that are never alive together in the order of the
 * nodes may be so all the same: then they also need an order by data. */
#include <string.h>

#include "graph/passes.h"

static size_t align_up(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

/* ---------------------------------------------------------------- the order by data */

#define WORD 64 /* nodes of a word of a set */

/* Sets of nodes, a bit each. */
typedef struct node_order {
    size_t words;
    uint64_t *before; /* of each node: those that must end before it; NULL: all earlier ones */
    uint64_t *users;  /* of each value that is a root: those that read or write it */
} node_order;

/* A range of memory that a node reads or writes. */
typedef struct node_range {
    be_value root;
    size_t from, end;
    bool written;
} node_range;

static int list_ranges(const be_graph *g, size_t n, node_range out[OP_MAX_IN + OP_MAX_OUT])
{
    int count = 0;
    for (int k = 0; k < OP_MAX_IN + OP_MAX_OUT; k++) {
        bool is_output = k >= OP_MAX_IN;
        be_value value = is_output ? g->nodes[n].out[k - OP_MAX_IN] : g->nodes[n].in[k];
        size_t from;
        if (value == BE_NONE) continue;
        be_value root = graph_root(g, value, &from);
        out[count++] = (node_range){root, from, from + value_bytes(&g->values[value]), is_output};
    }
    return count;
}

static bool ranges_meet(const node_range *a, int a_count, const node_range *b, int b_count)
{
    for (int i = 0; i < a_count; i++)
        for (int j = 0; j < b_count; j++)
            if (a[i].root == b[j].root && (a[i].written || b[j].written) && a[i].from < b[j].end &&
                b[j].from < a[i].end)
                return true;
    return false;
}

static bool set_has(const uint64_t *set, size_t n)
{
    return set[n / WORD] >> n % WORD & 1;
}

/* Those that node n must wait for: from the nearest on, with those that these wait for. */
static void find_before(node_order *order, const node_range *ranges, const int *counts, size_t n)
{
    const size_t limit = OP_MAX_IN + OP_MAX_OUT;
    uint64_t *mine = order->before + n * order->words;
    for (size_t j = n; j-- > 0;) {
        if (set_has(mine, j) ||
            !ranges_meet(ranges + j * limit, counts[j], ranges + n * limit, counts[n]))
            continue;
        const uint64_t *theirs = order->before + j * order->words;
        for (size_t w = 0; w < order->words; w++) mine[w] |= theirs[w];
        mine[j / WORD] |= UINT64_C(1) << j % WORD;
    }
    for (int i = 0; i < counts[n]; i++)
        order->users[(size_t)ranges[n * limit + (size_t)i].root * order->words + n / WORD] |=
            UINT64_C(1) << n % WORD;
}

static be_status order_new(const be_graph *g, node_order *out, be_error *err)
{
    void *before = NULL, *users = NULL, *ranges = NULL, *counts = NULL;
    size_t nodes = g->node_count, words = nodes / WORD + 1, limit = OP_MAX_IN + OP_MAX_OUT;
    TRY(arena_alloc(g->memory, &before, (nodes + 1) * words * sizeof(uint64_t), err));
    TRY(arena_alloc(g->memory, &users, (g->value_count + 1) * words * sizeof(uint64_t), err));
    TRY(arena_alloc(g->memory, &ranges, (nodes + 1) * limit * sizeof(node_range), err));
    TRY(arena_alloc(g->memory, &counts, (nodes + 1) * sizeof(int), err));
    *out = (node_order){words, before, users};
    for (size_t n = 0; n < nodes; n++) {
        ((int *)counts)[n] = list_ranges(g, n, (node_range *)ranges + n * limit);
        find_before(out, ranges, counts, n);
    }
    return BE_OK;
}

/* Do all that use a value, but node n, come before it? */
static bool comes_after(const node_order *order, int n, be_value root)
{
    if (!order->before) return true;
    const uint64_t *before = order->before + (size_t)n * order->words;
    const uint64_t *users = order->users + (size_t)root * order->words;
    for (size_t w = 0; w < order->words; w++) {
        uint64_t own = w == (size_t)n / WORD ? UINT64_C(1) << n % WORD : 0;
        if (users[w] & ~before[w] & ~own) return false;
    }
    return true;
}

/* ---------------------------------------------------------------- when each value lives */

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
static bool may_overwrite(const be_graph *g, const memory_place *places, const node_order *order,
                          int n, int o, int i)
{
    const graph_node *node = &g->nodes[n];
    if (!(node->op->in_place[o] >> i & 1) || node->in[i] == BE_NONE) return false;
    size_t offset, other;
    be_value root = graph_root(g, node->in[i], &offset);
    const graph_value *x = &g->values[node->in[i]], *y = &g->values[node->out[o]];
    if (g->values[root].kind != VALUE_RESULT || offset != 0 || places[root].last != n) return false;
    if (!comes_after(order, n, root)) return false;
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
static void place_output(be_graph *g, memory_map *map, node_order *order, int n, int o)
{
    const graph_node *node = &g->nodes[n];
    be_value y = node->out[o];
    if (y == BE_NONE || g->values[y].alias_of != BE_NONE) return;
    for (int i = 0; i < node->op->inputs; i++) {
        size_t offset;
        if (!may_overwrite(g, map->places, order, n, o, i)) continue;
        be_value root = graph_root(g, node->in[i], &offset);
        memory_place *place = &map->places[root];
        for (size_t w = 0; order->before && w < order->words; w++)
            order->users[(size_t)root * order->words + w] |=
                order->users[(size_t)y * order->words + w];
        if (map->places[y].last > place->last) place->last = map->places[y].last;
        g->values[y].alias_of = node->in[i];
        map->activation_sum_bytes += align_up(map->places[y].bytes);
        return;
    }
}

/* In the order of the nodes, so that a chain of them lies in one memory. */
static void place_in_place(be_graph *g, memory_map *map, node_order *order)
{
    for (size_t n = 0; n < g->node_count; n++)
        for (int o = 0; o < g->nodes[n].op->outputs; o++) place_output(g, map, order, (int)n, o);
}

/* Must two values lie apart?  The later one may have the memory of the earlier one only if it is
 * made when all that use that have ended. */
static bool lie_apart(const memory_place *places, const node_order *order, be_value a, be_value b)
{
    bool is_first = places[a].first <= places[b].first;
    be_value first = is_first ? a : b, second = is_first ? b : a;
    if (places[second].first <= places[first].last) return true;
    return !comes_after(order, places[second].first, first);
}

/* The lowest offset at which `index` fits among the `count` values placed before it. */
static size_t lowest_fit(const memory_place *places, const node_order *order,
                         const be_value *placed, size_t count, be_value index)
{
    size_t offset = 0;
    const memory_place *mine = &places[index];
    for (bool is_moved = true; is_moved;) {
        is_moved = false;
        for (size_t i = 0; i < count; i++) {
            const memory_place *other = &places[placed[i]];
            if (offset < other->offset + align_up(other->bytes) &&
                other->offset < offset + align_up(mine->bytes) &&
                lie_apart(places, order, placed[i], index)) {
                offset = other->offset + align_up(other->bytes);
                is_moved = true;
            }
        }
    }
    return offset;
}

static void place_activations(memory_map *map, const node_order *data, be_value *order,
                              size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && map->places[order[j]].bytes > map->places[order[j - 1]].bytes;
             j--) {
            be_value entry = order[j];
            order[j] = order[j - 1];
            order[j - 1] = entry;
        }
    for (size_t i = 0; i < count; i++) {
        memory_place *place = &map->places[order[i]];
        place->offset = lowest_fit(map->places, data, order, i, order[i]);
        size_t end = place->offset + align_up(place->bytes);
        if (end > map->activation_bytes) map->activation_bytes = end;
        map->activation_sum_bytes += align_up(place->bytes);
    }
}

/* A value that node n reads late.  Not behind the last node: what lives there outlives the step. */
static void touch_late(const be_graph *g, memory_place *places, be_value value, int n,
                       int late_nodes)
{
    int last = (int)g->node_count - 1;
    touch(g, places, value, n + late_nodes < last ? n + late_nodes : last);
}

be_status memory_plan(be_graph *g, int late_nodes, memory_map *out, be_error *err)
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
        for (int i = 0; i < OP_MAX_IN; i++) {
            touch(g, places, g->nodes[n].in[i], (int)n);
            if (g->nodes[n].op->late >> i & 1)
                touch_late(g, places, g->nodes[n].in[i], (int)n, late_nodes);
        }
        for (int o = 0; o < OP_MAX_OUT; o++) touch(g, places, g->nodes[n].out[o], (int)n);
    }
    node_order data = {0};
    if (late_nodes) TRY(order_new(g, &data, err));
    place_in_place(g, out, &data);
    for (size_t i = 0; i < count; i++) {
        if (g->values[i].alias_of != BE_NONE) continue;
        if (g->values[i].on_host) {
            places[i].region = REGION_HOST;
            places[i].offset = out->host_bytes;
            out->host_bytes += align_up(places[i].bytes);
        } else if (g->values[i].kind == VALUE_INPUT) {
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
    place_activations(out, &data, order, activations);
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
