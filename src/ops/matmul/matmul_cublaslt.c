/* The matrix product on cuBLASLt. */
#include "backend/cuda/cuda_driver.h"
#include "ops/matmul/matmul.h"
#include "ops/matmul/product_cublaslt.h"

static void matmul_release(void *state)
{
    product_task_free(state);
}

static be_status matmul_prepare(gpu_call *call, be_error *err)
{
    const matmul_attrs *attrs = call->attrs;
    matmul_sizes s = matmul_sizes_of(attrs, &call->in_shape[0], &call->in_shape[1]);
    cublaslt_product product = {.batch = s.batch,
                                .rows = s.m,
                                .columns = s.n,
                                .depth = s.k,
                                .transpose_a = attrs->transpose_a != 0,
                                .transpose_b = attrs->transpose_b != 0,
                                .type = call->in_shape[0].dtype,
                                .tf32 = call->precision == BE_PRECISION_TF32};
    TRY(arena_alloc(call->memory, &call->state, sizeof(product_task), err));
    call->release = matmul_release;
    return product_task_prepare(call, &product, call->state, err);
}

static be_status matmul_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    product_operands operands = {.a = call->in[0], .b = call->in[1], .y = call->out[0]};
    return product_task_record(call, recorder, call->state, &operands, err);
}

const gpu_kernel CUBLASLT_KERNEL(matmul) = {.implementation = "cuBLASLt",
                                            .prepare = matmul_prepare,
                                            .record = matmul_record,
                                            .precisions = GPU_TF32_BF16};
