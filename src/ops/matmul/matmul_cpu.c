/* Matrix product on the CPU, natively. */
#include "ops/matmul/gemm_cpu.h"
#include "ops/matmul/matmul.h"

static be_status matmul_accept(const cpu_device *device, const be_graph *g, const graph_node *node,
                               be_error *reason)
{
    be_shape a = be_value_shape(g, node->in[0]), b = be_value_shape(g, node->in[1]);
    matmul_sizes s = matmul_sizes_of(node->attrs, &a, &b);
    return gemm_prefers_native(
        device,
        &(gemm_sizes){
            .m = s.m, .n = s.n, .k = s.k, .b_row = s.b_stride[0], .b_column = s.b_stride[1]},
        reason);
}

static be_status matmul_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    call->scratch_bytes = GEMM_SCRATCH_BYTES(call->out_shape[0].dim[0], call->out_shape[0].dim[1]);
    return BE_OK;
}

static be_status matmul_run(const cpu_call *call, be_error *err)
{
    (void)err;
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    GEMM_RUN(&(gemm){.m = s.m,
                     .n = s.n,
                     .k = s.k,
                     .a = call->in[0],
                     .a_row = s.a_stride[0],
                     .a_column = s.a_stride[1],
                     .b = call->in[1],
                     .b_row = s.b_stride[0],
                     .b_column = s.b_stride[1],
                     .c = call->out[0],
                     .threads = call->threads,
                     .scratch = call->scratch});
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(matmul) = {.implementation = CPU_NATIVE,
                                       .accept = matmul_accept,
                                       .prepare = matmul_prepare,
                                       .run = matmul_run};
