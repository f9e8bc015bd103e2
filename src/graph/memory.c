/* The memory planner: when each value lives, and where it lies.
 *
 * Results are placed from the largest to the smallest, each at the lowest offset where nothing that
 * lives at the same time lies ("greedy by size", Pisarchyk and Lee, "Efficient Memory Management
 * for Deep Neural Net Inference", 2020). */
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
