/* Two tensors element by element: add y = a + b, subtract y = a − b, multiply y = a · b.  The
 * dimensions of b are the last ones of a, or 1 (broadcast.h); y is like a.
 *
 * Gradients: da = dy, or dy · b; db = dy, −dy or dy · a, summed where b's elements were used again.
 */
#include "ops/eltwise/broadcast.h"
#include "ops/op_list.h"
#include "ops/reduce/sum_to.h"

static be_status binary_infer(op_infer *call, const char *a, const char *b, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, a, err));
    TRY(broadcast_check(&call->in[1], &call->in[0], b, err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status add_infer(op_infer *call, be_error *err)
{
    return binary_infer(call, "add: a", "add: b", err);
}

static be_status subtract_infer(op_infer *call, be_error *err)
{
    return binary_infer(call, "subtract: a", "subtract: b", err);
}

static be_status multiply_infer(op_infer *call, be_error *err)
{
    return binary_infer(call, "multiply: a", "multiply: b", err);
}

/* db from what b's elements would get if each were used once. */
static be_status gradient_of_b(op_gradient *call, be_value each, float scale, be_error *err)
{
    be_shape b = be_value_shape(call->graph, call->node->in[1]);
    be_shape whole = be_value_shape(call->graph, each);
    call->dx[1] = each;
    if (scale == 1.0f && shape_equal(&b, &whole)) return BE_OK;
    return sum_to_add(call->graph, each, &(sum_to_attrs){b, scale}, &call->dx[1], err);
}

static be_status add_gradient(op_gradient *call, be_error *err)
{
    call->dx[0] = call->dy[0];
    return call->need[1] ? gradient_of_b(call, call->dy[0], 1.0f, err) : BE_OK;
}

static be_status subtract_gradient(op_gradient *call, be_error *err)
{
    call->dx[0] = call->dy[0];
    return call->need[1] ? gradient_of_b(call, call->dy[0], -1.0f, err) : BE_OK;
}

static be_status multiply_gradient(op_gradient *call, be_error *err)
{
    be_value out[OP_MAX_OUT];
    for (int i = 0; i < 2; i++) {
        if (!call->need[i]) continue;
        be_value in[OP_MAX_IN] = {call->dy[0], call->node->in[1 - i]};
        TRY(graph_add_node(call->graph, &be_op_multiply, NULL, in, out, err));
        call->dx[i] = out[0];
        if (i == 1) TRY(gradient_of_b(call, out[0], 1.0f, err));
    }
    return BE_OK;
}

#define BINARY_REFERENCE(name, f)                                              \
    static void name##_reference(const op_reference *call)                     \
    {                                                                          \
        int64_t count = shape_elements(&call->out[0]);                         \
        broadcast at = broadcast_of(&call->in[0], &call->in[1]);               \
        for (int64_t i = 0; i < count; i++) {                                  \
            double a = call->x[0][i], b = call->x[1][broadcast_index(&at, i)]; \
            call->y[0][i] = f;                                                 \
        }                                                                      \
    }

BINARY_REFERENCE(add, a + b)
BINARY_REFERENCE(subtract, a - b)
BINARY_REFERENCE(multiply, a *b)

#define F32(...)            \
    {                       \
        BE_F32, __VA_ARGS__ \
    }
#define SAME(...) F32(__VA_ARGS__), F32(__VA_ARGS__)
#define PAIR_CASE(text, ...)                                                       \
    {                                                                              \
        .name = text, .in = {__VA_ARGS__}, .low = -1, .high = 1, .tolerance = 1e-7 \
    }

static const op_case binary_cases[] = {
    PAIR_CASE("rows", SAME(2, {37, 301})),
    PAIR_CASE("image", SAME(4, {3, 17, 5, 7})),
    PAIR_CASE("batch 100", SAME(4, {100, 8, 3, 3})),
    PAIR_CASE("one", SAME(1, {1})),
    PAIR_CASE("a row for all", F32(2, {37, 301}), F32(1, {301})),
    PAIR_CASE("places for all samples", F32(3, {7, 5, 24}), F32(2, {5, 24})),
    PAIR_CASE("a number for all", F32(3, {5, 7, 11}), F32(1, {1})),
    PAIR_CASE("a column for all", F32(3, {4, 19, 33}), F32(2, {19, 1})),
    PAIR_CASE("a number an image and column", F32(4, {3, 17, 5, 7}), F32(4, {3, 1, 1, 7})),
};

#define BINARY_OP(text, is_narrow)                                                               \
    {                                                                                            \
        .name = #text, .inputs = 2, .outputs = 1, .in_place = {3}, .infer = text##_infer,        \
        .gradient = text##_gradient, .reference = text##_reference, .cost = op_cost_elementwise, \
        .cases = binary_cases, .case_count = OP_CASES(binary_cases), .differentiable = 3,        \
        .narrow_in = (is_narrow) ? 3 : 0, .narrow_out = (is_narrow) ? 1 : 0,                     \
        .keeps_narrow = (is_narrow)                                                              \
    }

const be_op be_op_add = BINARY_OP(add, true);
const be_op be_op_subtract = BINARY_OP(subtract, false);
const be_op be_op_multiply = BINARY_OP(multiply, false);

be_value be_add(be_graph *g, be_value a, be_value b)
{
    return graph_build(g, &be_op_add, NULL, (be_value[OP_MAX_IN]){a, b}, NULL);
}

be_value be_subtract(be_graph *g, be_value a, be_value b)
{
    return graph_build(g, &be_op_subtract, NULL, (be_value[OP_MAX_IN]){a, b}, NULL);
}

be_value be_multiply(be_graph *g, be_value a, be_value b)
{
    return graph_build(g, &be_op_multiply, NULL, (be_value[OP_MAX_IN]){a, b}, NULL);
}
