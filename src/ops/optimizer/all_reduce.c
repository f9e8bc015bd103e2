/* The mean of gradients over the ranks of a group.
 *
 * gradients f32 [P] -> gradients, updated in place: the sum over the ranks in their order, times
 * 1 / ranks.  Each rank has the gradient of the mean loss of its part of the batch, and the parts
 * are equal, so this is the gradient of the mean loss of the whole batch.  The reference is that of
 * one rank: a group has no meaning without the others. */
#include "ops/optimizer/all_reduce.h"

#include "ops/op_list.h"

static be_status all_reduce_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, 1, "all_reduce: gradients", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static void all_reduce_reference(const op_reference *call)
{
    MUST(!((const all_reduce_attrs *)call->attrs)->group && call->y[0] == call->x[0]);
}

static op_cost all_reduce_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)out;
    double count = (double)in[0].dim[0];
    return (op_cost){.flops = 2.0 * count, .bytes = 8.0 * count}; /* read once, written once */
}

static const all_reduce_attrs alone = {.group = NULL};

static const op_case all_reduce_cases[] = {
    {.name = "one rank",
     .attrs = &alone,
     .in = {{BE_F32, 1, {1003}}},
     .low = -1,
     .high = 1,
     .tolerance = 1e-6},
};

const be_op be_op_all_reduce = {.name = "all_reduce",
                                .attrs_bytes = sizeof(all_reduce_attrs),
                                .inputs = 1,
                                .outputs = 1,
                                .is_outside_gradient = true,
                                .updates = {1},
                                .infer = all_reduce_infer,
                                .reference = all_reduce_reference,
                                .cost = all_reduce_cost,
                                .cases = all_reduce_cases,
                                .case_count = OP_CASES(all_reduce_cases)};
