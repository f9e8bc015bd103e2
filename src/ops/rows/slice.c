/* Rows first … first + count − 1 of the first dimension: x [R, ...] -> y [count, ...].  Back, dx is
 * dy there and zero elsewhere. */
#include <inttypes.h>

#include "ops/op_list.h"
#include "ops/op_util.h"
#include "ops/rows/rows.h"

static be_status slice_infer(op_infer *call, be_error *err)
{
    char text[64];
    const slice_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    TRY(op_expect_rows(x, "slice: x", err));
    if (attrs->first < 0 || attrs->count < 1 || attrs->count > x->dim[0] - attrs->first)
        FAIL(err, BE_USAGE,
             "slice: expected rows among the %" PRId64 " of %s, found %" PRId64 " from row %" PRId64
             " on",
             x->dim[0], shape_text(x, text), attrs->count, attrs->first);
    call->out[0] = *x;
    call->out[0].dim[0] = attrs->count;
    return BE_OK;
}

static be_status slice_gradient(op_gradient *call, be_error *err)
{
    const slice_attrs *attrs = call->node->attrs;
    slice_backward_attrs back = {attrs->first,
                                 be_value_shape(call->graph, call->node->in[0]).dim[0]};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_slice_backward, &back, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void slice_reference(const op_reference *call)
{
    const slice_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->out[0]), inner = count / attrs->count;
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][attrs->first * inner + i];
}

static op_cost copy_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    return (op_cost){.bytes = 2.0 * sizeof(float) * (double)shape_elements(&out[0])};
}

static be_status slice_backward_infer(op_infer *call, be_error *err)
{
    const slice_backward_attrs *attrs = call->attrs;
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "slice_backward: dy", err));
    call->out[0] = call->in[0];
    call->out[0].dim[0] = attrs->rows;
    return BE_OK;
}

static void slice_backward_reference(const op_reference *call)
{
    const slice_backward_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->out[0]), inner = count / attrs->rows;
    int64_t many = shape_elements(&call->in[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = 0.0;
    for (int64_t i = 0; i < many; i++) call->y[0][attrs->first * inner + i] = call->x[0][i];
}

static op_cost slice_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

static const slice_attrs from_start = {0, 37}, middle = {3, 5}, last = {8, 1}, all = {0, 9};

#define SLICE_CASE(text, attributes, rank, ...)                                               \
    {                                                                                         \
        .name = text, .attrs = &attributes, .in = {{BE_F32, rank, {__VA_ARGS__}}}, .low = -1, \
        .high = 1, .tolerance = 0                                                             \
    }

static const op_case slice_cases[] = {
    SLICE_CASE("positions", from_start, 2, 64, 48),
    SLICE_CASE("middle", middle, 3, 9, 7, 11),
    SLICE_CASE("last", last, 1, 9),
    SLICE_CASE("all", all, 4, 9, 2, 3, 5),
    SLICE_CASE("several threads", from_start, 2, 101, 1009),
};

static const slice_backward_attrs back_start = {0, 64}, back_middle = {3, 9}, back_last = {8, 9};

static const op_case slice_backward_cases[] = {
    SLICE_CASE("positions", back_start, 2, 37, 48),
    SLICE_CASE("middle", back_middle, 3, 5, 7, 11),
    SLICE_CASE("last", back_last, 1, 1),
    SLICE_CASE("all", back_last, 2, 1, 5),
    SLICE_CASE("several threads", back_start, 2, 37, 1009),
};

const be_op be_op_slice = {.name = "slice",
                           .attrs_bytes = sizeof(slice_attrs),
                           .inputs = 1,
                           .outputs = 1,
                           .infer = slice_infer,
                           .gradient = slice_gradient,
                           .reference = slice_reference,
                           .cost = copy_cost,
                           .cases = slice_cases,
                           .case_count = OP_CASES(slice_cases),
                           .differentiable = 1};

const be_op be_op_slice_backward = {.name = "slice_backward",
                                    .attrs_bytes = sizeof(slice_backward_attrs),
                                    .inputs = 1,
                                    .outputs = 1,
                                    .infer = slice_backward_infer,
                                    .reference = slice_backward_reference,
                                    .cost = slice_backward_cost,
                                    .cases = slice_backward_cases,
                                    .case_count = OP_CASES(slice_backward_cases)};

be_value be_slice(be_graph *g, be_value x, int64_t first, int64_t count)
{
    return graph_build(g, &be_op_slice, &(slice_attrs){first, count}, (be_value[OP_MAX_IN]){x},
                       NULL);
}
