/* What cuDNN is asked to compute, as a table: tensors, and the operations between them, in the
 * order in which they follow each other.  Plain data; cudnn_build.c turns it into cuDNN's
 * descriptors.
 *
 * Tensors are counted from 1 on; 0 stands for none.  Some are operands, which lie in memory, each
 * at its place in the list of addresses; the rest lie between two operations, or are numbers.  Any
 * dimension may have any stride, so that what is transposed or interleaved needs no copy. */
#ifndef BACKEND_CUDA_CUDNN_GRAPH_H
#define BACKEND_CUDA_CUDNN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/cudnn_api.h"
#include "breakeven/plan.h"

#define CUDNN_RANK 4
#define CUDNN_TENSORS_MOST 48
#define CUDNN_OPERATIONS_MOST 28
#define CUDNN_OPERANDS_MOST 14

typedef struct cudnn_tensor {
    int64_t dims[CUDNN_RANK], strides[CUDNN_RANK];
    int type;    /* DNN_DATA_… */
    int operand; /* its place in the list of addresses */
    bool inner;  /* between two operations, never in memory */
    bool is_number;
    float number;
} cudnn_tensor;

typedef enum cudnn_operation_kind {
    CUDNN_CONVOLVE_TO_Y,  /* in: x, w; out: y */
    CUDNN_CONVOLVE_TO_DX, /* in: dy, w; out: dx */
    CUDNN_CONVOLVE_TO_DW, /* in: x, dy; out: dw */
    CUDNN_MULTIPLY,       /* in: a, b; out = a · b, of the two last dimensions */
    CUDNN_POINTWISE,      /* in: x, and what else the mode has */
    CUDNN_REDUCE,         /* in: x; to the dimensions of out */
    CUDNN_RESHAPE,        /* in: x; the same elements with the dimensions and strides of out */
} cudnn_operation_kind;

typedef struct cudnn_operation {
    cudnn_operation_kind kind;
    int mode; /* DNN_POINTWISE_… or DNN_REDUCE_… */
    int axis; /* of DNN_POINTWISE_GEN_INDEX */
    int in[3], out;
    int lengths[3]; /* of a product: the rows, columns and depth of each of the batch, or 0 */
} cudnn_operation;

typedef struct cudnn_graph {
    char what[160]; /* for people: "an attention of …" */
    be_precision precision;
    size_t workspace_most;
    int64_t stride[2], padding[2]; /* of the convolution */
    int tensor_count, operation_count;
    cudnn_tensor tensors[CUDNN_TENSORS_MOST + 1]; /* by their numbers */
    cudnn_operation operations[CUDNN_OPERATIONS_MOST];
} cudnn_graph;

/* All give the number of the tensor.  Without strides an operand lies row by row. */
int cudnn_add_operand(cudnn_graph *g, int operand, int type, const int64_t dims[CUDNN_RANK],
                      const int64_t *strides);
int cudnn_add_inner(cudnn_graph *g, int type, const int64_t dims[CUDNN_RANK]);
int cudnn_add_number(cudnn_graph *g, float number);

bool cudnn_is_operand(const cudnn_tensor *tensor);

void cudnn_add_operation(cudnn_graph *g, const cudnn_operation *operation);

/* Its result is a new tensor between operations, of f32 and with the dimensions of x. */
int cudnn_add_pointwise(cudnn_graph *g, int mode, int x, int b);

#endif
