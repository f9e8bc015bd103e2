/* ReLU: y = max(x, 0), NaN stays NaN.  Its gradient needs only y: dx = 0 where y <= 0, else dy. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status relu_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "relu: x", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status relu_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->node->out[0], call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_relu_backward, NULL, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void relu_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][i] < 0.0 ? 0.0 : call->x[0][i];
}

static be_status relu_backward_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "relu_backward: y", err));
    TRY(op_expect_same(&call->in[1], &call->in[0], "relu_backward: dy", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static void relu_backward_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][i] <= 0.0 ? 0.0 : call->x[1][i];
}

static const op_case relu_cases[] = {
    {.name = "rows", .in = {{BE_F32, 2, {37, 301}}}, .low = -1, .high = 1, .tolerance = 0},
    {.name = "one", .in = {{BE_F32, 1, {1}}}, .low = -1, .high = 1, .tolerance = 0},
    {.name = "image", .in = {{BE_F32, 4, {3, 17, 5, 7}}}, .low = -1, .high = 1, .tolerance = 0},
};

static const op_case relu_backward_cases[] = {
    {.name = "rows",
     .in = {{BE_F32, 2, {37, 301}}, {BE_F32, 2, {37, 301}}},
     .low = -1,
     .high = 1,
     .tolerance = 0},
    {.name = "image",
     .in = {{BE_F32, 4, {3, 17, 5, 7}}, {BE_F32, 4, {3, 17, 5, 7}}},
     .low = -1,
     .high = 1,
     .tolerance = 0},
};

const be_op be_op_relu = {.name = "relu",
                          .inputs = 1,
                          .outputs = 1,
                          .in_place = {1},
                          .infer = relu_infer,
                          .gradient = relu_gradient,
                          .reference = relu_reference,
                          .cost = op_cost_elementwise,
                          .cases = relu_cases,
                          .case_count = OP_CASES(relu_cases),
                          .differentiable = 1};

const be_op be_op_relu_backward = {.name = "relu_backward",
                                   .inputs = 2,
                                   .outputs = 1,
                                   .in_place = {3},
                                   .infer = relu_backward_infer,
                                   .reference = relu_backward_reference,
                                   .cost = op_cost_elementwise,
                                   .cases = relu_backward_cases,
                                   .case_count = OP_CASES(relu_backward_cases)};

be_value be_relu(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_relu, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
