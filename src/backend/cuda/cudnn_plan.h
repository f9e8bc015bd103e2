/* A convolution made ready with cuDNN: its operation graph, the engine, and what it needs.
 *
 * In true fp32: engines are refused that use tensor cores or narrower numbers for fp32 data, that
 * add in an order which changes from run to run, or whose transform (FFT, large Winograd tiles)
 * costs more digits than an op's cases allow.  In tf32 an engine must use tensor cores and may
 * narrow what it multiplies; the rest as before.  Everything is in fp32 and in the plain layout: of
 * bf16 operands and fp32 results cuDNN has no convolution (9.19, asked for every shape of the five
 * workloads). */
#ifndef BACKEND_CUDA_CUDNN_PLAN_H
#define BACKEND_CUDA_CUDNN_PLAN_H

#include "backend/cuda/cuda_math.h"

/* y from x and w; x's gradient from w and dy; w's gradient from x and dy. */
typedef enum cudnn_direction { CUDNN_TO_Y, CUDNN_TO_DX, CUDNN_TO_DW } cudnn_direction;

typedef struct cudnn_convolution {
    cudnn_direction direction;
    int64_t n, c, h, w, o, oh, ow;
    int64_t k[2], stride[2], padding[2]; /* of rows, of columns */
    bool bias, relu;                     /* of y */
    bool tf32;
} cudnn_convolution;

/* For whom the engine is chosen: the device behind a handle, or, with no device at all, the one
 * that a text of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION describes (cuDNN 9.11 and later). */
typedef struct cudnn_place {
    cudnn_handle handle;
    const char *device_text;
} cudnn_place;

/* Tensors in this order, y and w also as gradients. */
typedef enum cudnn_operand { CUDNN_X, CUDNN_W, CUDNN_Y, CUDNN_B, CUDNN_OPERANDS } cudnn_operand;

#define CUDNN_DESCRIPTORS_MOST 32

typedef struct cudnn_plan {
    const cuda_math *math;
    cudnn_convolution what;
    cudnn_handle handle;
    cudnn_descriptor plan, pack;                    /* pack: once it is bound */
    cudnn_descriptor owned[CUDNN_DESCRIPTORS_MOST]; /* all that was made, in order */
    int owned_count;
    size_t workspace_bytes;
    int64_t engine; /* its number among those of its operation graph */
    int tried;      /* configurations of the heuristics that were looked at */
} cudnn_plan;

/* BE_UNAVAILABLE, with the reason, if cuDNN has no engine for it here.  On failure nothing is left
 * to free. */
BE_CHECKED be_status cudnn_plan_new(const cuda_math *math, const cudnn_place *place,
                                    const cudnn_convolution *what, cudnn_plan *out, be_error *err);
void cudnn_plan_free(cudnn_plan *plan);

/* The operation graph alone, for tests: that it finalises without a device. */
BE_CHECKED be_status cudnn_graph_check(const cuda_math *math, const cudnn_convolution *what,
                                       be_error *err);

/* Tell it where its operands and its workspace are; the workspace may be 0 if it needs none. */
BE_CHECKED be_status cudnn_plan_bind(cudnn_plan *plan, const cuda_address operands[CUDNN_OPERANDS],
                                     cuda_address workspace, be_error *err);

/* Hand it to the stream of its handle. */
BE_CHECKED be_status cudnn_plan_start(const cudnn_plan *plan, be_error *err);

#endif
