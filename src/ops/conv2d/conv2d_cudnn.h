/* What the two host sides of cuDNN's convolution share (conv2d_task_cudnn.c): a plan as a task, and
 * the sum to which the gradient of x is added. */
#ifndef OPS_CONV2D_CONV2D_CUDNN_H
#define OPS_CONV2D_CONV2D_CUDNN_H

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cudnn_patterns.h"
#include "backend/cuda/cudnn_plan.h"
#include "ops/conv2d/conv2d_gpu.h"

typedef struct convolution {
    gpu_task task; /* first */
    cudnn_convolution_pattern what;
    cudnn_plan plan;
    size_t work_at; /* its workspace in scratch */
} convolution;

/* Of plain images in true fp32. */
cudnn_convolution_pattern convolution_pattern(const conv2d_sizes *s, cudnn_direction direction);

/* Of images with the channels last, wholly in bf16 or in fp32: what cuDNN is asked for, after
 * pixels were folded into channels. */
cudnn_convolution_pattern convolution_pattern_last(const conv2d_sizes *s, cudnn_direction direction,
                                                   be_dtype type);

/* Choose its engine, and take its workspace behind what is taken of scratch. */
be_status convolution_prepare(gpu_call *call, const cudnn_convolution_pattern *what,
                              convolution *out, be_error *err);

/* x, w, y and b are the operands or their gradients; the direction says which of them is written.
 */
be_status convolution_bind(const gpu_call *call, const gpu_recorder *recorder, convolution *c,
                           const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS], be_error *err);

/* Of a plan that is bound. */
be_status convolution_record(const gpu_call *call, gpu_recorder *recorder, const convolution *c,
                             const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS], be_error *err);

/* The gradient of x is made in scratch and added to the sum by a kernel of ours, where there is a
 * sum; cuDNN's engines are not asked to add. */
typedef struct convolution_sum {
    bool any;
    int unit;
    size_t at, bytes; /* in scratch */
} convolution_sum;

be_status convolution_sum_prepare(gpu_call *call, convolution_sum *out, be_error *err);

/* Where the convolution is to write. */
gpu_span convolution_sum_span(const gpu_call *call, const convolution_sum *sum);

/* Behind the convolution. */
be_status convolution_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                 const convolution_sum *sum, be_error *err);

/* Of plain images whose windows lie side by side, on cuBLASLt (conv2d_patches_cublaslt.c). */
be_status conv2d_patches_prepare(gpu_call *call, be_error *err);
be_status conv2d_patches_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);
be_status conv2d_patches_backward_prepare(gpu_call *call, be_error *err);
be_status conv2d_patches_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err);

/* Of images with the channels last (conv2d_last_cudnn.c): without a bias, and nothing behind. */
be_status conv2d_last_cudnn_prepare(gpu_call *call, be_error *err);
be_status conv2d_last_cudnn_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);
be_status conv2d_last_cudnn_backward_prepare(gpu_call *call, be_error *err);
be_status conv2d_last_cudnn_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err);

/* The same of windows of one pixel (conv2d_point_cublaslt.c), which conv2d_is_point says. */
bool conv2d_is_point(const gpu_call *call);
be_status conv2d_point_cublaslt_prepare(gpu_call *call, be_error *err);
be_status conv2d_point_cublaslt_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);

#endif
