/* Rows of length 1: over the last dimension y = x / ‖x‖, ‖x‖ the root of the sum of squares;
 * without an epsilon, as Hugging Face's CLIP has it: a row of zeros makes NaN.
 *
 * Back, dx = (dy − y · the sum of (dy y)) / ‖x‖. */
#include <math.h>

#include "ops/norm/layer_norm.h"
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_shape norm_shape(const be_shape *x)
{
    be_shape shape = *x;
    shape.rank--;
    return shape;
}

static be_status l2_normalize_infer(op_infer *call, be_error *err)
{
    TRY(op_expect_rows(&call->in[0], "l2_normalize: x", err));
    call->out[0] = call->in[0];
    call->out[1] = norm_shape(&call->in[0]);
    return BE_OK;
}

static be_status l2_normalize_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    be_value in[OP_MAX_IN] = {node->out[0], node->out[1], call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_l2_normalize_backward, NULL, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void l2_normalize_reference(const op_reference *call)
{
    int64_t width = layer_norm_width(&call->in[0]), rows = layer_norm_rows(&call->in[0]);
    for (int64_t n = 0; n < rows; n++) {
        const double *x = call->x[0] + n * width;
        double squares = 0.0;
        for (int64_t i = 0; i < width; i++) squares += x[i] * x[i];
        call->y[1][n] = sqrt(squares);
        for (int64_t i = 0; i < width; i++) call->y[0][n * width + i] = x[i] / sqrt(squares);
    }
}

static be_status l2_normalize_backward_infer(op_infer *call, be_error *err)
{
    const be_shape *y = &call->in[0];
    TRY(op_expect_rows(y, "l2_normalize_backward: y", err));
    be_shape norms = norm_shape(y);
    TRY(op_expect_same(&call->in[1], &norms, "l2_normalize_backward: norm", err));
    TRY(op_expect_same(&call->in[2], y, "l2_normalize_backward: dy", err));
    call->out[0] = *y;
    return BE_OK;
}

static void l2_normalize_backward_reference(const op_reference *call)
{
    int64_t width = layer_norm_width(&call->in[0]), rows = layer_norm_rows(&call->in[0]);
    for (int64_t n = 0; n < rows; n++) {
        const double *y = call->x[0] + n * width, *dy = call->x[2] + n * width;
        double sum = 0.0;
        for (int64_t i = 0; i < width; i++) sum += dy[i] * y[i];
        for (int64_t i = 0; i < width; i++)
            call->y[0][n * width + i] = (dy[i] - y[i] * sum) / call->x[1][n];
    }
}

/* A product, a sum, a quotient; back a product and a sum, and two operations and a quotient. */
static op_cost l2_normalize_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 3.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static op_cost l2_normalize_backward_cost(const void *attrs, const be_shape *in,
                                          const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 5.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define F32(rank, ...)            \
    {                             \
        BE_F32, rank, __VA_ARGS__ \
    }
#define L2_CASE(text, ...)                                                         \
    {                                                                              \
        .name = text, .in = {__VA_ARGS__}, .low = -1, .high = 1, .tolerance = 1e-6 \
    }

static const op_case l2_normalize_cases[] = {
    L2_CASE("features", F32(2, {12, 512})),
    L2_CASE("odd", F32(3, {5, 7, 301})),
    L2_CASE("one row", F32(1, {33})),
    L2_CASE("several threads", F32(2, {67, 517})),
};

/* Norms are far enough from 0 to be divided by. */
#define BACKWARD_CASE(text, rows, width)                                                    \
    {                                                                                       \
        .name = text, .in = {F32(2, {rows, width}), F32(1, {rows}), F32(2, {rows, width})}, \
        .low = 0.125, .high = 1, .tolerance = 2e-6                                          \
    }

static const op_case l2_normalize_backward_cases[] = {
    BACKWARD_CASE("features", 12, 512),
    BACKWARD_CASE("odd", 35, 301),
    BACKWARD_CASE("one column", 9, 1),
    BACKWARD_CASE("several threads", 67, 517),
};

const be_op be_op_l2_normalize = {.name = "l2_normalize",
                                  .inputs = 1,
                                  .outputs = 2,
                                  .in_place = {1},
                                  .auxiliary = 1u << 1,
                                  .infer = l2_normalize_infer,
                                  .gradient = l2_normalize_gradient,
                                  .reference = l2_normalize_reference,
                                  .cost = l2_normalize_cost,
                                  .cases = l2_normalize_cases,
                                  .case_count = OP_CASES(l2_normalize_cases),
                                  .differentiable = 1};

const be_op be_op_l2_normalize_backward = {.name = "l2_normalize_backward",
                                           .inputs = 3,
                                           .outputs = 1,
                                           .in_place = {1u << 0 | 1u << 2},
                                           .infer = l2_normalize_backward_infer,
                                           .reference = l2_normalize_backward_reference,
                                           .cost = l2_normalize_backward_cost,
                                           .cases = l2_normalize_backward_cases,
                                           .case_count = OP_CASES(l2_normalize_backward_cases)};

be_value be_l2_normalize(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_l2_normalize, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
