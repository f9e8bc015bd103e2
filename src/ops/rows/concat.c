/* Two tensors one after the other along dimension 1: a [B, P, W], b [B, Q, W] -> y [B, P + Q, W].
 * Either may have 1 in the place of B: then it is the same for all (a class token).
 *
 * Back, each gets its part of dy; what was the same for all gets the sum. */
#include "ops/op_list.h"
#include "ops/op_util.h"
#include "ops/rows/rows.h"

static be_status concat_infer(op_infer *call, be_error *err)
{
    char text[64], other[64];
    const be_shape *a = &call->in[0], *b = &call->in[1];
    TRY(op_expect(a, BE_F32, 3, "concat: a", err));
    TRY(op_expect(b, BE_F32, 3, "concat: b", err));
    bool fits = a->dim[0] == b->dim[0] || a->dim[0] == 1 || b->dim[0] == 1;
    if (!fits || a->dim[2] != b->dim[2])
        FAIL(err, BE_USAGE,
             "concat: expected a and b of the same last dimension, and of the same first or 1, "
             "found %s and %s",
             shape_text(a, text), shape_text(b, other));
    call->out[0] = a->dim[0] == 1 ? *b : *a;
    call->out[0].dim[1] = a->dim[1] + b->dim[1];
    return BE_OK;
}

static be_status concat_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    concat_backward_attrs attrs = {.need = {call->need[0], call->need[1]}};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    for (int k = 0; k < 2; k++) attrs.shape[k] = be_value_shape(call->graph, node->in[k]);
    TRY(graph_add_node(call->graph, &be_op_concat_backward, &attrs, in, out, err));
    call->dx[0] = out[0];
    call->dx[1] = out[1];
    return BE_OK;
}

static void concat_reference(const op_reference *call)
{
    const be_shape *y = &call->out[0];
    int64_t whole = y->dim[1] * y->dim[2], at = 0;
    for (int k = 0; k < 2; k++) {
        int64_t own = call->in[k].dim[1] * y->dim[2], step = call->in[k].dim[0] == 1 ? 0 : own;
        for (int64_t n = 0; n < y->dim[0]; n++)
            for (int64_t i = 0; i < own; i++)
                call->y[0][n * whole + at + i] = call->x[k][n * step + i];
        at += own;
    }
}

static op_cost concat_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

static be_status concat_backward_infer(op_infer *call, be_error *err)
{
    const concat_backward_attrs *attrs = call->attrs;
    op_infer forward = {.in = {attrs->shape[0], attrs->shape[1]}};
    TRY(concat_infer(&forward, err));
    TRY(op_expect_same(&call->in[0], &forward.out[0], "concat_backward: dy", err));
    for (int k = 0; k < 2; k++) {
        call->out[k] = attrs->shape[k];
        if (!attrs->need[k]) call->out[k].rank = -1;
    }
    return BE_OK;
}

static void concat_backward_reference(const op_reference *call)
{
    const concat_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    int64_t whole = dy->dim[1] * dy->dim[2], at = 0;
    for (int k = 0; k < 2; k++) {
        int64_t own = attrs->shape[k].dim[1] * dy->dim[2];
        int64_t step = attrs->shape[k].dim[0] == 1 ? 0 : own;
        for (int64_t i = 0; call->y[k] && i < shape_elements(&attrs->shape[k]); i++)
            call->y[k][i] = 0.0;
        for (int64_t n = 0; call->y[k] && n < dy->dim[0]; n++)
            for (int64_t i = 0; i < own; i++)
                call->y[k][n * step + i] += call->x[0][n * whole + at + i];
        at += own;
    }
}

static op_cost concat_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const concat_backward_attrs *a = attrs;
    double sums = 0.0;
    for (int k = 0; k < 2; k++)
        if (a->need[k] && a->shape[k].dim[0] == 1)
            sums += (double)(in[0].dim[0] - 1) * (double)shape_elements(&a->shape[k]);
    return (op_cost){.flops = sums, .bytes = op_bytes(in, out)};
}

#define F32(...)        \
    {                   \
        BE_F32, 3,      \
        {               \
            __VA_ARGS__ \
        }               \
    }
#define CONCAT_CASE(text, ...)                                                  \
    {                                                                           \
        .name = text, .in = {__VA_ARGS__}, .low = -1, .high = 1, .tolerance = 0 \
    }

static const op_case concat_cases[] = {
    CONCAT_CASE("class token and patches", F32(1, 1, 64), F32(5, 49, 64)),
    CONCAT_CASE("of each its own", F32(3, 4, 17), F32(3, 2, 17)),
    CONCAT_CASE("the second for all", F32(5, 3, 31), F32(1, 2, 31)),
    CONCAT_CASE("one", F32(1, 1, 1), F32(1, 1, 1)),
    CONCAT_CASE("several threads", F32(1, 1, 517), F32(9, 13, 517)),
};

static const concat_backward_attrs class_token = {{F32(1, 1, 64), F32(5, 49, 64)}, {1, 1}},
                                   own = {{F32(3, 4, 17), F32(3, 2, 17)}, {1, 1}},
                                   second = {{F32(5, 3, 31), F32(1, 2, 31)}, {1, 1}},
                                   one_alone = {{F32(7, 1, 33), F32(7, 5, 33)}, {0, 1}},
                                   token_alone = {{F32(1, 1, 33), F32(101, 5, 33)}, {1, 0}},
                                   large = {{F32(1, 1, 517), F32(9, 13, 517)}, {1, 1}};

#define BACKWARD_CASE(text, attributes, ...)                                                \
    {                                                                                       \
        .name = text, .attrs = &attributes, .in = {F32(__VA_ARGS__)}, .low = -1, .high = 1, \
        .tolerance = 1e-6                                                                   \
    }

static const op_case concat_backward_cases[] = {
    BACKWARD_CASE("class token and patches", class_token, 5, 50, 64),
    BACKWARD_CASE("of each its own", own, 3, 6, 17),
    BACKWARD_CASE("the second for all", second, 5, 5, 31),
    BACKWARD_CASE("one alone", one_alone, 7, 6, 33),
    BACKWARD_CASE("the class token alone", token_alone, 101, 6, 33),
    BACKWARD_CASE("several threads", large, 9, 14, 517),
};

const be_op be_op_concat = {.name = "concat",
                            .inputs = 2,
                            .outputs = 1,
                            .infer = concat_infer,
                            .gradient = concat_gradient,
                            .reference = concat_reference,
                            .cost = concat_cost,
                            .cases = concat_cases,
                            .case_count = OP_CASES(concat_cases),
                            .differentiable = 3};

const be_op be_op_concat_backward = {.name = "concat_backward",
                                     .attrs_bytes = sizeof(concat_backward_attrs),
                                     .inputs = 1,
                                     .outputs = 2,
                                     .infer = concat_backward_infer,
                                     .reference = concat_backward_reference,
                                     .cost = concat_backward_cost,
                                     .cases = concat_backward_cases,
                                     .case_count = OP_CASES(concat_backward_cases)};

be_value be_concat(be_graph *g, be_value a, be_value b)
{
    return graph_build(g, &be_op_concat, NULL, (be_value[OP_MAX_IN]){a, b}, NULL);
}
