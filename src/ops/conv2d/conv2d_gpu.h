/* What the convolution's host sides on GPUs share. */
#ifndef OPS_CONV2D_CONV2D_GPU_H
#define OPS_CONV2D_CONV2D_GPU_H

#include "ops/conv2d/conv2d.h"
#include "ops/matmul/product_gpu.h"

/* A window's rows and columns have 16 bits each, and all 32 set mean the bias. */
#define CONV2D_GPU_TAPS_MAX 15

/* Refuse what the kernels cannot do. */
be_status conv2d_gpu_accept(const conv2d_sizes *s, be_error *err);

/* The sizes as words of the kernels: "IMAGES=… CHANNELS=… …". */
void conv2d_gpu_words(const conv2d_sizes *s, char text[256]);

#endif
