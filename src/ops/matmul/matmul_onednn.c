/* Matrix product on the CPU by oneDNN. */
#include "backend/cpu/onednn_shim.h"
#include "ops/matmul/matmul.h"

static be_status matmul_prepare(cpu_call *call, arena *memory, be_error *err)
{
    onednn_primitive *product = NULL;
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    TRY(onednn_matmul_new(call->device,
                          &(onednn_matmul){.batch = s.batch,
                                           .m = s.m,
                                           .n = s.n,
                                           .k = s.k,
                                           .x_stride = {s.a_stride[0], s.a_stride[1]},
                                           .w_stride = {s.b_stride[0], s.b_stride[1]},
                                           .y_stride = {s.n, 1},
                                           .bf16 = call->in_shape[0].dtype == BE_BF16},
                          memory, &product, err));
    call->state = product;
    call->scratch_bytes = onednn_scratch_bytes(product);
    return BE_OK;
}

static be_status matmul_run(const cpu_call *call, be_error *err)
{
    const onednn_operand operands[] = {
        {DNNL_ARG_SRC, call->in[0]}, {DNNL_ARG_WEIGHTS, call->in[1]}, {DNNL_ARG_DST, call->out[0]}};
    return onednn_run(call->state, operands, 3, call->scratch, err);
}

static void matmul_release(cpu_call *call)
{
    onednn_free(call->state);
}

const cpu_kernel ONEDNN_KERNEL(matmul) = {.implementation = "oneDNN",
                                          .precisions = 1 << BE_PRECISION_BF16,
                                          .prepare = matmul_prepare,
                                          .run = matmul_run,
                                          .release = matmul_release};
