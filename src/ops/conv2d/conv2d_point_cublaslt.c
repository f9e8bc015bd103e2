/* The gradients of a convolution by single pixels (windows of 1 × 1, a stride of 1) of images with
 * the channels last: products of cuBLASLt over all pixels.  cuDNN would compute the same; but its
 * engines add to no sum, and where the paths of a block meet that is two more passes over an image,
 * and they leave the gradient of the windows in bf16. */
#include "ops/conv2d/conv2d_cudnn.h"
#include "ops/matmul/product_cublaslt.h"

#define CHANNELS_WHOLE 8 /* rows of a multiple of these lie at 16 bytes */

typedef struct point_plan {
    product_task dx, dw;
} point_plan;

bool conv2d_is_point(const gpu_call *call)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    const be_shape *sum = &call->in_shape[CONV2D_BACK_SUM];
    for (int side = 0; side < 2; side++)
        if (s.k[side] != 1 || s.stride[side] != 1 || s.padding[side] != 0) return false;
    if (s.c % CHANNELS_WHOLE || s.o % CHANNELS_WHOLE) return false;
    return sum->rank < 0 || sum->dtype == call->out_shape[0].dtype;
}

static void release(void *state)
{
    point_plan *plan = state;
    product_task_free(&plan->dx);
    product_task_free(&plan->dw);
}

/* dx [pixels, channels] = dy [pixels, outputs] · w, and the sum; dw [outputs, channels] = dyᵀ · x
 */
be_status conv2d_point_cublaslt_prepare(gpu_call *call, be_error *err)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    be_dtype type = call->in_shape[0].dtype;
    bool tf32 = type == BE_F32 && call->precision != BE_PRECISION_FP32;
    const cublaslt_product dx = {.rows = s.n * s.h * s.w,
                                 .columns = s.c,
                                 .depth = s.o,
                                 .add = call->in_shape[CONV2D_BACK_SUM].rank >= 0,
                                 .type = type,
                                 .tf32 = tf32,
                                 .result = type};
    const cublaslt_product dw = {.rows = s.o,
                                 .columns = s.c,
                                 .depth = dx.rows,
                                 .transpose_a = true,
                                 .type = type,
                                 .tf32 = tf32,
                                 .result = BE_F32};
    TRY(arena_alloc(call->memory, &call->state, sizeof(point_plan), err));
    point_plan *plan = call->state;
    call->release = release;
    if (call->out_shape[0].rank >= 0) TRY(product_task_prepare(call, &dx, &plan->dx, err));
    return product_task_prepare(call, &dw, &plan->dw, err);
}

be_status conv2d_point_cublaslt_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    point_plan *plan = call->state;
    gpu_span dy = call->in[3];
    const product_operands dx = {
        .a = dy, .b = call->in[1], .sum = call->in[CONV2D_BACK_SUM], .y = call->out[0]};
    const product_operands dw = {.a = dy, .b = call->in[0], .y = call->out[1]};
    if (call->out_shape[0].rank >= 0) TRY(product_task_record(call, recorder, &plan->dx, &dx, err));
    return product_task_record(call, recorder, &plan->dw, &dw, err);
}
