/* y = x in memory of its own, never that of x: what moving so many bytes costs.  Its gradient is
 * that of y, which is not moved again. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status clone_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "clone: x", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status clone_gradient(op_gradient *call, be_error *err)
{
    (void)err;
    call->dx[0] = call->dy[0];
    return BE_OK;
}

static void clone_reference(const op_reference *call)
{
    for (int64_t i = 0; i < shape_elements(&call->out[0]); i++) call->y[0][i] = call->x[0][i];
}

static op_cost clone_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 0.0, .bytes = op_bytes(in, out)};
}

#define CLONE_CASE(text, rank, ...)                                                               \
    {                                                                                             \
        .name = text, .in = {{BE_F32, rank, {__VA_ARGS__}}}, .low = -1, .high = 1, .tolerance = 0 \
    }

static const op_case clone_cases[] = {
    CLONE_CASE("one", 1, 1),
    CLONE_CASE("odd", 2, 37, 301),
    CLONE_CASE("images", 4, 3, 17, 50, 71),
};

const be_op be_op_clone = {.name = "clone",
                           .inputs = 1,
                           .outputs = 1,
                           .infer = clone_infer,
                           .gradient = clone_gradient,
                           .reference = clone_reference,
                           .cost = clone_cost,
                           .cases = clone_cases,
                           .case_count = OP_CASES(clone_cases),
                           .differentiable = 1};

be_value be_clone(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_clone, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
