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

static int add_result(cudnn_graph *g, const int64_t dims[CUDNN_RANK], bool is_last)
{
    return is_last ? cudnn_add_operand(g, CUDNN_Y, DNN_DATA_FLOAT, dims, NULL)
                   : cudnn_add_inner(g, DNN_DATA_FLOAT, dims);
}

void cudnn_convolution_graph(const cudnn_convolution_pattern *c, cudnn_graph *out)
{
    const int64_t x[CUDNN_RANK] = {c->n, c->c, c->h, c->w}, b[CUDNN_RANK] = {1, c->o, 1, 1};
    const int64_t w[CUDNN_RANK] = {c->o, c->c, c->k[0], c->k[1]};
    const int64_t y[CUDNN_RANK] = {c->n, c->o, c->oh, c->ow};
    *out = (cudnn_graph){.precision = c->tf32 ? BE_PRECISION_TF32 : BE_PRECISION_FP32,
                         .workspace_most = CUDA_MATH_WORKSPACE_MOST};
    memcpy(out->stride, c->stride, sizeof out->stride);
    memcpy(out->padding, c->padding, sizeof out->padding);
    snprintf(out->what, sizeof out->what,
             "a convolution of images [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
             "] and %" PRId64 " windows of %" PRId64 " × %" PRId64,
             c->n, c->c, c->h, c->w, c->o, c->k[0], c->k[1]);
    int left = c->bias + c->relu, tensors[3];
    tensors[CUDNN_X] = cudnn_add_operand(out, CUDNN_X, DNN_DATA_FLOAT, x, NULL);
    tensors[CUDNN_W] = cudnn_add_operand(out, CUDNN_W, DNN_DATA_FLOAT, w, NULL);
    tensors[CUDNN_Y] = add_result(out, y, left == 0);
    add_convolution(out, c->direction, tensors);
    int bias = c->bias ? cudnn_add_operand(out, CUDNN_B, DNN_DATA_FLOAT, b, NULL) : 0;
    for (int last = tensors[CUDNN_Y]; left > 0; bias = 0) {
        int next = add_result(out, y, --left == 0);
        cudnn_add_operation(
            out, &(cudnn_operation){.kind = CUDNN_POINTWISE,
                                    .mode = bias ? DNN_POINTWISE_ADD : DNN_POINTWISE_RELU_FWD,
                                    .in = {last, bias},
                                    .out = next});
        last = next;
    }
}
