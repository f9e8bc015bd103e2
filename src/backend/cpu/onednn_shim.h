/* One small interface for oneDNN's C API of both majors, 2.x and 3.x: all that differs between them
 * is in onednn_shim.c.
 *
 * A primitive owns its descriptor and its memory objects.  It is made when a plan is made; running
 * it allocates nothing (scratch comes from the caller).  One primitive may not run in two threads
 * at once. */
#ifndef BACKEND_CPU_ONEDNN_SHIM_H
#define BACKEND_CPU_ONEDNN_SHIM_H

#include "backend/cpu/cpu.h"

typedef struct onednn_primitive onednn_primitive;

/* y [M, N] = x [M, K] · w [K, N] (+ bias [N]), added to what y holds, or ReLU of it, if asked. Each
 * operand is given by its strides in elements {rows, columns}, so that a transposed one costs no
 * copy.  Of several products, which have no bias, the matrices of an operand lie one behind the
 * other. */
typedef struct onednn_matmul {
    int64_t batch; /* products; 0: one */
    int64_t m, n, k;
    int64_t x_stride[2], w_stride[2], y_stride[2];
    bool bias, relu, add;
    bool bf16; /* x and w are; y and the bias stay f32 */
} onednn_matmul;

typedef enum onednn_direction {
    ONEDNN_FORWARD,         /* SRC, WEIGHTS, BIAS -> DST */
    ONEDNN_BACKWARD_DATA,   /* DIFF_DST, WEIGHTS -> DIFF_SRC */
    ONEDNN_BACKWARD_WEIGHTS /* SRC, DIFF_DST -> DIFF_WEIGHTS, DIFF_BIAS */
} onednn_direction;

/* src [N, C, H, W], weights [O, C, kernel[0], kernel[1]], dst [N, O, H', W'].  A tag names the
 * memory format of a tensor or of its gradient: dnnl_nchw, dnnl_nChw8c, dnnl_nChw16c, dnnl_oihw, or
 * dnnl_format_tag_any to let oneDNN choose (ask onednn_arg_bytes, and reorder with
 * onednn_reorder_new). */
typedef struct onednn_convolution {
    onednn_direction direction;
    int64_t images, in_channels, out_channels;
    int64_t in_height, in_width, kernel[2], stride[2], padding[2]; /* of rows, of columns */
    dnnl_format_tag_t src, weights, dst;
    bool bias;
    bool bf16; /* src, weights and dst are, but what comes out and the bias stay f32 */
    bool relu; /* forward: y = max(y, 0) */
    const onednn_primitive *forward; /* backward: the forward primitive, as a hint; may be NULL */
} onednn_convolution;

/* The format of a tensor: that of argument `arg` (DNNL_ARG_…) of a primitive, or, where `of` is
 * NULL, dimensions and tag. */
typedef struct onednn_format {
    const onednn_primitive *of;
    int arg;
    int rank;
    int64_t dim[BE_MAX_RANK];
    dnnl_format_tag_t tag;
    bool bf16; /* else f32 */
} onednn_format;

/* The memory format of a tensor of 4 dimensions in one of our layouts. */
dnnl_format_tag_t onednn_tag(value_layout layout);

/* Primitives live in `memory` and must be freed by onednn_free (NULL is allowed).  An unsupported
 * combination is BE_UNAVAILABLE; *out is NULL after every error. */
be_status onednn_matmul_new(const cpu_device *device, const onednn_matmul *spec, arena *memory,
                            onednn_primitive **out, be_error *err);
be_status onednn_convolution_new(const cpu_device *device, const onednn_convolution *spec,
                                 arena *memory, onednn_primitive **out, be_error *err);
/* Copies argument DNNL_ARG_FROM to DNNL_ARG_TO. */
be_status onednn_reorder_new(const cpu_device *device, const onednn_format format[2], arena *memory,
                             onednn_primitive **out, be_error *err);
void onednn_free(onednn_primitive *primitive);

/* oneDNN's own name of what it chose, e.g. "jit:avx512_core". */
const char *onednn_implementation(const onednn_primitive *primitive);
size_t onednn_scratch_bytes(const onednn_primitive *primitive);

/* Bytes of an argument in the format that was chosen for it, padding included. */
size_t onednn_arg_bytes(const onednn_primitive *primitive, int arg);

/* Is this the format of an argument, so that no reorder is needed? */
bool onednn_arg_is(const onednn_primitive *primitive, int arg, const onednn_format *format);

typedef struct onednn_operand {
    int arg; /* DNNL_ARG_… */
    const void *data;
} onednn_operand;

/* Every argument of the primitive must be among the operands.  `scratch` is at least as large as
 * onednn_scratch_bytes says and aligned to 64 bytes.  Waits for the result. */
be_status onednn_run(onednn_primitive *primitive, const onednn_operand *operands, int count,
                     void *scratch, be_error *err);

#endif
