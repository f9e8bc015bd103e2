/* The linear layer on GPUs: forward with bias and ReLU in one product; backward as two, of which
 * that of the weights has one more column for the bias. */
#include "ops/matmul/linear.h"
#include "ops/matmul/product_gpu.h"

static be_status linear_prepare(gpu_call *call, be_error *err)
{
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    gpu_product product = {.rows = s.rows,
                           .columns = s.out,
                           .depth = s.in,
                           .p_column = s.w_out,
                           .p_k = s.w_in,
                           .q_row = s.in,
                           .q_k = 1,
                           .bias = call->in_shape[2].rank >= 0,
                           .activation = ((const linear_attrs *)call->attrs)->activation,
                           .keep = call->out_shape[1].rank >= 0,
                           .p_type = call->in_shape[1].dtype,
                           .q_type = call->in_shape[0].dtype};
    if (call->out_layout[0] != LAYOUT_PLAIN)
        FAIL(err, BE_UNAVAILABLE,
             "linear: expected rows side by side, found rows apart, which cuBLASLt alone writes");
    TRY(arena_alloc(call->memory, &call->state, sizeof(gpu_product_plan), err));
    return gpu_product_prepare(call, &product, call->state, err);
}

static be_status linear_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    gpu_product_operands operands = {.p = call->in[1],
                                     .q = call->in[0],
                                     .b = call->in[2],
                                     .y = call->out[0],
                                     .extra = call->out[1]};
    return gpu_product_record(call, recorder, call->state, &operands, err);
}

typedef struct linear_backward_plan {
    gpu_product_plan dx, dw;
} linear_backward_plan;

static be_status linear_backward_prepare(gpu_call *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    bool mask = call->in_shape[2].rank >= 0;
    int64_t dz_row = layout_pitch(call->in_layout[3], &call->in_shape[3]);
    gpu_product dx = {.rows = s.rows,
                      .columns = s.in,
                      .depth = s.out,
                      .p_column = s.w_in,
                      .p_k = s.w_out,
                      .q_row = dz_row,
                      .q_k = 1,
                      .mask = mask,
                      .add = call->in_shape[LINEAR_BACK_SUM].rank >= 0,
                      .p_type = call->in_shape[1].dtype,
                      .q_type = call->in_shape[3].dtype};
    gpu_product dw = {.rows = s.out,
                      .columns = s.in,
                      .depth = s.rows,
                      .p_column = 1,
                      .p_k = s.in,
                      .q_row = 1,
                      .q_k = dz_row,
                      .mask = mask,
                      .ones = attrs->has_bias != 0,
                      .across = s.input_first,
                      .p_type = call->in_shape[0].dtype,
                      .q_type = call->in_shape[3].dtype};
    TRY(arena_alloc(call->memory, &call->state, sizeof(linear_backward_plan), err));
    linear_backward_plan *plan = call->state;
    if (attrs->need_dx) TRY(gpu_product_prepare(call, &dx, &plan->dx, err));
    return gpu_product_prepare(call, &dw, &plan->dw, err);
}

static be_status linear_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    const linear_backward_plan *plan = call->state;
    gpu_product_operands dx = {
        .p = call->in[1], .q = call->in[3], .mask = call->in[2], .y = call->out[0]};
    gpu_product_operands dw = {.p = call->in[0],
                               .q = call->in[3],
                               .mask = call->in[2],
                               .y = call->out[1],
                               .extra = call->out[2]};
    if (attrs->need_dx) TRY(gpu_product_record(call, recorder, &plan->dx, &dx, err));
    return gpu_product_record(call, recorder, &plan->dw, &dw, err);
}

const gpu_kernel GPU_KERNEL(linear) = {.implementation = GPU_IMPLEMENTATION,
                                       .is_wide = true,
                                       .prepare = linear_prepare,
                                       .record = linear_record,
                                       .precisions = GPU_BF16,
                                       .rounds = GPU_TF32_BF16};
const gpu_kernel GPU_KERNEL(linear_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                .is_wide = true,
                                                .prepare = linear_backward_prepare,
                                                .record = linear_backward_record,
                                                .precisions = GPU_BF16,
                                                .rounds = GPU_TF32_BF16};
