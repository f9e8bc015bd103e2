/* Tests of the layouts that a device asks for, and of what depends on how elements lie. */
#include "graph_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "graph/device.h"
#include "ops/op_list.h"

static const be_op op_wide = {.name = "wants blocked",
                              .inputs = 2,
                              .outputs = 1,
                              .optional = 2,
                              .infer = same_infer,
                              .cost = no_cost};
static const be_op op_plain = {.name = "wants plain",
                               .inputs = 2,
                               .outputs = 1,
                               .optional = 2,
                               .infer = same_infer,
                               .cost = no_cost};
static const be_op op_either = {.name = "follows its input",
                                .inputs = 2,
                                .outputs = 1,
                                .optional = 2,
                                .infer = same_infer,
                                .cost = no_cost};

static void test_layouts(const void *device, const be_graph *g, const graph_node *node,
                         value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    for (int i = 0; i < node->op->inputs; i++) assert_int_equal(in[i], LAYOUT_PLAIN);
    value_layout layout = node->op == &op_wide     ? LAYOUT_BLOCKED16
                          : node->op == &op_either ? g->values[node->in[0]].layout
                                                   : LAYOUT_PLAIN;
    for (int i = 0; i < node->op->inputs; i++) in[i] = layout;
    out[0] = layout;
}

static const lower_target layout_target = {.layouts = test_layouts, .reorder = &be_op_reorder};

static void layouts_are_kept_and_reorders_shared(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 4, 2, 5, 3, 3));
    be_value a = add(g, &op_wide, x, BE_NONE);   /* x is reordered */
    be_value b = add(g, &op_wide, a, x);         /* … once: a is blocked already */
    be_value c = add(g, &op_either, b, a);       /* stays blocked */
    be_value d = add(g, &op_plain, c, b);        /* c and b come back */
    be_value e = add(g, &op_plain, c, d);        /* … once */
    be_value f = add(g, &op_either, e, BE_NONE); /* stays plain */
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_INFER}, &layout_target);
    check_order(lowered);
    assert_int_equal(count_op(lowered, &be_op_reorder), 3);
    assert_int_equal(lowered->node_count, 6 + 3);
    static const value_layout blocked = LAYOUT_BLOCKED16, plain = LAYOUT_PLAIN;
    assert_int_equal(lowered->values[a].layout, blocked);
    assert_int_equal(lowered->values[b].layout, blocked);
    assert_int_equal(lowered->values[c].layout, blocked);
    assert_int_equal(lowered->values[d].layout, plain);
    assert_int_equal(lowered->values[e].layout, plain);
    assert_int_equal(lowered->values[f].layout, plain);
    for (size_t n = 0; n < lowered->node_count; n++) {
        const graph_node *node = &lowered->nodes[n];
        value_layout first = lowered->values[node->in[0]].layout;
        if (node->op == &be_op_reorder)
            assert_int_not_equal(lowered->values[node->out[0]].layout, first);
        if (node->op == &op_wide) assert_int_equal(first, blocked);
        if (node->op == &op_plain) assert_int_equal(first, plain);
        if (node->op != &be_op_reorder && node->in[1] != BE_NONE)
            assert_int_equal(lowered->values[node->in[1]].layout, first);
    }
    /* 5 channels take the room of 16. */
    assert_int_equal(value_bytes(&lowered->values[a]), 2 * 16 * 9 * 4);
    assert_int_equal(value_bytes(&lowered->values[x]), 2 * 5 * 9 * 4);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void packing_is_undone_by_unpacking(void **state)
{
    (void)state;
    static const be_dtype types[] = {BE_F32, BE_I32, BE_U8};
    static const value_layout layouts[] = {LAYOUT_BLOCKED8, LAYOUT_BLOCKED16};
    rng r = {.key = {.seed = 1, .stream = RNG_TEST}};
    for (int t = 0; t < 3; t++)
        for (int l = 0; l < 2; l++)
            for (int64_t channels = 1; channels < 36; channels += 5) {
                graph_value value = {.shape = shape_make(types[t], 4, 3, channels, 2, 5)};
                size_t bytes = value_bytes(&value), element = dtype_bytes(types[t]);
                value.layout = layouts[l];
                size_t blocked_bytes = value_bytes(&value), block = (size_t)layouts[l];
                unsigned char *x = malloc(bytes), *y = malloc(blocked_bytes), *z = malloc(bytes);
                assert_true(x && y && z);
                for (size_t i = 0; i < bytes; i++) x[i] = (unsigned char)rng_next(&r);
                memset(y, 0xFF, blocked_bytes);
                layout_pack(x, y, &value.shape, layouts[l]);
                layout_unpack(y, z, &value.shape, layouts[l]);
                assert_memory_equal(x, z, bytes);
                /* Element [1, c, 1, 2], by the definition in graph.h. */
                size_t c = (size_t)channels - 1, blocks = blocked_bytes / element / block / 30;
                size_t from = ((size_t)(1 * channels) + c) * 10 + 7;
                size_t to = ((blocks + c / block) * 10 + 7) * block + c % block;
                assert_memory_equal(x + from * element, y + to * element, element);
                if ((size_t)channels % block) /* the channel after the last */
                    for (size_t i = 0; i < element; i++)
                        assert_int_equal(y[(to + 1) * element + i], 0);
                free(x);
                free(y);
                free(z);
            }
}

/* Elements of two bytes, which no type has yet. */
static void any_element_is_packed(void **state)
{
    (void)state;
    static const be_shape shape = {BE_U8, 4, {1, 3, 1, 2}};
    static const uint16_t x[] = {0x1122, 0x3344, 0x5566, 0x7788, 0x99aa, 0xbbcc};
    uint16_t blocked[16], back[6];
    layout_pack_bytes(x, blocked, &shape, LAYOUT_BLOCKED8, 2);
    for (int c = 0; c < 8; c++)
        for (int p = 0; p < 2; p++) assert_int_equal(blocked[p * 8 + c], c < 3 ? x[c * 2 + p] : 0);
    layout_unpack_bytes(blocked, back, &shape, LAYOUT_BLOCKED8, 2);
    assert_memory_equal(x, back, sizeof x);
}

static void what_is_not_finite_is_found_by_type(void **state)
{
    (void)state;
    size_t at = 0;
    double found = 0;
    const float x[] = {1, -3e38f, 0, HUGE_VALF, NAN};
    assert_true(dtype_all_finite(BE_F32, x, 3, &at, &found));
    assert_false(dtype_all_finite(BE_F32, x, 5, &at, &found));
    assert_int_equal(at, 3);
    assert_true(isinf(found));
    assert_true(dtype_all_finite(BE_I32, x, 5, &at, &found));
    assert_true(dtype_all_finite(BE_U8, x, sizeof x, &at, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_kept_and_reorders_shared),
        cmocka_unit_test(packing_is_undone_by_unpacking),
        cmocka_unit_test(any_element_is_packed),
        cmocka_unit_test(what_is_not_finite_is_found_by_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
