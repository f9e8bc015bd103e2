/* The table of a convolution, with its bias and ReLU.  See cudnn_patterns.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda_math.h"
#include "backend/cuda/cudnn_patterns.h"

static void add_convolution(cudnn_graph *g, cudnn_direction direction, const int tensors[3])
{
    cudnn_operation o = {0};
    int x = tensors[CUDNN_X], w = tensors[CUDNN_W], y = tensors[CUDNN_Y];
    if (direction == CUDNN_TO_Y)
        o = (cudnn_operation){.kind = CUDNN_CONVOLVE_TO_Y, .in = {x, w}, .out = y};
    else if (direction == CUDNN_TO_DX)
        o = (cudnn_operation){.kind = CUDNN_CONVOLVE_TO_DX, .in = {y, w}, .out = x};
    else
        o = (cudnn_operation){.kind = CUDNN_CONVOLVE_TO_DW, .in = {x, y}, .out = w};
    cudnn_add_operation(g, &o);
}

/* An image or windows, in memory. */
static int add_operand(cudnn_graph *g, const cudnn_convolution_pattern *c, int operand,
                       const int64_t dims[CUDNN_RANK])
{
    const int64_t last[CUDNN_RANK] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    return cudnn_add_operand(g, operand, c->bf16 ? DNN_DATA_BFLOAT16 : DNN_DATA_FLOAT, dims,
                             c->last ? last : NULL);
}

static int add_result(cudnn_graph *g, const cudnn_convolution_pattern *c,
                      const int64_t dims[CUDNN_RANK], bool is_end)
{
    return is_end ? add_operand(g, c, CUDNN_Y, dims) : cudnn_add_inner(g, DNN_DATA_FLOAT, dims);
}

void cudnn_convolution_graph(const cudnn_convolution_pattern *c, cudnn_graph *out)
{
    static const char *const names[] = {"a convolution", "the gradient of the images",
                                        "the gradient of the windows"};
    const int64_t x[CUDNN_RANK] = {c->n, c->c, c->h, c->w}, b[CUDNN_RANK] = {1, c->o, 1, 1};
    const int64_t w[CUDNN_RANK] = {c->o, c->c, c->k[0], c->k[1]};
    const int64_t y[CUDNN_RANK] = {c->n, c->o, c->oh, c->ow};
    be_precision precision = c->bf16   ? BE_PRECISION_BF16
                             : c->tf32 ? BE_PRECISION_TF32
                                       : BE_PRECISION_FP32;
    *out = (cudnn_graph){.precision = precision, .workspace_most = CUDA_MATH_WORKSPACE_MOST};
    memcpy(out->stride, c->stride, sizeof out->stride);
    memcpy(out->padding, c->padding, sizeof out->padding);
    snprintf(out->what, sizeof out->what,
             "%s of images [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "] and %" PRId64
             " windows of %" PRId64 " × %" PRId64 "%s",
             names[c->direction], c->n, c->c, c->h, c->w, c->o, c->k[0], c->k[1],
             c->last ? ", channels last" : "");
    int left = c->bias + c->relu, tensors[3];
    tensors[CUDNN_X] = add_operand(out, c, CUDNN_X, x);
    tensors[CUDNN_W] = add_operand(out, c, CUDNN_W, w);
    tensors[CUDNN_Y] = add_result(out, c, y, left == 0);
    add_convolution(out, c->direction, tensors);
    int bias = c->bias ? cudnn_add_operand(out, CUDNN_B, DNN_DATA_FLOAT, b, NULL) : 0;
    for (int last = tensors[CUDNN_Y]; left > 0; bias = 0) {
        int next = add_result(out, c, y, --left == 0);
        cudnn_add_operation(
            out, &(cudnn_operation){.kind = CUDNN_POINTWISE,
                                    .mode = bias ? DNN_POINTWISE_ADD : DNN_POINTWISE_RELU_FWD,
                                    .in = {last, bias},
                                    .out = next});
        last = next;
    }
}
