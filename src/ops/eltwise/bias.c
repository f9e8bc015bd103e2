/* Bias: y = x + b, one b a channel; x [N, C] or [N, C, H, W], b [C].  Backward: dx = dy, and db is
 * the sum of dy over all dimensions but C. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status bias_infer(op_infer *call, be_error *err)
{
    char text[64];
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, OP_ANY_RANK, "bias: x", err));
    if (x->rank != 2 && x->rank != 4)
        FAIL(err, BE_USAGE, "bias: x: expected 2 or 4 dimensions, found %s", shape_text(x, text));
    be_shape b = shape_make(BE_F32, 1, x->dim[1], 0, 0, 0);
    TRY(op_expect_same(&call->in[1], &b, "bias: b", err));
    call->out[0] = *x;
    return BE_OK;
}

static be_status bias_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    call->dx[0] = call->dy[0];
    if (!call->need[1]) return BE_OK;
    TRY(graph_add_node(call->graph, &be_op_sum_rows, NULL, in, out, err));
    call->dx[1] = out[0];
    return BE_OK;
}

static void bias_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t channels = x->dim[1], count = shape_elements(x);
    int64_t pixels = count / (x->dim[0] * channels);
    for (int64_t i = 0; i < count; i++)
        call->y[0][i] = call->x[0][i] + call->x[1][i / pixels % channels];
}

#define ROWS(text, n, c)                                                                   \
    {                                                                                      \
        .name = text, .in = {{BE_F32, 2, {n, c}}, {BE_F32, 1, {c}}}, .low = -1, .high = 1, \
        .tolerance = 1e-7                                                                  \
    }
#define IMAGES(text, n, c, h, w)                                                                 \
    {                                                                                            \
        .name = text, .in = {{BE_F32, 4, {n, c, h, w}}, {BE_F32, 1, {c}}}, .low = -1, .high = 1, \
        .tolerance = 1e-7                                                                        \
    }

static const op_case bias_cases[] = {
    ROWS("rows", 100, 40),
    ROWS("odd", 7, 33),
    ROWS("one", 1, 1),
    IMAGES("images", 3, 32, 6, 6),
    IMAGES("odd images", 2, 19, 5, 7),
};

const be_op be_op_bias = {.name = "bias",
                          .inputs = 2,
                          .outputs = 1,
                          .in_place = {1},
                          .infer = bias_infer,
                          .gradient = bias_gradient,
                          .reference = bias_reference,
                          .cost = op_cost_elementwise,
                          .cases = bias_cases,
                          .case_count = OP_CASES(bias_cases),
                          .differentiable = 3};
