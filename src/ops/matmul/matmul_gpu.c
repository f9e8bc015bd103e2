/* The matrix product on GPUs. */
#include "ops/matmul/matmul.h"
#include "ops/matmul/product_gpu.h"

static be_status matmul_prepare(gpu_call *call, be_error *err)
{
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    gpu_product product = {.batch = s.batch,
                           .rows = s.m,
                           .columns = s.n,
                           .depth = s.k,
                           .p_column = s.b_stride[1],
                           .p_k = s.b_stride[0],
                           .q_row = s.a_stride[0],
                           .q_k = s.a_stride[1],
                           .p_type = call->in_shape[1].dtype,
                           .q_type = call->in_shape[0].dtype};
    TRY(arena_alloc(call->memory, &call->state, sizeof(gpu_product_plan), err));
    return gpu_product_prepare(call, &product, call->state, err);
}

static be_status matmul_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    gpu_product_operands operands = {.p = call->in[1], .q = call->in[0], .y = call->out[0]};
    return gpu_product_record(call, recorder, call->state, &operands, err);
}

const gpu_kernel GPU_KERNEL(matmul) = {.implementation = GPU_IMPLEMENTATION,
                                       .prepare = matmul_prepare,
                                       .record = matmul_record,
                                       .precisions = GPU_BF16,
                                       .rounds = GPU_TF32};
