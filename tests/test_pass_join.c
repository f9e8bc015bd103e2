/* Tests of the pass that makes one node of an attention's projections: what it makes, what it
 * leaves, and that the same comes out, forward and back, in plans with and without it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_fixture.h"
#include "ops/matmul/linear.h"

enum { WIDTH = 32, ROWS = 3, TOKENS = 5, CLASSES = 4 };

/* How the projections differ from those of a usual attention. */
typedef struct projections {
    const char *name;
    int width; /* 0: WIDTH */
    bool other_x, keeps_k, reads_v_twice, input_first, no_bias, spared, activates, no_fusion;
    bool lies; /* the weights lie behind one another … */
    bool one;  /* … and the three are one node */
} projections;

static be_value project(be_graph *g, be_value x, const char *name, int features,
                        const projections *p)
{
    return be_linear(g, x,
                     &(be_linear_options){.name = name,
                                          .features = features,
                                          .no_bias = p->no_bias,
                                          .input_first = p->input_first});
}

/* k, v and q are made in this order. */
static be_graph *attention_graph(const projections *p, be_value *k)
{
    int width = p->width ? p->width : WIDTH;
    be_graph *g = be_graph_new(7);
    be_value x = be_input(g, "x", shape_make(BE_F32, 3, ROWS, TOKENS, width, 0));
    be_value other = be_input(g, "other", shape_make(BE_F32, 3, ROWS, TOKENS, width, 0));
    be_value target = be_input(g, "target", shape_make(BE_I32, 2, ROWS, TOKENS, 0, 0));
    *k = project(g, p->other_x ? other : x, "k", width, p);
    be_value v = project(g, x, "v", width, p), q = project(g, x, "q", width, p);
    if (p->activates) q = be_relu(g, q);
    if (p->spared) be_parameter_no_decay(g, be_value_find(g, "q.bias"));
    be_value y = be_attention(
        g, &(be_attention_options){
               .q = q, .k = *k, .v = v, .qkv = BE_NONE, .lengths = BE_NONE, .heads = 2});
    y = be_add(g, y, p->reads_v_twice ? v : x);
    if (p->other_x) y = be_add(g, y, other);
    y = be_linear(g, y, &(be_linear_options){.name = "head", .features = CLASSES});
    be_graph_minimize(g, be_softmax_cross_entropy(g, y, target),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.1f});
    return g;
}

static size_t place_of(const be_graph *g, const char *name)
{
    return g->values[be_value_find(g, name)].alias_bytes;
}

static bool has_all(const void *device, const be_graph *g, const graph_node *node, const be_op *op)
{
    (void)device, (void)g, (void)node, (void)op;
    return true;
}

static const graph_node *first_of(const be_graph *g, const be_op *op)
{
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == op) return &g->nodes[n];
    fail_msg("no %s", op->name);
    return NULL;
}

static void check_one(const be_graph *g, be_value weight)
{
    const graph_node *attention = first_of(g, &be_op_attention), *one = first_of(g, &be_op_linear);
    assert_int_equal(attention->in[0], one->out[0]);
    assert_int_equal(attention->in[1], BE_NONE);
    assert_int_equal(attention->in[2], BE_NONE);
    assert_int_equal(g->values[one->out[0]].shape.dim[2], 3 * WIDTH);
    assert_int_equal(g->values[one->in[1]].kind, VALUE_JOINED);
    assert_int_equal(g->values[one->in[1]].alias_of, g->lowered.parameters);
    assert_true(graph_begins_with(g, one->in[1], weight));
}

static void check_projections(const projections *p)
{
    be_value k;
    be_graph *g = attention_graph(p, &k);
    be_plan_options options = {.mode = BE_TRAIN, .no_fusion = p->no_fusion};
    options.keep = &k;
    options.keep_count = p->keeps_k;
    be_graph *lowered = lower(g, &options, &(lower_target){.has = has_all});
    size_t bytes = sizeof(float) * WIDTH * WIDTH, q = place_of(lowered, "q.weight");
    print_message("%s\n", p->name);
    check_order(lowered);
    bool lies = place_of(lowered, "k.weight") == q + bytes &&
                place_of(lowered, "v.weight") == q + 2 * bytes;
    assert_int_equal(lies, p->lies);
    assert_int_equal(count_op(lowered, &be_op_linear), p->one ? 2 : 4);
    assert_int_equal(count_op(lowered, &be_op_linear_backward), p->one ? 2 : 4);
    if (p->one) check_one(lowered, be_value_find(lowered, "q.weight"));
    /* No two parameters share memory, and each gradient lies as its parameter does. */
    for (size_t a = 0; a < lowered->value_count; a++) {
        const graph_value *value = &lowered->values[a];
        size_t offset = 0;
        if (value->kind != VALUE_PARAMETER) continue;
        be_value gradient = lowered->lowered.gradient_of[a];
        assert_int_equal(graph_root(lowered, gradient, &offset), lowered->lowered.gradients);
        assert_int_equal(offset, value->alias_bytes);
        assert_true(shape_equal(&lowered->values[gradient].shape, &value->shape));
        for (size_t b = 0; b < a; b++) {
            const graph_value *other = &lowered->values[b];
            if (other->kind != VALUE_PARAMETER) continue;
            assert_true(value->alias_bytes >= other->alias_bytes + value_bytes(other) ||
                        other->alias_bytes >= value->alias_bytes + value_bytes(value));
        }
    }
    be_graph_free(lowered);
    be_graph_free(g);
}

static void projections_become_one_where_they_may(void **state)
{
    (void)state;
    static const projections cases[] = {
        {.name = "usual", .lies = true, .one = true},
        {.name = "no bias", .no_bias = true, .lies = true, .one = true},
        {.name = "no fusion", .no_fusion = true, .lies = true},
        {.name = "k is kept", .keeps_k = true, .lies = true},
        {.name = "k of another x", .other_x = true},
        {.name = "v is read twice", .reads_v_twice = true},
        {.name = "an activation", .activates = true},
        {.name = "input first", .input_first = true},
        {.name = "one bias does not decay", .spared = true},
        {.name = "weights that do not fill lines", .width = 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_projections(&cases[i]);
}

/* Numbers between −1 and 1 without a pattern. */
static void fill(float *data, size_t count, size_t seed)
{
    for (size_t i = 0; i < count; i++)
        data[i] = (float)((i * 7919 + seed * 104729) % 10007) / 5003.0f - 1.0f;
}

static void feed(be_plan *plan, const be_graph *g)
{
    be_error err;
    float x[ROWS * TOKENS * WIDTH];
    int32_t target[ROWS * TOKENS];
    fill(x, sizeof x / sizeof x[0], 1);
    for (int i = 0; i < ROWS * TOKENS; i++) target[i] = i * 3 % CLASSES;
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "x"), x, sizeof x, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "target"), target, sizeof target, &err));
}

/* The gradients of a step that changes nothing, of all parameters by their names. */
static void read_gradients(be_plan *plan, float *out)
{
    be_error err;
    ASSERT_OK(be_plan_run(plan, 1, &err));
    for (int i = 0; i < be_plan_parameter_count(plan); i++) {
        be_parameter p = be_plan_parameter(plan, i);
        size_t count = (size_t)shape_elements(&p.shape);
        ASSERT_OK(be_plan_read(plan, p.gradient, out, count * sizeof(float), &err));
        out += count;
    }
}

/* A plan with the three as one shares the weights of one where they are three. */
static void the_same_comes_out_of_one(void **state)
{
    (void)state;
    be_error err;
    be_value k;
    be_device *device = NULL;
    be_plan *plans[2] = {NULL, NULL};
    float gradients[2][4096], most = 0.0f;
    be_graph *g = attention_graph(&(projections){.name = "usual"}, &k);
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.library = "native", .threads = 2},
                             &device, &err));
    for (int one = 0; one < 2; one++) {
        be_plan_options options = {.mode = BE_TRAIN, .no_fusion = !one, .share = plans[0]};
        ASSERT_OK(be_plan_new(g, device, &options, &plans[one], &err));
        feed(plans[one], g);
        ASSERT_OK(be_plan_set_learning_rate(plans[one], 0.0, &err));
        read_gradients(plans[one], gradients[one]);
    }
    assert_true(be_plan_describe(plans[1]).nodes < be_plan_describe(plans[0]).nodes);
    int count = 3 * (WIDTH * WIDTH + WIDTH) + CLASSES * (WIDTH + 1);
    for (int i = 0; i < count; i++) most = fmaxf(most, fabsf(gradients[0][i]));
    for (int i = 0; i < count; i++)
        assert_true(fabsf(gradients[0][i] - gradients[1][i]) <= 2e-6f * most);
    for (int one = 0; one < 2; one++) be_plan_free(plans[one]);
    be_device_close(device);
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(projections_become_one_where_they_may),
        cmocka_unit_test(the_same_comes_out_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
