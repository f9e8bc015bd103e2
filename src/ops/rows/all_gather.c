/* The rows of all ranks of a group, by rank: x [R, ...] -> y [ranks * R, ...], for a loss that
 * compares the samples of a batch with one another.
 *
 * All ranks make the same loss of the same y, which is the mean over the whole batch, so that its
 * gradient by y is the same on all of them, and nothing needs to be sent back.  all_reduce takes
 * the mean over the ranks of what each has found for the parameters behind x; the gradient of the
 * whole is their sum, so dx is this rank's rows of dy times `ranks`.  Parameters behind y have the
 * same gradient everywhere, which is its own mean.
 *
 * The references are those of one rank, and of a rank's own rows. */
#include "ops/rows/all_gather.h"

#include <inttypes.h>

#include "breakeven/group.h"
#include "ops/op_list.h"

static be_status all_gather_infer(op_infer *call, be_error *err)
{
    const all_gather_attrs *attrs = call->attrs;
    TRY(op_expect_rows(&call->in[0], "all_gather: x", err));
    call->out[0] = call->in[0];
    call->out[0].dim[0] *= be_group_size(attrs->group);
    return BE_OK;
}

static be_status all_gather_gradient(op_gradient *call, be_error *err)
{
    const all_gather_attrs *attrs = call->node->attrs;
    int64_t rows = be_value_shape(call->graph, call->node->in[0]).dim[0];
    all_gather_backward_attrs back = {rows * be_group_rank(attrs->group), rows,
                                      (float)be_group_size(attrs->group)};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_all_gather_backward, &back, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void all_gather_reference(const op_reference *call)
{
    MUST(!((const all_gather_attrs *)call->attrs)->group);
    for (int64_t i = 0; i < shape_elements(&call->in[0]); i++) call->y[0][i] = call->x[0][i];
}

static op_cost all_gather_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

static be_status all_gather_backward_infer(op_infer *call, be_error *err)
{
    const all_gather_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect_rows(dy, "all_gather_backward: dy", err));
    if (attrs->first < 0 || attrs->count < 1 || attrs->count > dy->dim[0] - attrs->first)
        FAIL(err, BE_USAGE,
             "all_gather_backward: expected rows among the %" PRId64 " of dy, found %" PRId64
             " from row %" PRId64 " on",
             dy->dim[0], attrs->count, attrs->first);
    call->out[0] = *dy;
    call->out[0].dim[0] = attrs->count;
    return BE_OK;
}

static void all_gather_backward_reference(const op_reference *call)
{
    const all_gather_backward_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->out[0]), at = count / attrs->count * attrs->first;
    for (int64_t i = 0; i < count; i++) call->y[0][i] = call->x[0][at + i] * (double)attrs->ranks;
}

static op_cost all_gather_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    double count = (double)shape_elements(&out[0]);
    return (op_cost){.flops = count, .bytes = 2.0 * sizeof(float) * count};
}

static const all_gather_attrs alone = {.group = NULL};
static const all_gather_backward_attrs first = {0, 6, 2}, middle = {4, 2, 5}, last = {8, 1, 9},
                                       whole = {0, 9, 1};

#define GATHER_CASE(text, attributes, rank, ...)                                              \
    {                                                                                         \
        .name = text, .attrs = &attributes, .in = {{BE_F32, rank, {__VA_ARGS__}}}, .low = -1, \
        .high = 1, .tolerance = 1e-6                                                          \
    }

static const op_case all_gather_cases[] = {
    GATHER_CASE("features", alone, 2, 12, 512),
    GATHER_CASE("odd", alone, 3, 5, 7, 11),
    GATHER_CASE("numbers", alone, 1, 33),
};

static const op_case all_gather_backward_cases[] = {
    GATHER_CASE("features", first, 2, 12, 512),
    GATHER_CASE("middle", middle, 3, 10, 7, 11),
    GATHER_CASE("last", last, 1, 9),
    GATHER_CASE("one rank", whole, 2, 9, 5),
    GATHER_CASE("several threads", first, 2, 12, 9001),
};

const be_op be_op_all_gather = {.name = "all_gather",
                                .attrs_bytes = sizeof(all_gather_attrs),
                                .inputs = 1,
                                .outputs = 1,
                                .infer = all_gather_infer,
                                .gradient = all_gather_gradient,
                                .reference = all_gather_reference,
                                .cost = all_gather_cost,
                                .cases = all_gather_cases,
                                .case_count = OP_CASES(all_gather_cases),
                                .differentiable = 1};

const be_op be_op_all_gather_backward = {.name = "all_gather_backward",
                                         .attrs_bytes = sizeof(all_gather_backward_attrs),
                                         .inputs = 1,
                                         .outputs = 1,
                                         .infer = all_gather_backward_infer,
                                         .reference = all_gather_backward_reference,
                                         .cost = all_gather_backward_cost,
                                         .cases = all_gather_backward_cases,
                                         .case_count = OP_CASES(all_gather_backward_cases)};

be_value be_all_gather(be_graph *g, be_value x, be_group *group)
{
    const all_gather_attrs attrs = {group};
    if (be_group_size(group) == 1) return x;
    g->group = group;
    return graph_build(g, &be_op_all_gather, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}
