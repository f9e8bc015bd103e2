/* Linear on the CPU by the native matrix product. */
#include "ops/matmul/linear_cpu.h"
#include "core/memory.h"
#include "ops/matmul/linear_rows.h"

static be_status linear_accept(const cpu_device *device, const be_graph *g, const graph_node *node,
                               be_error *reason)
{
    be_shape x = be_value_shape(g, node->in[0]), w = be_value_shape(g, node->in[1]);
    linear_sizes s = linear_sizes_of(node->attrs, &x, &w);
    gemm_sizes y = linear_product(&s);
    return gemm_prefers_native(device, &y, reason);
}

/* Of three products those for dx and dw may be crowded; then oneDNN's kernel takes the native one
 * for them. */
static be_status linear_backward_accept(const cpu_device *device, const be_graph *g,
                                        const graph_node *node, be_error *reason)
{
    be_shape x = be_value_shape(g, node->in[0]), w = be_value_shape(g, node->in[1]);
    linear_sizes s = linear_sizes_of(node->attrs, &x, &w);
    return gemm_prefers_native(device, &(gemm_sizes){.m = s.rows, .n = s.out, .k = s.in}, reason);
}

static linear_sizes sizes_of(const cpu_call *call)
{
    return linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
}

static be_status linear_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    linear_sizes s = sizes_of(call);
    call->scratch_bytes = GEMM_SCRATCH_BYTES(s.rows, s.out);
    return BE_OK;
}

static be_status linear_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = sizes_of(call);
    GEMM_RUN(&(gemm){.m = s.rows,
                     .n = s.out,
                     .k = s.in,
                     .a = call->in[0],
                     .a_row = s.in,
                     .a_column = 1,
                     .b = call->in[1],
                     .b_row = s.w_in,
                     .b_column = s.w_out,
                     .c = call->out[1] ? call->out[1] : call->out[0],
                     .bias = call->in[2],
                     .activation = attrs->activation,
                     .activated = call->out[0],
                     .threads = call->threads,
                     .scratch = call->scratch});
    return BE_OK;
}

/* Bytes of the masked dy, which lies in front of the product's own scratch. */
static size_t mask_bytes(const cpu_call *call)
{
    linear_sizes s = sizes_of(call);
    size_t bytes = (size_t)(s.rows * s.out) * sizeof(float);
    return call->in_shape[2].rank < 0 ? 0
                                      : (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static be_status linear_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    linear_sizes s = sizes_of(call);
    size_t dx = GEMM_SCRATCH_BYTES(s.rows, s.in);
    gemm_sizes p = linear_dw_product(&s);
    size_t dw = GEMM_SCRATCH_BYTES(p.m, p.n);
    call->scratch_bytes = mask_bytes(call) + (dx > dw ? dx : dw);
    return BE_OK;
}

static be_status linear_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    linear_sizes s = sizes_of(call);
    const float *y = call->in[2], *dz = call->in[3];
    void *scratch = (unsigned char *)call->scratch + mask_bytes(call);
    dz = linear_rows(&s, y, dz, call->scratch, call->out[2], call->threads);
    linear_dw(&s, dz, call, scratch);
    if (!call->out[0]) return BE_OK;
    linear_dx(&s, dz, call, scratch);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(linear) = {.implementation = CPU_NATIVE,
                                       .accept = linear_accept,
                                       .prepare = linear_prepare,
                                       .run = linear_run};

const cpu_kernel CPU_KERNEL(linear_backward) = {.implementation = CPU_NATIVE,
                                                .accept = linear_backward_accept,
                                                .prepare = linear_backward_prepare,
                                                .run = linear_backward_run};
