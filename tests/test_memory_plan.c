/* Tests of the memory planner: graphs are run on paper, and every byte must still hold what was put
 * there when it is read. */
#include "small_workload.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "graph/device.h"
#include "workloads/workload.h"

/* Whatever is in the memory: an output in the place of an input is something new there. */
static be_value content_of(const be_graph *g, be_value value)
{
    for (;;) {
        const graph_value *v = &g->values[value];
        bool is_new = false;
        for (int o = 0; v->producer >= 0 && o < OP_MAX_OUT; o++)
            if (g->nodes[v->producer].out[o] == value)
                is_new = graph_is_in_place(g, &g->nodes[v->producer], o);
        if (v->alias_of == BE_NONE || is_new) return value;
        value = v->alias_of;
    }
}

static op_cost no_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs, (void)in, (void)out;
    return (op_cost){0, 0};
}

static be_status update_infer(op_infer *call, be_error *err)
{
    (void)err;
    call->out[0] = call->in[0];
    return BE_OK;
}

static const be_op op_update = {.name = "update",
                                .inputs = 2,
                                .outputs = 1,
                                .updates = {1},
                                .infer = update_infer,
                                .cost = no_cost};

/* Output 0 may lie in the memory of each input, output 1 in that of the second. */
static be_status pair_infer(op_infer *call, be_error *err)
{
    (void)err;
    call->out[0] = call->out[1] = call->in[0];
    return BE_OK;
}

static const be_op op_pair = {.name = "pair",
                              .inputs = 3,
                              .outputs = 2,
                              .optional = 7,
                              .in_place = {7, 2},
                              .infer = pair_infer,
                              .cost = no_cost};

typedef struct mix_attrs {
    int64_t elements[2]; /* 0: no second output */
} mix_attrs;

static be_status mix_infer(op_infer *call, be_error *err)
{
    (void)err;
    const mix_attrs *attrs = call->attrs;
    for (int o = 0; o < OP_MAX_OUT; o++) {
        int64_t elements = o < 2 ? attrs->elements[o] : 0;
        call->out[o] = shape_make(BE_U8, elements ? 1 : -1, elements, 0, 0, 0);
    }
    return BE_OK;
}

static const be_op op_mix = {.name = "mix",
                             .attrs_bytes = sizeof(mix_attrs),
                             .inputs = 3,
                             .outputs = 2,
                             .optional = 7,
                             .infer = mix_infer,
                             .cost = no_cost};

/* The memory that a value lies in, in the end. */
static be_value root_of(const be_graph *g, be_value value)
{
    while (g->values[value].alias_of != BE_NONE) value = g->values[value].alias_of;
    return value;
}

/* Which memory holds what, grain by grain, while the nodes are run one after the other.  Values lie
 * at whole grains, so that no two share a part of one. */
#define GRAIN MEMORY_ALIGN

typedef struct simulation {
    const be_graph *g;
    const memory_map *map;
    be_value *owner; /* of each grain of the activations: a content, or BE_NONE */
} simulation;

static size_t grains(size_t bytes)
{
    return (bytes + GRAIN - 1) / GRAIN;
}

static const memory_place *activation(const simulation *s, be_value value)
{
    const memory_place *place = value == BE_NONE ? NULL : &s->map->places[value];
    if (!place || place->region != REGION_ACTIVATION) return NULL;
    assert_int_equal(place->offset % GRAIN, 0);
    return place;
}

static void must_hold(const simulation *s, be_value value, const char *when, size_t node)
{
    const memory_place *place = activation(s, value);
    const be_value *owner = place ? s->owner + place->offset / GRAIN : NULL;
    be_value content = content_of(s->g, value == BE_NONE ? 0 : value);
    for (size_t i = 0; place && i < grains(place->bytes); i++)
        if (owner[i] != content)
            fail_msg("%s node %zu, value %d has lost its memory to value %d", when, node,
                     (int)value, (int)owner[i]);
}

/* Does an output lie in the place of this input, as the op allows? */
static bool is_overwritten(const be_graph *g, const graph_node *node, int i)
{
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->in[i] != BE_NONE && node->op->in_place[o] >> i & 1 &&
            graph_is_in_place(g, node, o) && g->values[node->out[o]].alias_of == node->in[i])
            return true;
    return false;
}

static void simulate(const be_graph *g, const memory_map *map)
{
    size_t count = grains(map->activation_bytes);
    simulation s = {g, map, malloc((count + 1) * sizeof(be_value))};
    assert_non_null(s.owner);
    for (size_t i = 0; i < count; i++) s.owner[i] = BE_NONE;
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        for (int i = 0; i < OP_MAX_IN; i++) must_hold(&s, node->in[i], "before", n);
        for (int o = 0; o < OP_MAX_OUT; o++) {
            const memory_place *place = activation(&s, node->out[o]);
            if (!place) continue;
            assert_true(place->offset + place->bytes <= map->activation_bytes);
            for (size_t i = 0; i < grains(place->bytes); i++)
                s.owner[place->offset / GRAIN + i] = content_of(g, node->out[o]);
        }
        /* An output may overwrite neither another output nor an input that it does not update. */
        for (int o = 0; o < OP_MAX_OUT; o++) must_hold(&s, node->out[o], "after", n);
        for (int i = 0; i < OP_MAX_IN; i++)
            if (!is_overwritten(g, node, i)) must_hold(&s, node->in[i], "during", n);
    }
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].keep && g->values[i].producer >= 0)
            must_hold(&s, (be_value)i, "behind", g->node_count);
    free(s.owner);
}

/* The least that any plan needs: what is alive at the worst moment. */
static size_t peak_bytes(const be_graph *g, const memory_map *map)
{
    size_t peak = 0;
    for (int n = 0; n < (int)g->node_count; n++) {
        size_t now = 0;
        for (size_t i = 0; i < g->value_count; i++) {
            const memory_place *place = &map->places[i];
            if (place->region == REGION_ACTIVATION && g->values[i].alias_of == BE_NONE)
                now += place->first <= n && n <= place->last ? place->bytes : 0;
        }
        peak = now > peak ? now : peak;
    }
    return peak;
}

static void check_places(const be_graph *g, const memory_map *map)
{
    size_t persistent = 0;
    for (size_t i = 0; i < g->value_count; i++) {
        const graph_value *value = &g->values[i];
        const memory_place *place = &map->places[i];
        be_value root = root_of(g, (be_value)i);
        assert_int_equal(place->bytes, value_bytes(value));
        if (value->kind == VALUE_INPUT) assert_int_equal(place->region, REGION_INPUT);
        if (root != (be_value)i) {
            const memory_place *whole = &map->places[root];
            assert_int_equal(place->region, whole->region);
            size_t inside = 0;
            for (be_value v = (be_value)i; v != root; v = g->values[v].alias_of)
                inside += g->values[v].alias_bytes;
            assert_int_equal(place->offset, whole->offset + inside);
            assert_true(inside + place->bytes <= whole->bytes);
        }
        if (place->region == REGION_PERSISTENT && root == (be_value)i) {
            assert_true(place->offset >= persistent); /* one behind the other, in order */
            persistent = place->offset + place->bytes;
            assert_int_equal(place->offset % MEMORY_ALIGN, 0);
        }
        if (place->region == REGION_ACTIVATION && root == (be_value)i)
            assert_int_equal(place->offset % MEMORY_ALIGN, 0);
    }
    assert_true(persistent <= map->persistent_bytes);
    assert_true(map->activation_bytes <= map->activation_sum_bytes);
    assert_true(map->activation_bytes >= peak_bytes(g, map));
}

static be_graph *random_graph(rng *r)
{
    be_error err;
    be_value made[OP_MAX_OUT];
    be_graph *g = be_graph_new(1);
    be_input(g, "x", shape_make(BE_U8, 1, 100, 0, 0, 0));
    int nodes = 1 + (int)rng_next_below(r, 60), near = 1 + (int)rng_next_below(r, 12);
    for (int n = 0; n < nodes; n++) {
        be_value in[OP_MAX_IN] = {BE_NONE, BE_NONE, BE_NONE};
        for (int i = 0; i < 3; i++) {
            uint32_t count = (uint32_t)g->value_count, back = (uint32_t)near;
            uint32_t away = 1 + rng_next_below(r, back < count ? back : count);
            if (i == 0 || rng_next_below(r, 2)) in[i] = (be_value)(count - away);
        }
        bool is_update = g->values[in[0]].kind == VALUE_RESULT && rng_next_below(r, 6) == 0;
        mix_attrs attrs = {{1 + rng_next_below(r, 5000), 0}};
        if (rng_next_below(r, 3) == 0) attrs.elements[1] = 1 + rng_next_below(r, 300);
        if (is_update && in[1] == BE_NONE) in[1] = 0;
        /* Pairs of a pair are as large as it is, so there are chains of them. */
        bool is_pair = !is_update && rng_next_below(r, 3) == 0;
        const be_op *op = is_update ? &op_update : is_pair ? &op_pair : &op_mix;
        ASSERT_OK(graph_add_node(g, op, &attrs, in, made, &err));
        if (rng_next_below(r, 10) == 0) g->values[made[0]].keep = true;
    }
    return g;
}

static void no_two_living_values_share_memory(void **state)
{
    (void)state;
    rng r = {.key = {.seed = 17, .stream = RNG_TEST}};
    size_t bytes = 0, sum = 0;
    int in_place = 0;
    for (int i = 0; i < 400; i++) {
        be_error err;
        memory_map map;
        be_graph *g = random_graph(&r);
        ASSERT_OK(memory_plan(g, 0, &map, &err));
        check_places(g, &map);
        simulate(g, &map);
        bytes += map.activation_bytes;
        sum += map.activation_sum_bytes;
        for (size_t n = 0; n < g->node_count; n++)
            for (int o = 0; o < 2; o++) in_place += graph_is_in_place(g, &g->nodes[n], o);
        be_graph_free(g);
    }
    assert_true(bytes < sum * 3 / 4); /* memory is in fact used again */
    assert_true(in_place > 400);
}

/* The places that a node touches; written from the `outputs` on. */
typedef struct touched {
    be_value values[OP_MAX_IN + OP_MAX_OUT];
    int count, outputs;
} touched;

static touched touched_by(const be_graph *g, size_t n)
{
    touched t = {.count = 0};
    for (int i = 0; i < OP_MAX_IN; i++)
        if (g->nodes[n].in[i] != BE_NONE) t.values[t.count++] = g->nodes[n].in[i];
    t.outputs = t.count;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (g->nodes[n].out[o] != BE_NONE) t.values[t.count++] = g->nodes[n].out[o];
    return t;
}

/* Do two nodes touch the same memory, one of them writing?  Without a map: the same value. */
static bool nodes_meet(const be_graph *g, const memory_map *map, size_t j, size_t k)
{
    touched a = touched_by(g, j), b = touched_by(g, k);
    for (int x = 0; x < a.count; x++)
        for (int y = 0; y < b.count; y++) {
            if (x < a.outputs && y < b.outputs) continue;
            if (!map) {
                if (root_of(g, a.values[x]) == root_of(g, b.values[y])) return true;
                continue;
            }
            const memory_place *p = &map->places[a.values[x]], *q = &map->places[b.values[y]];
            if (p->region == REGION_ACTIVATION && q->region == REGION_ACTIVATION &&
                p->offset < q->offset + q->bytes && q->offset < p->offset + p->bytes)
                return true;
        }
    return false;
}

#define NODES_MOST 61

/* Where nodes run beside one another memory makes no order that data does not make. */
static void memory_orders_nothing(void **state)
{
    (void)state;
    rng r = {.key = {.seed = 19, .stream = RNG_TEST}};
    size_t bytes = 0, sum = 0;
    for (int i = 0; i < 200; i++) {
        be_error err;
        memory_map map;
        static bool behind[NODES_MOST][NODES_MOST]; /* by data, directly or not */
        be_graph *g = random_graph(&r);
        memset(behind, 0, sizeof behind);
        for (size_t k = 0; k < g->node_count; k++)
            for (size_t j = k; j-- > 0;) {
                if (!nodes_meet(g, NULL, j, k)) continue;
                behind[k][j] = true;
                for (size_t b = 0; b < j; b++) behind[k][b] |= behind[j][b];
            }
        ASSERT_OK(memory_plan(g, 3, &map, &err));
        check_places(g, &map);
        simulate(g, &map);
        for (size_t k = 0; k < g->node_count; k++)
            for (size_t j = 0; j < k; j++)
                if (nodes_meet(g, &map, j, k) && !behind[k][j])
                    fail_msg("node %zu waits for node %zu for its memory alone", k, j);
        bytes += map.activation_bytes;
        sum += map.activation_sum_bytes;
        be_graph_free(g);
    }
    assert_true(bytes < sum); /* and some of it is used again */
}

/* x is an input of 100 bytes, a = mix(x) has 100 too, and b is a pair of it. */
typedef struct overwriting {
    const char *name;
    bool keep_a, read_a_again, a_twice, of_the_input, of_a_state, of_another_type;
    bool expected;
} overwriting;

static void check_overwriting(const overwriting *o)
{
    be_error err;
    memory_map map;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_U8, 1, 100, 0, 0, 0));
    be_value none[OP_MAX_IN] = {BE_NONE, BE_NONE, BE_NONE}, a, made[OP_MAX_OUT], more[OP_MAX_OUT];
    ASSERT_OK(graph_add_node(g, &op_mix, &(mix_attrs){{100, 0}}, none, made, &err));
    a = o->of_the_input ? x : made[0];
    if (o->of_a_state) g->values[a].kind = VALUE_STATE;
    g->values[a].keep = o->keep_a;
    be_value in[OP_MAX_IN] = {a, BE_NONE, o->a_twice ? a : BE_NONE};
    ASSERT_OK(graph_add_node(g, &op_pair, NULL, in, made, &err));
    if (o->of_another_type) g->values[made[0]].shape.dtype = BE_I32;
    be_value again[OP_MAX_IN] = {made[0], o->read_a_again ? a : BE_NONE, BE_NONE};
    ASSERT_OK(graph_add_node(g, &op_mix, &(mix_attrs){{7, 0}}, again, more, &err));
    ASSERT_OK(memory_plan(g, 0, &map, &err));
    if (graph_is_in_place(g, &g->nodes[1], 0) != o->expected)
        fail_msg("%s: expected it %s place", o->name, o->expected ? "in" : "not in");
    assert_int_equal(g->values[made[0]].alias_of, o->expected ? a : BE_NONE);
    if (!o->of_another_type) simulate(g, &map);
    be_graph_free(g);
}

static void an_output_takes_the_place_of_an_input_that_ends(void **state)
{
    (void)state;
    static const overwriting all[] = {
        {.name = "a is read for the last time", .expected = true},
        {.name = "a stays readable", .keep_a = true},
        {.name = "a is read later", .read_a_again = true},
        {.name = "a is another operand too", .a_twice = true},
        {.name = "the user's input", .of_the_input = true},
        {.name = "a state", .of_a_state = true},
        {.name = "another type", .of_another_type = true},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) check_overwriting(&all[i]);
}

/* A classifier's logits: one memory for them and their gradient, unless somebody wants to see them.
 */
static void a_gradient_lies_where_the_logits_were(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    const size_t logits_bytes = (size_t)64 * 5003 * sizeof(float);
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.library = "native"}, &device, &err));
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 64, 16, 0, 0));
    be_value target = be_input(g, "target", shape_make(BE_I32, 1, 64, 0, 0, 0));
    be_value logits = be_linear(g, x, &(be_linear_options){.name = "head", .features = 5003});
    be_graph_minimize(g, be_softmax_cross_entropy(g, logits, target),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1});
    static const size_t expected[2][2] = {{1, 1}, {1, 2}}; /* by mode and by keeping, of logits */
    for (int k = 0; k < 4; k++) {
        be_plan *plan = NULL;
        be_mode mode = k & 1 ? BE_TRAIN : BE_INFER;
        be_plan_options options = {
            .mode = mode, .keep = &logits, .keep_count = k >> 1, .dry_run = 1};
        ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
        size_t found = be_plan_describe(plan).activation_bytes / logits_bytes;
        assert_int_equal(found, expected[k & 1][k >> 1]);
        be_plan_free(plan);
    }
    be_graph_free(g);
    be_device_close(device);
}

static bool device_has(const void *device, const be_graph *g, const graph_node *node,
                       const be_op *op)
{
    return ((const be_device *)device)->vtable->has(device, BE_PRECISION_FP32, g, node, op);
}

static void check_workload(const workload *w, be_device *device, be_mode mode, bool keep)
{
    be_error err;
    workload_model model;
    memory_map map;
    be_value kept[2];
    be_graph *g = NULL;
    ASSERT_OK(workload_model_new(w, &(workload_options){.batch = 4, .count = 100}, &model, &err));
    kept[0] = model.outputs.trace[0];
    kept[1] = model.batch[0];
    be_plan_options options = {.mode = mode, .keep = kept, .keep_count = keep ? 2 : 0};
    lower_target target = {.device = device,
                           .has = device_has,
                           .has_of = device,
                           .layouts = device->vtable->layouts,
                           .reorder = device->reorder};
    ASSERT_OK(graph_lower(model.graph, &options, &target, &g, &err));
    ASSERT_OK(memory_plan(g, 0, &map, &err));
    check_places(g, &map);
    simulate(g, &map);
    assert_true(map.activation_bytes < map.activation_sum_bytes);
    be_graph_free(g);
    be_graph_free(model.graph);
}

static void the_ladder_fits_into_its_memory(void **state)
{
    (void)state;
    static const char *const libraries[] = {"native", "onednn"};
    for (int l = 0; l < 2; l++) {
        be_error err;
        be_device *device = NULL;
        ASSERT_OK(
            be_device_open("cpu", &(be_device_options){.library = libraries[l]}, &device, &err));
        workload room;
        for (int i = 0; i < WORKLOAD_COUNT; i++)
            for (int k = 0; k < 4; k++) /* Of the large ones one plan each. */
                if (workload_table[i]->parameters < 2000000 || (l == 0 && k == 1))
                    check_workload(small_workload(i, &room), device, k & 1 ? BE_TRAIN : BE_INFER,
                                   k & 2);
        be_device_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_living_values_share_memory),
        cmocka_unit_test(memory_orders_nothing),
        cmocka_unit_test(an_output_takes_the_place_of_an_input_that_ends),
        cmocka_unit_test(a_gradient_lies_where_the_logits_were),
        cmocka_unit_test(the_ladder_fits_into_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
