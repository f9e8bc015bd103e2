/* The convolution on cuDNN: forward with bias and ReLU in one graph, other activations by our own
 * kernel; backward as two convolutions, with our own kernels for what ReLU stopped and for the
 * bias.
 *
 * This is of plain images; conv2d_last_cudnn.c is of those with the channels last, and windows that
 * lie side by side are a product (conv2d_patches_cublaslt.c).  Operands of
 * bf16 are made f32 in scratch and multiplied in tf32, whose 11 bits hold every bf16 number: the
 * products are the same, and cuDNN has no convolution that leaves the sums of bf16 operands in f32.
 */
#include <math.h>

#include "ops/conv2d/conv2d_cudnn.h"
#include "ops/eltwise/activation_gpu.h"
#include "ops/reduce/upstream_gpu.h"

/* The operands of bf16 as f32, in scratch. */
typedef struct wide_operands {
    bool any;
    int unit;
    size_t at[OP_MAX_IN]; /* in scratch, of each input that is widened */
} wide_operands;

extern const gpu_source gpu_source_conv2d_widen, gpu_source_eltwise;

#define EACH_GROUP 256
#define EACH_GROUPS_A_UNIT 8

static be_status widen_prepare(gpu_call *call, wide_operands *out, be_error *err)
{
    *out = (wide_operands){.any = call->in_shape[0].dtype == BE_BF16, .unit = call->unit_count};
    if (!out->any) return BE_OK;
    for (int i = 0; i < OP_MAX_IN; i++)
        if (call->in_shape[i].rank >= 0 && call->in_shape[i].dtype == BE_BF16)
            out->at[i] = gpu_scratch_take(
                &call->scratch_bytes, (size_t)shape_elements(&call->in_shape[i]) * sizeof(float));
    return gpu_use(call, GPU_SOURCES(&gpu_source_conv2d_widen), EACH_GROUP, err, "%s", "");
}

/* Input i as f32: itself, or where it is in scratch. */
static gpu_span wide_span(const gpu_call *call, const wide_operands *wide, int i)
{
    if (call->in_shape[i].rank < 0 || call->in_shape[i].dtype != BE_BF16) return call->in[i];
    return gpu_part(call->scratch, wide->at[i],
                    (size_t)shape_elements(&call->in_shape[i]) * sizeof(float));
}

static be_status widen_record(const gpu_call *call, gpu_recorder *recorder,
                              const wide_operands *wide, be_error *err)
{
    for (int i = 0; i < OP_MAX_IN && wide->any; i++) {
        const be_shape *s = &call->in_shape[i];
        if (s->rank < 0 || s->dtype != BE_BF16) continue;
        int groups =
            gpu_groups(call, shape_elements(s), call->units[wide->unit].group, EACH_GROUPS_A_UNIT);
        TRY(gpu_record(recorder, call,
                       &(gpu_unit_launch){wide->unit, "conv2d_widen", groups,
                                          GPU_ARGUMENTS(gpu_reads(call->in[i]),
                                                        gpu_writes(wide_span(call, wide, i)),
                                                        gpu_int(shape_elements(s)))},
                       err));
    }
    return BE_OK;
}

/* Of a call on plain images. */
static cudnn_convolution_pattern convolution_of(const gpu_call *call, cudnn_direction direction)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    bool forward = direction == CUDNN_TO_Y;
    cudnn_convolution_pattern what = convolution_pattern(&s, direction);
    what.bias = forward && call->in_shape[2].rank >= 0;
    what.relu = forward && attrs->activation == BE_RELU;
    what.tf32 = call->precision != BE_PRECISION_FP32;
    return what;
}

static bool is_last(const gpu_call *call)
{
    return call->in_layout[0] == LAYOUT_CHANNELS_LAST;
}

static bool has_patches(const gpu_call *call)
{
    return conv2d_takes_patches(call->attrs, call->in_shape,
                                call->node->op == &be_op_conv2d_backward);
}

/* ---------------------------------------------------------------- forward */

#define LOOKED_AT 1024 /* results of the check for NaN */

/* cuDNN's ReLU is asked to keep a NaN, so that a training that went wrong shows it, but the word
 * for that is deprecated and an engine may not know it: each plan is tried, and where it gives 0
 * the convolution goes without, and our own kernel does ReLU. */
typedef struct forward_plan {
    wide_operands wide;
    convolution whole, bare; /* bare: without ReLU, if there is one */
    int own_unit;            /* of ReLU or an activation by formula */
} forward_plan;

static void forward_release(void *state)
{
    forward_plan *plan = state;
    cudnn_plan_free(&plan->whole.plan);
    cudnn_plan_free(&plan->bare.plan);
}

static be_status forward_prepare(gpu_call *call, be_error *err)
{
    if (is_last(call)) return conv2d_last_cudnn_prepare(call, err);
    if (has_patches(call)) return conv2d_patches_prepare(call, err);
    cudnn_convolution_pattern what = convolution_of(call, CUDNN_TO_Y);
    TRY(arena_alloc(call->memory, &call->state, sizeof(forward_plan), err));
    forward_plan *plan = call->state;
    call->release = forward_release;
    TRY(widen_prepare(call, &plan->wide, err));
    TRY(convolution_prepare(call, &what, &plan->whole, err));
    be_activation kind = ((const conv2d_attrs *)call->attrs)->activation;
    plan->own_unit = call->unit_count;
    if (activation_needs_x(kind)) return gpu_activation_prepare(call, kind, BE_F32, err);
    if (!what.relu) return BE_OK;
    what.relu = false;
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_eltwise), EACH_GROUP, err, "%s", ""));
    return convolution_prepare(call, &what, &plan->bare, err);
}

static bool all_nan(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i])) return false;
    return true;
}

/* Every window holds something of x, so with an x of NaN alone there is nothing else in y.  x and y
 * hold nothing yet. */
static be_status keeps_nan(const gpu_call *call, const convolution *c, gpu_span x, bool *out,
                           be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)call->driver;
    gpu_span y = call->out[0];
    float found[LOOKED_AT];
    size_t bytes = y.bytes < sizeof found ? y.bytes : sizeof found;
    TRY(cuda_enter(d, err));
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.fill(cuda_span_address(x), 0xff, x.bytes, d->stream), "fill memory");
    TRY(cudnn_plan_start(&c->plan, err));
    TRY(call->driver->vtable->download(call->driver, y.buffer, y.offset, found, bytes, err));
    *out = all_nan(found, bytes / sizeof *found);
    return BE_OK;
}

static be_status record_relu(const gpu_call *call, gpu_recorder *recorder, int unit, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    int groups = gpu_groups(call, count, call->units[unit].group, EACH_GROUPS_A_UNIT);
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){unit, "relu_in_place", groups,
                                         GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

static be_status forward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (is_last(call)) return conv2d_last_cudnn_record(call, recorder, err);
    if (has_patches(call)) return conv2d_patches_record(call, recorder, err);
    forward_plan *plan = call->state;
    be_activation kind = ((const conv2d_attrs *)call->attrs)->activation;
    gpu_span z = call->out_shape[1].rank >= 0 ? call->out[1] : call->out[0];
    const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS] = {
        [CUDNN_X] = wide_span(call, &plan->wide, 0),
        [CUDNN_W] = wide_span(call, &plan->wide, 1),
        [CUDNN_Y] = z,
        [CUDNN_B] = call->in[2]};
    bool keeps = true;
    TRY(widen_record(call, recorder, &plan->wide, err));
    TRY(convolution_bind(call, recorder, &plan->whole, operands, err));
    if (plan->whole.what.relu && !gpu_is_dry(recorder))
        TRY(keeps_nan(call, &plan->whole, operands[CUDNN_X], &keeps, err));
    if (keeps) {
        TRY(convolution_record(call, recorder, &plan->whole, operands, err));
        if (!activation_needs_x(kind)) return BE_OK;
        return gpu_activation_record(call, recorder, plan->own_unit, z, call->out[0], err);
    }
    TRY(convolution_bind(call, recorder, &plan->bare, operands, err));
    TRY(convolution_record(call, recorder, &plan->bare, operands, err));
    return record_relu(call, recorder, plan->own_unit, err);
}

/* ---------------------------------------------------------------- backward */

typedef struct backward_plan {
    wide_operands wide;
    gpu_upstream upstream;
    convolution_sum sum;
    convolution dx, dw;
} backward_plan;

static void backward_release(void *state)
{
    backward_plan *plan = state;
    cudnn_plan_free(&plan->dx.plan);
    cudnn_plan_free(&plan->dw.plan);
}

static be_status backward_prepare(gpu_call *call, be_error *err)
{
    if (is_last(call)) return conv2d_last_cudnn_backward_prepare(call, err);
    if (has_patches(call)) return conv2d_patches_backward_prepare(call, err);
    const conv2d_attrs *attrs = call->attrs;
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    call->release = backward_release;
    plan->upstream = (gpu_upstream){.shape = call->in_shape[3],
                                    .masked = call->in_shape[2].rank >= 0,
                                    .summed = !attrs->no_bias};
    plan->upstream.shape.dtype = BE_F32;
    TRY(widen_prepare(call, &plan->wide, err));
    TRY(gpu_upstream_prepare(call, &plan->upstream, &call->scratch_bytes, err));
    TRY(convolution_sum_prepare(call, &plan->sum, err));
    cudnn_convolution_pattern dx = convolution_of(call, CUDNN_TO_DX),
                              dw = convolution_of(call, CUDNN_TO_DW);
    if (attrs->need_dx) TRY(convolution_prepare(call, &dx, &plan->dx, err));
    return convolution_prepare(call, &dw, &plan->dw, err);
}

static be_status backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (is_last(call)) return conv2d_last_cudnn_backward_record(call, recorder, err);
    if (has_patches(call)) return conv2d_patches_backward_record(call, recorder, err);
    const conv2d_attrs *attrs = call->attrs;
    backward_plan *plan = call->state;
    gpu_span x = wide_span(call, &plan->wide, 0), w = wide_span(call, &plan->wide, 1);
    gpu_span dz = wide_span(call, &plan->wide, 3);
    TRY(widen_record(call, recorder, &plan->wide, err));
    TRY(gpu_upstream_record(call, recorder, &plan->upstream, &dz, err));
    const gpu_span dx[CUDNN_CONVOLUTION_OPERANDS] = {
        [CUDNN_X] = convolution_sum_span(call, &plan->sum), [CUDNN_W] = w, [CUDNN_Y] = dz};
    const gpu_span dw[CUDNN_CONVOLUTION_OPERANDS] = {
        [CUDNN_X] = x, [CUDNN_W] = call->out[1], [CUDNN_Y] = dz};
    if (attrs->need_dx) {
        TRY(convolution_bind(call, recorder, &plan->dx, dx, err));
        TRY(convolution_record(call, recorder, &plan->dx, dx, err));
        TRY(convolution_sum_record(call, recorder, &plan->sum, err));
    }
    TRY(convolution_bind(call, recorder, &plan->dw, dw, err));
    return convolution_record(call, recorder, &plan->dw, dw, err);
}

const gpu_kernel CUDNN_KERNEL(conv2d) = {.implementation = "cuDNN",
                                         .prepare = forward_prepare,
                                         .record = forward_record,
                                         .precisions = GPU_TF32_BF16};
const gpu_kernel CUDNN_KERNEL(conv2d_backward) = {.implementation = "cuDNN",
                                                  .prepare = backward_prepare,
                                                  .record = backward_record,
                                                  .precisions = GPU_TF32_BF16};
