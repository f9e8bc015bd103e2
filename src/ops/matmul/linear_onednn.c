/* Linear on the CPU by oneDNN's matrix product; transposed operands are given by their strides.  dx
 * is the native product's where that is the faster one. */
#include "backend/cpu/onednn_shim.h"
#include "core/memory.h"
#include "ops/eltwise/activation_cpu.h"
#include "ops/matmul/linear_cpu.h"
#include "ops/matmul/linear_rows.h"

static linear_sizes sizes_of(const cpu_call *call)
{
    return linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
}

static be_status linear_prepare(cpu_call *call, arena *memory, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = sizes_of(call);
    onednn_primitive *product = NULL;
    TRY(onednn_matmul_new(call->device,
                          &(onednn_matmul){.m = s.rows,
                                           .n = s.out,
                                           .k = s.in,
                                           .x_stride = {s.in, 1},
                                           .w_stride = {s.w_in, s.w_out},
                                           .y_stride = {s.out, 1},
                                           .bias = call->in_shape[2].rank >= 0,
                                           .relu = attrs->activation == BE_RELU,
                                           .bf16 = call->in_shape[0].dtype == BE_BF16},
                          memory, &product, err));
    call->state = product;
    call->scratch_bytes = onednn_scratch_bytes(product);
    return BE_OK;
}

/* An activation by formula is ours: oneDNN's would leave nothing of z, from which what flows back
 * is computed. */
static be_status linear_run(const cpu_call *call, be_error *err)
{
    be_activation kind = ((const linear_attrs *)call->attrs)->activation;
    float *y = call->out[0], *z = call->out[1] ? call->out[1] : y;
    const onednn_operand operands[] = {{DNNL_ARG_SRC, call->in[0]},
                                       {DNNL_ARG_WEIGHTS, call->in[1]},
                                       {DNNL_ARG_DST, z},
                                       {DNNL_ARG_BIAS, call->in[2]}};
    TRY(onednn_run(call->state, operands, call->in[2] ? 4 : 3, call->scratch, err));
    if (activation_needs_x(kind)) ACTIVATION_RUN(kind, z, y, call->out_elements, call->threads);
    return BE_OK;
}

static void linear_release(cpu_call *call)
{
    onednn_free(call->state);
}

typedef struct backward_state {
    onednn_primitive *dx, *dw; /* dx NULL: not wanted, or native */
    bool is_native;            /* dx */
    size_t mask_bytes;         /* of the masked dy, in front of the primitives' scratch */
} backward_state;

static be_status backward_products(cpu_call *call, backward_state *state, arena *memory,
                                   be_error *err)
{
    linear_sizes s = sizes_of(call);
    bool bf16 = call->in_shape[0].dtype == BE_BF16;
    /* dw [out, in] = dzᵀ x, or as [in, out] xᵀ dz */
    int64_t m = s.input_first ? s.in : s.out, n = s.input_first ? s.out : s.in;
    TRY(onednn_matmul_new(call->device,
                          &(onednn_matmul){.m = m,
                                           .n = n,
                                           .k = s.rows,
                                           .x_stride = {1, m},
                                           .w_stride = {n, 1},
                                           .y_stride = {n, 1},
                                           .bf16 = bf16},
                          memory, &state->dw, err));
    if (call->out_shape[0].rank < 0) return BE_OK;
    gemm_sizes dx = linear_dx_product(&s);
    state->is_native =
        call->device->library == CPU_ANY_LIBRARY && !bf16 && gemm_is_crowded(call->device, &dx);
    if (state->is_native) {
        call->implementation = "oneDNN, " CPU_NATIVE;
        return BE_OK;
    }
    return onednn_matmul_new(call->device,
                             &(onednn_matmul){.m = s.rows,
                                              .n = s.in,
                                              .k = s.out,
                                              .x_stride = {s.out, 1},
                                              .w_stride = {s.w_out, s.w_in},
                                              .y_stride = {s.in, 1},
                                              .add = call->in_shape[LINEAR_BACK_SUM].rank >= 0,
                                              .bf16 = bf16},
                             memory, &state->dx, err);
}

static be_status linear_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    void *block = NULL;
    linear_sizes s = sizes_of(call);
    TRY(arena_alloc(memory, &block, sizeof(backward_state), err));
    backward_state *state = block;
    call->state = state;
    TRY(backward_products(call, state, memory, err));
    size_t bytes = (size_t)(s.rows * s.out) * dtype_bytes(call->in_shape[3].dtype);
    if (call->in_shape[2].rank >= 0)
        state->mask_bytes = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    size_t dw = onednn_scratch_bytes(state->dw);
    size_t dx = state->dx          ? onednn_scratch_bytes(state->dx)
                : state->is_native ? GEMM_SCRATCH_BYTES(s.rows, s.in)
                                   : 0;
    call->scratch_bytes = state->mask_bytes + (dw > dx ? dw : dx);
    return BE_OK;
}

static be_status linear_backward_run(const cpu_call *call, be_error *err)
{
    const backward_state *state = call->state;
    linear_sizes s = sizes_of(call);
    const void *dz;
    void *scratch = (unsigned char *)call->scratch + state->mask_bytes;
    if (call->in_shape[3].dtype == BE_BF16)
        dz = linear_rows_bf16(&s, call->in[2], call->in[3], call->scratch, call->out[2],
                              call->threads);
    else
        dz = linear_rows(&s, call->in[2], call->in[3], call->scratch, call->out[2], call->threads);
    const onednn_operand dw[] = {{DNNL_ARG_SRC, s.input_first ? call->in[0] : dz},
                                 {DNNL_ARG_WEIGHTS, s.input_first ? dz : call->in[0]},
                                 {DNNL_ARG_DST, call->out[1]}};
    TRY(onednn_run(state->dw, dw, 3, scratch, err));
    if (state->is_native) linear_dx(&s, dz, call, scratch);
    if (!state->dx) return BE_OK;
    const onednn_operand dx[] = {
        {DNNL_ARG_SRC, dz}, {DNNL_ARG_WEIGHTS, call->in[1]}, {DNNL_ARG_DST, call->out[0]}};
    return onednn_run(state->dx, dx, 3, scratch, err);
}

static void linear_backward_release(cpu_call *call)
{
    backward_state *state = call->state;
    if (!state) return;
    onednn_free(state->dx);
    onednn_free(state->dw);
}

const cpu_kernel ONEDNN_KERNEL(linear) = {.implementation = "oneDNN",
                                          .precisions = 1 << BE_PRECISION_BF16,
                                          .prepare = linear_prepare,
                                          .run = linear_run,
                                          .release = linear_release};

const cpu_kernel ONEDNN_KERNEL(linear_backward) = {.implementation = "oneDNN",
                                                   .precisions = 1 << BE_PRECISION_BF16,
                                                   .prepare = linear_backward_prepare,
                                                   .run = linear_backward_run,
                                                   .release = linear_backward_release};
