/* What the convolution's host sides on GPUs share. */
#ifndef OPS_CONV2D_CONV2D_GPU_H
#define OPS_CONV2D_CONV2D_GPU_H

#include "ops/conv2d/conv2d.h"
#include "ops/matmul/product_gpu.h"

/* The sizes as words of the kernels: "IMAGES=… CHANNELS=… …". */
void conv2d_gpu_words(const conv2d_sizes *s, char text[320]);

#endif
