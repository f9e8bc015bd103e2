/* sum_to: y = scale · the sum of x over the dimensions that y lacks or has as 1 (broadcast.h).
 * expand: the way back, y = scale · x with x's elements used again. */
#include "ops/reduce/sum_to.h"

#include "ops/eltwise/broadcast.h"
#include "ops/op_list.h"

static be_status sum_to_infer(op_infer *call, be_error *err)
{
    const sum_to_attrs *attrs = call->attrs;
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "sum_to: x", err));
    TRY(broadcast_check(&attrs->shape, &call->in[0], "sum_to: the shape of y", err));
    call->out[0] = attrs->shape;
    return BE_OK;
}

static be_status expand_infer(op_infer *call, be_error *err)
{
    const sum_to_attrs *attrs = call->attrs;
    TRY(op_expect(&attrs->shape, BE_F32, OP_ANY_RANK, "expand: the shape of y", err));
    TRY(broadcast_check(&call->in[0], &attrs->shape, "expand: x", err));
    call->out[0] = attrs->shape;
    return BE_OK;
}

/* The gradient of each is the other. */
static be_status add_other(op_gradient *call, const be_op *other, be_error *err)
{
    const sum_to_attrs *own = call->node->attrs;
    sum_to_attrs attrs = {be_value_shape(call->graph, call->node->in[0]), own->scale};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, other, &attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static be_status sum_to_gradient(op_gradient *call, be_error *err)
{
    return add_other(call, &be_op_expand, err);
}

static be_status expand_gradient(op_gradient *call, be_error *err)
{
    return add_other(call, &be_op_sum_to, err);
}

static void sum_to_reference(const op_reference *call)
{
    const sum_to_attrs *attrs = call->attrs;
    broadcast at = broadcast_of(&call->in[0], &call->out[0]);
    int64_t count = shape_elements(&call->in[0]), sums = shape_elements(&call->out[0]);
    for (int64_t o = 0; o < sums; o++) call->y[0][o] = 0.0;
    for (int64_t i = 0; i < count; i++) call->y[0][broadcast_index(&at, i)] += call->x[0][i];
    for (int64_t o = 0; o < sums; o++) call->y[0][o] *= (double)attrs->scale;
}

static void expand_reference(const op_reference *call)
{
    const sum_to_attrs *attrs = call->attrs;
    broadcast at = broadcast_of(&call->out[0], &call->in[0]);
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++)
        call->y[0][i] = (double)attrs->scale * call->x[0][broadcast_index(&at, i)];
}

static op_cost sum_to_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

be_status sum_to_add(be_graph *g, be_value x, const sum_to_attrs *attrs, be_value *y, be_error *err)
{
    be_value in[OP_MAX_IN] = {x}, out[OP_MAX_OUT];
    TRY(graph_add_node(g, &be_op_sum_to, attrs, in, out, err));
    *y = out[0];
    return BE_OK;
}

#define BOTH(X)                                                             \
    X(rows, "over the rows", 1.0f, 2, (37, 301), 1, (301))                  \
    X(columns, "over the columns", 1.0f, 2, (37, 301), 2, (37, 1))          \
    X(all, "over all, a mean", 0.0001f, 2, (100, 100), 1, (1))              \
    X(none, "scaled alone", -2.5f, 3, (4, 5, 67), 3, (4, 5, 67))            \
    X(images, "of images", 1.0f, 4, (5, 17, 5, 7), 3, (17, 1, 1))           \
    X(middle, "over the middle", 0.5f, 4, (3, 19, 4, 33), 4, (3, 1, 1, 33)) \
    X(one, "of one", 3.0f, 1, (1), 1, (1))

#define DIMS(...)   \
    {               \
        __VA_ARGS__ \
    }
#define X(id, text, factor, large_rank, large, small_rank, small)                   \
    static const sum_to_attrs to_##id = {{BE_F32, small_rank, DIMS small}, factor}; \
    static const sum_to_attrs from_##id = {{BE_F32, large_rank, DIMS large}, factor};
BOTH(X)
#undef X

static const op_case sum_to_cases[] = {
#define X(id, text, factor, large_rank, large, small_rank, small) \
    {.name = text,                                                \
     .attrs = &to_##id,                                           \
     .in = {{BE_F32, large_rank, DIMS large}},                    \
     .low = -1,                                                   \
     .high = 1,                                                   \
     .tolerance = 2e-6},
    BOTH(X)
#undef X
};

static const op_case expand_cases[] = {
#define X(id, text, factor, large_rank, large, small_rank, small) \
    {.name = text,                                                \
     .attrs = &from_##id,                                         \
     .in = {{BE_F32, small_rank, DIMS small}},                    \
     .low = -1,                                                   \
     .high = 1,                                                   \
     .tolerance = 1e-7},
    BOTH(X)
#undef X
};

const be_op be_op_sum_to = {.name = "sum_to",
                            .attrs_bytes = sizeof(sum_to_attrs),
                            .inputs = 1,
                            .outputs = 1,
                            .infer = sum_to_infer,
                            .gradient = sum_to_gradient,
                            .reference = sum_to_reference,
                            .cost = sum_to_cost,
                            .cases = sum_to_cases,
                            .case_count = OP_CASES(sum_to_cases),
                            .differentiable = 1};

const be_op be_op_expand = {.name = "expand",
                            .attrs_bytes = sizeof(sum_to_attrs),
                            .inputs = 1,
                            .outputs = 1,
                            .infer = expand_infer,
                            .gradient = expand_gradient,
                            .reference = expand_reference,
                            .cost = op_cost_elementwise,
                            .cases = expand_cases,
                            .case_count = OP_CASES(expand_cases),
                            .differentiable = 1};

be_value be_sum_to(be_graph *g, be_value x, be_shape shape)
{
    return graph_build(g, &be_op_sum_to, &(sum_to_attrs){shape, 1.0f}, (be_value[OP_MAX_IN]){x},
                       NULL);
}

be_value be_mean(be_graph *g, be_value x)
{
    be_shape in = be_value_shape(g, x);
    sum_to_attrs attrs = {shape_make(BE_F32, 1, 1, 0, 0, 0), 1.0f};
    if (in.rank >= 0) attrs.scale = (float)(1.0 / (double)shape_elements(&in));
    return graph_build(g, &be_op_sum_to, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}

be_value be_scale(be_graph *g, be_value x, float factor)
{
    sum_to_attrs attrs = {be_value_shape(g, x), factor};
    return graph_build(g, &be_op_expand, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}
