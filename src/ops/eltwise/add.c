/* Addition: y = a + b, of one shape.  The gradient goes to both as it is. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status add_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "add: a", err));
    TRY(op_expect_same(&call->in[1], &call->in[0], "add: b", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status add_gradient(op_gradient *call, be_error *err)
{
    (void)err;
    call->dx[0] = call->dx[1] = call->dy[0];
    return BE_OK;
}

static void add_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][i] + call->x[1][i];
}

#define ADD_CASE(text, ...)                                                                       \
    {                                                                                             \
        .name = text, .in = {{BE_F32, __VA_ARGS__}, {BE_F32, __VA_ARGS__}}, .low = -1, .high = 1, \
        .tolerance = 1e-7                                                                         \
    }

static const op_case add_cases[] = {
    ADD_CASE("rows", 2, {37, 301}),
    ADD_CASE("image", 4, {3, 17, 5, 7}),
    ADD_CASE("batch 100", 4, {100, 8, 3, 3}),
    ADD_CASE("one", 1, {1}),
};

const be_op be_op_add = {.name = "add",
                         .inputs = 2,
                         .outputs = 1,
                         .infer = add_infer,
                         .gradient = add_gradient,
                         .reference = add_reference,
                         .cost = op_cost_elementwise,
                         .cases = add_cases,
                         .case_count = OP_CASES(add_cases),
                         .differentiable = 3};
