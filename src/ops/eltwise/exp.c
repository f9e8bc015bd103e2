/* y = exp(min(x, limit)), as for CLIP's logit scale, which is at most 100.  Back, dx = dy y where x
 * is at most the limit, and 0 beyond, as PyTorch's clamp has it. */
#include "ops/eltwise/exp.h"

#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status exp_infer(op_infer *call, be_error *err)
{
    const exp_attrs *attrs = call->attrs;
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "exp: x", err));
    if (isnan(attrs->limit))
        FAIL(err, BE_USAGE, "exp: expected a limit, or INFINITY for none, found nan");
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status exp_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    be_value in[OP_MAX_IN] = {node->in[0], node->out[0], call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_exp_backward, node->attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void exp_reference(const op_reference *call)
{
    double limit = (double)((const exp_attrs *)call->attrs)->limit;
    for (int64_t i = 0; i < shape_elements(&call->out[0]); i++)
        call->y[0][i] = exp(call->x[0][i] > limit ? limit : call->x[0][i]);
}

static be_status exp_backward_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "exp_backward: x", err));
    TRY(op_expect_same(&call->in[1], &call->in[0], "exp_backward: y", err));
    TRY(op_expect_same(&call->in[2], &call->in[0], "exp_backward: dy", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static void exp_backward_reference(const op_reference *call)
{
    double limit = (double)((const exp_attrs *)call->attrs)->limit;
    for (int64_t i = 0; i < shape_elements(&call->out[0]); i++)
        call->y[0][i] = call->x[0][i] > limit ? 0.0 : call->x[2][i] * call->x[1][i];
}

static op_cost exp_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 10.0 * (double)shape_elements(&out[0]), .bytes = op_bytes(in, out)};
}

static const exp_attrs of_clip = {4.6051702f}, at_zero = {0.0f}, unlimited = {INFINITY};

#define F32(rank, ...)            \
    {                             \
        BE_F32, rank, __VA_ARGS__ \
    }
#define EXP_CASE(text, attributes, upper, ...)                                             \
    {                                                                                      \
        .name = text, .attrs = &attributes, .in = {__VA_ARGS__}, .low = -5, .high = upper, \
        .tolerance = 1e-6                                                                  \
    }

static const op_case exp_cases[] = {
    EXP_CASE("logit scale", of_clip, 9, F32(1, {1})),
    EXP_CASE("half beyond the limit", at_zero, 5, F32(2, {37, 301})),
    EXP_CASE("without a limit", unlimited, 5, F32(4, {3, 17, 5, 7})),
};

#define THREE(rank, ...) F32(rank, __VA_ARGS__), F32(rank, __VA_ARGS__), F32(rank, __VA_ARGS__)

static const op_case exp_backward_cases[] = {
    EXP_CASE("logit scale", of_clip, 9, THREE(1, {1})),
    EXP_CASE("half beyond the limit", at_zero, 5, THREE(2, {37, 301})),
    EXP_CASE("without a limit", unlimited, 5, THREE(4, {3, 17, 5, 7})),
};

const be_op be_op_exp = {.name = "exp",
                         .attrs_bytes = sizeof(exp_attrs),
                         .inputs = 1,
                         .outputs = 1,
                         .in_place = {1},
                         .infer = exp_infer,
                         .gradient = exp_gradient,
                         .reference = exp_reference,
                         .cost = exp_cost,
                         .cases = exp_cases,
                         .case_count = OP_CASES(exp_cases),
                         .differentiable = 1};

const be_op be_op_exp_backward = {.name = "exp_backward",
                                  .attrs_bytes = sizeof(exp_attrs),
                                  .inputs = 3,
                                  .outputs = 1,
                                  .in_place = {7},
                                  .infer = exp_backward_infer,
                                  .reference = exp_backward_reference,
                                  .cost = op_cost_elementwise,
                                  .cases = exp_backward_cases,
                                  .case_count = OP_CASES(exp_backward_cases)};

be_value be_exp(be_graph *g, be_value x, float limit)
{
    return graph_build(g, &be_op_exp, &(exp_attrs){limit}, (be_value[OP_MAX_IN]){x}, NULL);
}
