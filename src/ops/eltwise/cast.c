/* Conversion between types of real numbers: y = x, rounded to the nearest (ties to even) where y
 * has fewer digits.  The gradient is converted back: rounding counts as the identity. */
#include "ops/eltwise/cast.h"

#include "ops/op_util.h"

static be_status cast_infer(op_infer *call, be_error *err)
{
    const cast_attrs *a = call->attrs;
    char text[64];
    if (!dtype_is_real(call->in[0].dtype))
        FAIL(err, BE_USAGE, "cast: expected real numbers (f32, f16, bf16), found %s",
             shape_text(&call->in[0], text));
    if (!dtype_is_real(a->to))
        FAIL(err, BE_USAGE, "cast: expected to make f32, f16 or bf16, found %s", dtype_name(a->to));
    call->out[0] = call->in[0];
    call->out[0].dtype = a->to;
    return BE_OK;
}

static be_status cast_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    be_dtype from = be_value_shape(call->graph, call->node->in[0]).dtype;
    TRY(graph_add_node(call->graph, &be_op_cast, &(cast_attrs){from}, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void cast_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][i];
}

#define CAST_CASE(text, from, into, limit, ...)                                        \
    {                                                                                  \
        .name = text, .attrs = &(const cast_attrs){into}, .in = {{from, __VA_ARGS__}}, \
        .low = -(limit), .high = (limit)                                               \
    }

static const op_case cast_cases[] = {
    CAST_CASE("f32 to bf16", BE_F32, BE_BF16, 3, 2, {37, 301}),
    CAST_CASE("f32 to bf16, large", BE_F32, BE_BF16, 1e30, 3, {3, 5, 77}),
    CAST_CASE("f32 to f16", BE_F32, BE_F16, 65000, 2, {37, 301}),
    CAST_CASE("f32 to f16, subnormal", BE_F32, BE_F16, 1e-4, 1, {1111}),
    CAST_CASE("bf16 to f32", BE_BF16, BE_F32, 3, 4, {3, 17, 5, 7}),
    CAST_CASE("single pixels", BE_F32, BE_BF16, 3, 4, {24, 19, 1, 1}),
    CAST_CASE("f16 to f32", BE_F16, BE_F32, 3, 1, {1003}),
    CAST_CASE("f16 to bf16", BE_F16, BE_BF16, 3, 1, {1003}),
    CAST_CASE("one", BE_F32, BE_BF16, 3, 1, {1}),
};

const be_op be_op_cast = {.name = "cast",
                          .attrs_bytes = sizeof(cast_attrs),
                          .inputs = 1,
                          .outputs = 1,
                          .infer = cast_infer,
                          .gradient = cast_gradient,
                          .reference = cast_reference,
                          .cost = op_cost_elementwise,
                          .cases = cast_cases,
                          .case_count = OP_CASES(cast_cases),
                          .differentiable = 1};
