/* Linear on the CPU by oneDNN's matrix product; transposed operands are given by their strides.  dx
 * and dw are the native product's where that is the faster one. */
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
    onednn_primitive *dx, *dw; /* NULL: native, or dx is not wanted */
    bool dx_is_native, dw_is_native;
    size_t mask_bytes; /* of the masked dy, in front of the products' scratch */
} backward_state;

static bool takes_native(const cpu_call *call, const gemm_sizes *product)
{
    return call->device->library == CPU_ANY_LIBRARY && call->in_shape[0].dtype != BE_BF16 &&
           gemm_is_crowded(call->device, product);
}

static be_status prepare_dw(cpu_call *call, backward_state *state, arena *memory, be_error *err)
{
    linear_sizes s = sizes_of(call);
    gemm_sizes p = linear_dw_product(&s);
    state->dw_is_native = takes_native(call, &p);
    if (state->dw_is_native) return BE_OK;
    return onednn_matmul_new(call->device,
                             &(onednn_matmul){.m = p.m,
                                              .n = p.n,
                                              .k = p.k,
                                              .x_stride = {1, p.m},
                                              .w_stride = {p.b_row, p.b_column},
                                              .y_stride = {p.n, 1},
                                              .bf16 = call->in_shape[0].dtype == BE_BF16},
                             memory, &state->dw, err);
}

static be_status prepare_dx(cpu_call *call, backward_state *state, arena *memory, be_error *err)
{
    linear_sizes s = sizes_of(call);
    gemm_sizes p = linear_dx_product(&s);
    if (call->out_shape[0].rank < 0) return BE_OK;
    state->dx_is_native = takes_native(call, &p);
    if (state->dx_is_native) return BE_OK;
    return onednn_matmul_new(call->device,
                             &(onednn_matmul){.m = p.m,
                                              .n = p.n,
                                              .k = p.k,
                                              .x_stride = {p.k, 1},
                                              .w_stride = {p.b_row, p.b_column},
                                              .y_stride = {p.n, 1},
                                              .add = call->in_shape[LINEAR_BACK_SUM].rank >= 0,
                                              .bf16 = call->in_shape[0].dtype == BE_BF16},
                             memory, &state->dx, err);
}

/* What the products need beside their operands; they run one after the other. */
static size_t products_scratch(const cpu_call *call, const backward_state *state)
{
    linear_sizes s = sizes_of(call);
    gemm_sizes p = linear_dw_product(&s);
    size_t dw = state->dw ? onednn_scratch_bytes(state->dw) : GEMM_SCRATCH_BYTES(p.m, p.n), dx = 0;
    if (state->dx) dx = onednn_scratch_bytes(state->dx);
    if (state->dx_is_native) dx = GEMM_SCRATCH_BYTES(s.rows, s.in);
    return dw > dx ? dw : dx;
}

static be_status linear_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    void *block = NULL;
    linear_sizes s = sizes_of(call);
    TRY(arena_alloc(memory, &block, sizeof(backward_state), err));
    backward_state *state = block;
    call->state = state;
    TRY(prepare_dw(call, state, memory, err));
    TRY(prepare_dx(call, state, memory, err));
    if (state->dw_is_native || state->dx_is_native)
        call->implementation =
            !state->dx && state->dw_is_native ? CPU_NATIVE : "oneDNN, " CPU_NATIVE;
    size_t bytes = (size_t)(s.rows * s.out) * dtype_bytes(call->in_shape[3].dtype);
    if (call->in_shape[2].rank >= 0)
        state->mask_bytes = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    call->scratch_bytes = state->mask_bytes + products_scratch(call, state);
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
    if (state->dw_is_native) {
        linear_dw(&s, dz, call, scratch);
    } else {
        const onednn_operand dw[] = {{DNNL_ARG_SRC, s.input_first ? call->in[0] : dz},
                                     {DNNL_ARG_WEIGHTS, s.input_first ? dz : call->in[0]},
                                     {DNNL_ARG_DST, call->out[1]}};
        TRY(onednn_run(state->dw, dw, 3, scratch, err));
    }
    if (state->dx_is_native) linear_dx(&s, dz, call, scratch);
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
