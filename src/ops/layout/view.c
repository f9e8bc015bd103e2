/* The same elements under other dimensions.  The planner lets y lie where x lies, and nothing is
 * launched; only where that cannot be (x is an input, or y has a place of its own) it is a copy. */
#include "ops/op_list.h"
#include "ops/op_util.h"

typedef struct view_attrs {
    be_shape shape; /* its type counts for nothing: y is of x's */
} view_attrs;

static be_status view_infer(op_infer *call, be_error *err)
{
    char text[64], expected[64];
    const view_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    be_shape y = attrs->shape;
    y.dtype = x->dtype;
    if (dtype_bytes(x->dtype) != 4)
        FAIL(err, BE_USAGE, "view: x: expected elements of four bytes, f32 or i32, found %s",
             shape_text(x, text));
    if (y.rank < 0 || y.rank > BE_MAX_RANK || shape_elements(&y) != shape_elements(x))
        FAIL(err, BE_USAGE, "view: expected as many elements as %s has, found %s",
             shape_text(x, text), shape_text(&y, expected));
    call->out[0] = y;
    return BE_OK;
}

static be_status view_gradient(op_gradient *call, be_error *err)
{
    view_attrs back = {be_value_shape(call->graph, call->node->in[0])};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_view, &back, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void view_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][i];
}

static op_cost view_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 0.0, .bytes = op_bytes(in, out)};
}

static const view_attrs flat = {{BE_F32, 2, {3, 595}}}, deep = {{BE_F32, 4, {7, 1, 43, 37}}};

static const op_case view_cases[] = {
    {.name = "an image as a row",
     .attrs = &flat,
     .in = {{BE_F32, 4, {3, 17, 5, 7}}},
     .low = -1,
     .high = 1,
     .tolerance = 0},
    {.name = "rows as images",
     .attrs = &deep,
     .in = {{BE_F32, 2, {37, 301}}},
     .low = -1,
     .high = 1,
     .tolerance = 0},
    {.name = "integers",
     .attrs = &flat,
     .in = {{BE_I32, 2, {595, 3}}},
     .below = {1000},
     .tolerance = 0},
};

const be_op be_op_view = {.name = "view",
                          .attrs_bytes = sizeof(view_attrs),
                          .inputs = 1,
                          .outputs = 1,
                          .view_of = 1,
                          .infer = view_infer,
                          .gradient = view_gradient,
                          .reference = view_reference,
                          .cost = view_cost,
                          .cases = view_cases,
                          .case_count = OP_CASES(view_cases),
                          .differentiable = 1};

be_value be_view(be_graph *g, be_value x, be_shape shape)
{
    return graph_build(g, &be_op_view, &(view_attrs){shape}, (be_value[OP_MAX_IN]){x}, NULL);
}
