/* The last two dimensions the other way round: x [..., R, C] -> y [..., C, R], of 2 or 3
 * dimensions. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status transpose_infer(op_infer *call, be_error *err)
{
    char text[64];
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, OP_ANY_RANK, "transpose: x", err));
    if (x->rank != 2 && x->rank != 3)
        FAIL(err, BE_USAGE, "transpose: x: expected 2 or 3 dimensions, found %s",
             shape_text(x, text));
    call->out[0] = *x;
    call->out[0].dim[x->rank - 2] = x->dim[x->rank - 1];
    call->out[0].dim[x->rank - 1] = x->dim[x->rank - 2];
    return BE_OK;
}

static be_status transpose_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_transpose, NULL, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void transpose_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t rows = x->dim[x->rank - 2], columns = x->dim[x->rank - 1], each = rows * columns;
    for (int64_t i = 0; i < shape_elements(x); i++) {
        int64_t row = i % each / columns, column = i % columns;
        call->y[0][i / each * each + column * rows + row] = call->x[0][i];
    }
}

static op_cost transpose_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

#define TRANSPOSE_CASE(text, rank, ...)                                                           \
    {                                                                                             \
        .name = text, .in = {{BE_F32, rank, {__VA_ARGS__}}}, .low = -1, .high = 1, .tolerance = 0 \
    }

static const op_case transpose_cases[] = {
    TRANSPOSE_CASE("patches", 3, 3, 64, 49),
    TRANSPOSE_CASE("odd", 3, 5, 17, 33),
    TRANSPOSE_CASE("matrix", 2, 37, 301),
    TRANSPOSE_CASE("a row", 2, 1, 9),
    TRANSPOSE_CASE("several threads", 3, 2, 67, 517),
};

const be_op be_op_transpose = {.name = "transpose",
                               .inputs = 1,
                               .outputs = 1,
                               .infer = transpose_infer,
                               .gradient = transpose_gradient,
                               .reference = transpose_reference,
                               .cost = transpose_cost,
                               .cases = transpose_cases,
                               .case_count = OP_CASES(transpose_cases),
                               .differentiable = 1};

be_value be_transpose(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_transpose, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
