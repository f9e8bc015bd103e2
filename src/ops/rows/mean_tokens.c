/* The mean over the real tokens of each sample: x [B, T, W], lengths i32 [B] -> y [B, W], y[n] =
 * the mean of x[n][t] over t < lengths[n].  A length of 0 (a place of the batch without a sample)
 * makes 0; one below 0 or beyond T is none and makes NaN, so that it is noticed.
 *
 * Back, dx is dy / lengths[n] for the real tokens and zero for the others. */
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"
#include "ops/rows/rows.h"

static be_status expect_lengths(const be_shape *lengths, int64_t samples, const char *name,
                                be_error *err)
{
    be_shape like = shape_make(BE_I32, 1, samples, 0, 0, 0);
    return op_expect_same(lengths, &like, name, err);
}

static be_status mean_tokens_infer(op_infer *call, be_error *err)
{
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, 3, "mean_tokens: x", err));
    TRY(expect_lengths(&call->in[1], x->dim[0], "mean_tokens: lengths", err));
    call->out[0] = shape_make(BE_F32, 2, x->dim[0], x->dim[2], 0, 0);
    return BE_OK;
}

static be_status mean_tokens_gradient(op_gradient *call, be_error *err)
{
    mean_tokens_backward_attrs back = {be_value_shape(call->graph, call->node->in[0]).dim[1]};
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->in[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_mean_tokens_backward, &back, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* 1 / lengths[n] for a real token, else 0; a length that none can have makes NaN of all. */
static double share_of(const op_reference *call, int64_t n, int64_t t, int64_t length)
{
    double own = call->x[1][n];
    if (own < 0.0 || own > (double)length) return (double)NAN;
    return (double)t < own ? 1.0 / own : 0.0;
}

static void mean_tokens_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t length = x->dim[1], width = x->dim[2];
    for (int64_t n = 0; n < x->dim[0]; n++) {
        double *y = call->y[0] + n * width;
        for (int64_t c = 0; c < width; c++) y[c] = 0.0;
        for (int64_t t = 0; t < length; t++) {
            double share = share_of(call, n, t, length);
            for (int64_t c = 0; c < width && share != 0.0; c++)
                y[c] += share * call->x[0][(n * length + t) * width + c];
        }
    }
}

static op_cost mean_tokens_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static be_status mean_tokens_backward_infer(op_infer *call, be_error *err)
{
    const mean_tokens_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect(dy, BE_F32, 2, "mean_tokens_backward: dy", err));
    TRY(expect_lengths(&call->in[1], dy->dim[0], "mean_tokens_backward: lengths", err));
    call->out[0] = shape_make(BE_F32, 3, dy->dim[0], attrs->length, dy->dim[1], 0);
    return BE_OK;
}

static void mean_tokens_backward_reference(const op_reference *call)
{
    const be_shape *dx = &call->out[0];
    int64_t length = dx->dim[1], width = dx->dim[2];
    for (int64_t i = 0; i < shape_elements(dx); i++) {
        int64_t n = i / (length * width);
        double share = share_of(call, n, i / width % length, length);
        call->y[0][i] = share != 0.0 ? share * call->x[0][n * width + i % width] : 0.0;
    }
}

static op_cost mean_tokens_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define MEAN_CASE(text, B, T, W)                                                              \
    {                                                                                         \
        .name = text, .in = {{BE_F32, 3, {B, T, W}}, {BE_I32, 1, {B}}}, .low = -1, .high = 1, \
        .below = {0, T + 1}, .tolerance = 2e-6                                                \
    }

static const op_case mean_tokens_cases[] = {
    MEAN_CASE("sentences", 4, 37, 64),
    MEAN_CASE("odd", 17, 5, 33),
    MEAN_CASE("of one token", 9, 1, 7),
    MEAN_CASE("several threads", 16, 19, 301),
};

static const mean_tokens_backward_attrs of_37 = {37}, of_5 = {5}, of_1 = {1}, of_19 = {19};

#define BACKWARD_CASE(text, attributes, B, T, W)                                           \
    {                                                                                      \
        .name = text, .attrs = &attributes, .in = {{BE_F32, 2, {B, W}}, {BE_I32, 1, {B}}}, \
        .low = -1, .high = 1, .below = {0, T + 1}, .tolerance = 1e-6                       \
    }

static const op_case mean_tokens_backward_cases[] = {
    BACKWARD_CASE("sentences", of_37, 4, 37, 64),
    BACKWARD_CASE("odd", of_5, 17, 5, 33),
    BACKWARD_CASE("of one token", of_1, 9, 1, 7),
    BACKWARD_CASE("several threads", of_19, 16, 19, 301),
};

const be_op be_op_mean_tokens = {.name = "mean_tokens",
                                 .inputs = 2,
                                 .outputs = 1,
                                 .infer = mean_tokens_infer,
                                 .gradient = mean_tokens_gradient,
                                 .reference = mean_tokens_reference,
                                 .cost = mean_tokens_cost,
                                 .cases = mean_tokens_cases,
                                 .case_count = OP_CASES(mean_tokens_cases),
                                 .differentiable = 1};

const be_op be_op_mean_tokens_backward = {.name = "mean_tokens_backward",
                                          .attrs_bytes = sizeof(mean_tokens_backward_attrs),
                                          .inputs = 2,
                                          .outputs = 1,
                                          .infer = mean_tokens_backward_infer,
                                          .reference = mean_tokens_backward_reference,
                                          .cost = mean_tokens_backward_cost,
                                          .cases = mean_tokens_backward_cases,
                                          .case_count = OP_CASES(mean_tokens_backward_cases)};

be_value be_mean_tokens(be_graph *g, be_value x, be_value lengths)
{
    return graph_build(g, &be_op_mean_tokens, NULL, (be_value[OP_MAX_IN]){x, lengths}, NULL);
}
