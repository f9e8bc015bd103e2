/* The tables (cudnn_graph.h) of what our ops ask cuDNN for. */
#ifndef BACKEND_CUDA_CUDNN_PATTERNS_H
#define BACKEND_CUDA_CUDNN_PATTERNS_H

#include "backend/cuda/cudnn_graph.h"

/* y from x and w; x's gradient from w and dy; w's gradient from x and dy. */
typedef enum cudnn_direction { CUDNN_TO_Y, CUDNN_TO_DX, CUDNN_TO_DW } cudnn_direction;

/* In fp32 and in the plain layout, or with the channels last in fp32 or wholly in bf16: of bf16
 * operands and fp32 results cuDNN has no convolution (9.19, asked for every shape of the five small
 * workloads). */
typedef struct cudnn_convolution_pattern {
    cudnn_direction direction;
    int64_t n, c, h, w, o, oh, ow;
    int64_t k[2], stride[2], padding[2]; /* of rows, of columns */
    bool bias, relu;                     /* of y */
    bool tf32;
    bool last; /* images and windows: the channels side by side */
    bool bf16; /* all operands; then tf32 says nothing */
} cudnn_convolution_pattern;

/* Its operands in order, y and w also as gradients; the bias only where there is one. */
enum { CUDNN_X, CUDNN_W, CUDNN_Y, CUDNN_B, CUDNN_CONVOLUTION_OPERANDS };

void cudnn_convolution_graph(const cudnn_convolution_pattern *what, cudnn_graph *out);

/* Attention of bf16 operands, as src/ops/attention defines it.  The row of token t of sample b and
 * head h begins at (b · tokens + t) · row + h · size, in q, k and v and in their gradients alike.
 */
typedef struct cudnn_attention_pattern {
    bool is_backward;
    int64_t batch, heads, queries, keys, size, row;
    bool is_causal, has_lengths;
    float scale;
} cudnn_attention_pattern;

/* Its operands in order.  y, dy and the gradients are bf16, lse and dots f32 [batch, heads,
 * queries], lengths i32 [batch].  Forward it writes y and lse; backward the gradients, and dots,
 * the products dy · y, for itself. */
enum {
    CUDNN_ATTENTION_Q,
    CUDNN_ATTENTION_K,
    CUDNN_ATTENTION_V,
    CUDNN_ATTENTION_Y,
    CUDNN_ATTENTION_LSE,
    CUDNN_ATTENTION_QUERY_LENGTHS, /* all queries: cuDNN wants one of both, or none */
    CUDNN_ATTENTION_KEY_LENGTHS,
    CUDNN_ATTENTION_DY,
    CUDNN_ATTENTION_DOTS,
    CUDNN_ATTENTION_DQ,
    CUDNN_ATTENTION_DK,
    CUDNN_ATTENTION_DV,
    CUDNN_ATTENTION_OPERANDS
};

/* What cuDNN's backward may take of the device's memory: its form that gives the same bits twice
 * keeps a number for each pair of a query and a key. */
#define CUDNN_ATTENTION_WORKSPACE_MOST ((size_t)512 << 20)

/* Whether the pattern needs lengths: cuDNN up to 9.15 computes a backward wrongly whose tokens are
 * no multiple of 128, unless it is told how many there are. */
bool cudnn_attention_is_masked(int64_t queries, int64_t keys, bool has_lengths);

void cudnn_attention_graph(const cudnn_attention_pattern *what, cudnn_graph *out);

#endif
