/* The linear layer on cuBLASLt: forward with the bias in one product, and activations by our own
 * kernels; backward as two products, with our own kernels for what ReLU stopped and for the bias.
 */
#include "backend/cuda/cuda_driver.h"
#include "ops/eltwise/activation_gpu.h"
#include "ops/matmul/linear.h"
#include "ops/matmul/product_cublaslt.h"
#include "ops/reduce/upstream_gpu.h"

extern const gpu_source gpu_source_eltwise, gpu_source_widen;

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

static void forward_release(void *state)
{
    product_task_free(state);
}

/* What cublaslt_product says of the pitch. */
static int64_t pitch_of(value_layout layout, const be_shape *shape)
{
    return layout == LAYOUT_ROWS_APART ? layout_pitch(layout, shape) : 0;
}

/* y [rows, out] = x [rows, in] · wᵀ */
static be_status forward_prepare(gpu_call *call, be_error *err)
{
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    const be_shape *z = &call->out_shape[call->out_shape[1].rank >= 0 ? 1 : 0];
    if (call->in_shape[2].rank >= 0 && call->in_shape[2].dtype != z->dtype)
        FAIL(err, BE_UNAVAILABLE, "a product: expected a bias of %s, found %s",
             dtype_name(z->dtype), dtype_name(call->in_shape[2].dtype));
    cublaslt_product product = {.rows = s.rows,
                                .columns = s.out,
                                .depth = s.in,
                                .transpose_b = !s.input_first,
                                .bias = call->in_shape[2].rank >= 0,
                                .type = call->in_shape[0].dtype,
                                .result = z->dtype,
                                .y_pitch = pitch_of(call->out_layout[0], z),
                                .tf32 = call->precision == BE_PRECISION_TF32};
    TRY(arena_alloc(call->memory, &call->state, sizeof(product_task), err));
    call->release = forward_release;
    be_activation kind = ((const linear_attrs *)call->attrs)->activation;
    if (activation_needs_x(kind)) TRY(gpu_activation_prepare(call, kind, z->dtype, err));
    if (kind == BE_RELU)
        TRY(gpu_use(call,
                    z->dtype == BE_BF16 ? GPU_SOURCES(&gpu_source_widen)
                                        : GPU_SOURCES(&gpu_source_eltwise),
                    GROUP_WANTED, err, "%s", ""));
    return product_task_prepare(call, &product, call->state, err);
}

static be_status forward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    gpu_span z = call->out_shape[1].rank >= 0 ? call->out[1] : call->out[0];
    product_operands operands = {.a = call->in[0], .b = call->in[1], .bias = call->in[2], .y = z};
    TRY(product_task_record(call, recorder, call->state, &operands, err));
    if (!call->unit_count) return BE_OK;
    if (activation_needs_x(((const linear_attrs *)call->attrs)->activation))
        return gpu_activation_record(call, recorder, 0, z, call->out[0], err);
    int groups = gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT);
    bool is_narrow = call->out_shape[0].dtype == BE_BF16;
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){0, is_narrow ? "relu_narrow" : "relu_in_place", groups,
                                         GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

typedef struct backward_plan {
    gpu_upstream upstream;
    product_task dx, dw;
} backward_plan;

static void backward_release(void *state)
{
    backward_plan *plan = state;
    product_task_free(&plan->dx);
    product_task_free(&plan->dw);
}

/* dx [rows, in] = dz [rows, out] · w, dw [out, in] = dzᵀ · x, or as [in, out] xᵀ · dz */
static be_status backward_prepare(gpu_call *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    cublaslt_product dx = {.rows = s.rows,
                           .columns = s.in,
                           .depth = s.out,
                           .transpose_b = s.input_first,
                           .type = call->in_shape[3].dtype,
                           .a_pitch = pitch_of(call->in_layout[3], &call->in_shape[3]),
                           .tf32 = call->precision == BE_PRECISION_TF32};
    cublaslt_product dw = dx;
    if (attrs->need_dx) dx.result = call->out_shape[0].dtype;
    dx.add = call->in_shape[LINEAR_BACK_SUM].rank >= 0;
    dw.rows = s.input_first ? s.in : s.out;
    dw.columns = s.input_first ? s.out : s.in;
    dw.depth = s.rows;
    dw.transpose_a = true;
    dw.transpose_b = false;
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    call->release = backward_release;
    plan->upstream =
        (gpu_upstream){.shape = shape_make(call->in_shape[3].dtype, 2, s.rows, s.out, 0, 0),
                       .masked = call->in_shape[2].rank >= 0,
                       .nan_stops = true,
                       .summed = attrs->has_bias != 0};
    TRY(gpu_upstream_prepare(call, &plan->upstream, &call->scratch_bytes, err));
    if (attrs->need_dx) TRY(product_task_prepare(call, &dx, &plan->dx, err));
    return product_task_prepare(call, &dw, &plan->dw, err);
}

static be_status backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    backward_plan *plan = call->state;
    gpu_span dz = call->in[3];
    TRY(gpu_upstream_record(call, recorder, &plan->upstream, &dz, err));
    product_operands dx = {.a = dz, .b = call->in[1], .y = call->out[0]};
    product_operands dw = {.a = dz, .b = call->in[0], .y = call->out[1]};
    if (attrs->input_first) dw = (product_operands){.a = dw.b, .b = dz, .y = dw.y};
    if (attrs->need_dx) TRY(product_task_record(call, recorder, &plan->dx, &dx, err));
    return product_task_record(call, recorder, &plan->dw, &dw, err);
}

const gpu_kernel CUBLASLT_KERNEL(linear) = {.implementation = "cuBLASLt",
                                            .prepare = forward_prepare,
                                            .record = forward_record,
                                            .precisions = GPU_TF32_BF16};
const gpu_kernel CUBLASLT_KERNEL(linear_backward) = {.implementation = "cuBLASLt",
                                                     .prepare = backward_prepare,
                                                     .record = backward_record,
                                                     .precisions = GPU_TF32_BF16};
