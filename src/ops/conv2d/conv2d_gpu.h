/* What the convolution's host sides on GPUs share. */
#ifndef OPS_CONV2D_CONV2D_GPU_H
#define OPS_CONV2D_CONV2D_GPU_H

#include "ops/conv2d/conv2d.h"
#include "ops/matmul/product_gpu.h"

/* Of images with the channels last, and without a bias or anything behind: our own kernels. */
be_status conv2d_last_prepare(gpu_call *call, be_error *err);
be_status conv2d_last_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);
be_status conv2d_last_backward_prepare(gpu_call *call, be_error *err);
be_status conv2d_last_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);

/* The sizes as words of the kernels: "IMAGES=… CHANNELS=… …". */
void conv2d_gpu_words(const conv2d_sizes *s, char text[320]);

#endif
