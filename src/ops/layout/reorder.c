/* Reorder: the same tensor, of any element type, in another memory layout.  The layouts are those
 * of its two values. */
#include "ops/op_list.h"
#include "ops/op_util.h"

#include <string.h>

static be_status reorder_infer(op_infer *call, be_error *err)
{
    (void)err;
    call->out[0] = call->in[0];
    return BE_OK;
}

static void reorder_reference(const op_reference *call)
{
    memcpy(call->y[0], call->x[0], (size_t)shape_elements(&call->out[0]) * sizeof(double));
}

static op_cost reorder_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 0, .bytes = op_bytes(in, out)};
}

static const op_case reorder_cases[] = {
    {.name = "image", .in = {{BE_F32, 4, {3, 17, 5, 7}}}, .low = -1, .high = 1, .tolerance = 0},
    {.name = "bytes", .in = {{BE_U8, 4, {2, 19, 3, 5}}}, .below = {256}},
};

const be_op be_op_reorder = {.name = "reorder",
                             .inputs = 1,
                             .outputs = 1,
                             .is_outside_gradient = true,
                             .infer = reorder_infer,
                             .reference = reorder_reference,
                             .cost = reorder_cost,
                             .cases = reorder_cases,
                             .case_count = OP_CASES(reorder_cases)};
