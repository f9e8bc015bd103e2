/* Softmax over the last dimension: y = exp(scale x) / the sum of exp(scale x) over the row, with
 * the row's largest element subtracted first, so that nothing overflows.
 *
 * Back, dx = scale y (dy − the sum of (dy y) over the row). */
#include "ops/softmax/softmax.h"

#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status softmax_infer(op_infer *call, be_error *err)
{
    const softmax_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    TRY(op_expect_rows(x, "softmax: x", err));
    if (!(attrs->scale > 0.0f) || !isfinite(attrs->scale))
        FAIL(err, BE_USAGE, "softmax: expected a finite scale above 0, found %g",
             (double)attrs->scale);
    call->out[0] = *x;
    return BE_OK;
}

static be_status softmax_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->node->out[0], call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_softmax_backward, call->node->attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void softmax_reference(const op_reference *call)
{
    double scale = (double)((const softmax_attrs *)call->attrs)->scale;
    int64_t width = softmax_width(&call->in[0]), rows = softmax_rows(&call->in[0]);
    for (int64_t n = 0; n < rows; n++) {
        const double *x = call->x[0] + n * width;
        double *y = call->y[0] + n * width, largest = x[0], sum = 0.0;
        for (int64_t i = 1; i < width; i++) largest = x[i] > largest ? x[i] : largest;
        for (int64_t i = 0; i < width; i++) sum += exp(scale * (x[i] - largest));
        for (int64_t i = 0; i < width; i++) y[i] = exp(scale * (x[i] - largest)) / sum;
    }
}

static be_status softmax_backward_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "softmax_backward: y", err));
    TRY(op_expect_same(&call->in[1], &call->in[0], "softmax_backward: dy", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static void softmax_backward_reference(const op_reference *call)
{
    double scale = (double)((const softmax_attrs *)call->attrs)->scale;
    int64_t width = softmax_width(&call->in[0]), rows = softmax_rows(&call->in[0]);
    for (int64_t n = 0; n < rows; n++) {
        const double *y = call->x[0] + n * width, *dy = call->x[1] + n * width;
        double sum = 0.0;
        for (int64_t i = 0; i < width; i++) sum += dy[i] * y[i];
        for (int64_t i = 0; i < width; i++)
            call->y[0][n * width + i] = scale * y[i] * (dy[i] - sum);
    }
}

/* The largest, the difference, the exponential, the sum, the quotient; back two products and a sum,
 * and a difference and two products. */
static op_cost softmax_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 5.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static const softmax_attrs plain = {1.0f}, eighth = {0.125f};

#define F32(rank, ...)            \
    {                             \
        BE_F32, rank, __VA_ARGS__ \
    }
#define SOFTMAX_CASE(text, attributes, size, ...)                                              \
    {                                                                                          \
        .name = text, .attrs = &attributes, .in = {__VA_ARGS__}, .low = -(size), .high = size, \
        .tolerance = 2e-6                                                                      \
    }

static const op_case softmax_cases[] = {
    SOFTMAX_CASE("scores", eighth, 30, F32(3, {6, 37, 37})),
    SOFTMAX_CASE("odd", plain, 3, F32(2, {37, 301})),
    SOFTMAX_CASE("far apart", plain, 300, F32(2, {9, 33})),
    SOFTMAX_CASE("one row", plain, 3, F32(1, {1000})),
    SOFTMAX_CASE("one column", plain, 3, F32(2, {9, 1})),
    SOFTMAX_CASE("several threads", plain, 3, F32(4, {2, 3, 11, 517})),
};

#define TWICE(rank, ...) F32(rank, __VA_ARGS__), F32(rank, __VA_ARGS__)

static const op_case softmax_backward_cases[] = {
    SOFTMAX_CASE("scores", eighth, 1, TWICE(3, {6, 37, 37})),
    SOFTMAX_CASE("odd", plain, 1, TWICE(2, {37, 301})),
    SOFTMAX_CASE("one row", plain, 1, TWICE(1, {1000})),
    SOFTMAX_CASE("one column", plain, 1, TWICE(2, {9, 1})),
    SOFTMAX_CASE("several threads", plain, 1, TWICE(4, {2, 3, 11, 517})),
};

const be_op be_op_softmax = {.name = "softmax",
                             .attrs_bytes = sizeof(softmax_attrs),
                             .inputs = 1,
                             .outputs = 1,
                             .in_place = {1},
                             .infer = softmax_infer,
                             .gradient = softmax_gradient,
                             .reference = softmax_reference,
                             .cost = softmax_cost,
                             .cases = softmax_cases,
                             .case_count = OP_CASES(softmax_cases),
                             .differentiable = 1};

const be_op be_op_softmax_backward = {.name = "softmax_backward",
                                      .attrs_bytes = sizeof(softmax_attrs),
                                      .inputs = 2,
                                      .outputs = 1,
                                      .in_place = {3},
                                      .infer = softmax_backward_infer,
                                      .reference = softmax_backward_reference,
                                      .cost = softmax_cost,
                                      .cases = softmax_backward_cases,
                                      .case_count = OP_CASES(softmax_backward_cases)};

be_value be_softmax(be_graph *g, be_value x, float scale)
{
    return graph_build(g, &be_op_softmax, &(softmax_attrs){scale}, (be_value[OP_MAX_IN]){x}, NULL);
}
