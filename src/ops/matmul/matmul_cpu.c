/* Matrix product on the CPU, natively. */
#include <omp.h>

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

/* Several products are computed beside one another, each by one thread with scratch of its own. */
static int sharers(const matmul_sizes *s, int threads)
{
    return s->batch < threads ? 1 : threads;
}

static size_t scratch_each(const matmul_sizes *s)
{
    return (GEMM_SCRATCH_BYTES(s->m, s->n) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static be_status matmul_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    call->scratch_bytes = (size_t)sharers(&s, call->threads) * scratch_each(&s);
    return BE_OK;
}

static void product_run(const cpu_call *call, const matmul_sizes *s, int64_t i, int sharer)
{
    GEMM_RUN(&(gemm){.m = s->m,
                     .n = s->n,
                     .k = s->k,
                     .a = (const float *)call->in[0] + i * s->m * s->k,
                     .a_row = s->a_stride[0],
                     .a_column = s->a_stride[1],
                     .b = (const float *)call->in[1] + i * s->k * s->n,
                     .b_row = s->b_stride[0],
                     .b_column = s->b_stride[1],
                     .c = (float *)call->out[0] + i * s->m * s->n,
                     .threads = sharers(s, call->threads) > 1 ? 1 : call->threads,
                     .scratch = (char *)call->scratch + (size_t)sharer * scratch_each(s)});
}

static be_status matmul_run(const cpu_call *call, be_error *err)
{
    (void)err;
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    int threads = sharers(&s, call->threads);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < s.batch; i++) product_run(call, &s, i, omp_get_thread_num());
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(matmul) = {.implementation = CPU_NATIVE,
                                       .accept = matmul_accept,
                                       .prepare = matmul_prepare,
                                       .run = matmul_run};
