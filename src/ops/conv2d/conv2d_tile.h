/* The inner loops of the native convolution: a tile of pixels × channel blocks in registers.
 *
 * An image is seen as "parts" of channels: a blocked image has one part for each block, whose
 * pixels are VEC floats apart; a plain image has one part for each channel, whose pixels are 1
 * float apart (PITCH).  Included by conv2d_cpu.c only. */
#ifndef OPS_CONV2D_CONV2D_TILE_H
#define OPS_CONV2D_CONV2D_TILE_H

#include <stddef.h>

#include "backend/cpu/vec.h"

/* Pixels of a tile: with two channel blocks, their sums and the operands just fill the registers.
 */
#if defined(__AVX512F__)
#define TILE_PIXELS 14
#elif defined(__aarch64__) || defined(__AVX2__)
#define TILE_PIXELS 6
#else
#define TILE_PIXELS 3
#endif

typedef struct tile_image {
    int parts;             /* of channels */
    int channels;          /* of a full part: VEC, or 1 */
    int last;              /* channels of the last part */
    ptrdiff_t part_stride; /* floats */
    ptrdiff_t row_stride;  /* floats */
} tile_image;

typedef struct tile_output {
    const vec *bias; /* one a block; NULL: zero */
    float floor;     /* results below it become it: 0 for ReLU, −infinity for none */
    ptrdiff_t block_stride;
} tile_output;

/* y[block][pixel] for `pixels` neighbouring outputs of a row and `blocks` (1 or 2) channel blocks.
 * x: the first input of the first output; w: [part][row][column][channel][blocks][VEC]. */
VEC_INLINE void tile_forward(const tile_image *image, int kernel, const float *x, const float *w,
                             float *y, const tile_output *out, const int pixels, const int blocks,
                             const int pitch)
{
    vec sum[2][TILE_PIXELS];
    VEC_UNROLL for (int b = 0; b < blocks; b++)
    {
        vec start = out->bias ? out->bias[b] : vec_all(0.0f);
        VEC_UNROLL for (int p = 0; p < pixels; p++) sum[b][p] = start;
    }
    for (int part = 0; part < image->parts; part++) {
        int channels = part == image->parts - 1 ? image->last : image->channels;
        for (int r = 0; r < kernel; r++) {
            const float *row = x + part * image->part_stride + r * image->row_stride;
            for (int q = 0; q < kernel; q++, row += pitch) {
                for (int c = 0; c < channels; c++, w += blocks * VEC) {
                    vec w0 = *(const vec *)w, w1 = blocks > 1 ? *(const vec *)(w + VEC) : w0;
                    VEC_UNROLL for (int p = 0; p < pixels; p++)
                    {
                        vec x0 = vec_all(row[p * pitch + c]);
                        sum[0][p] += x0 * w0;
                        if (blocks > 1) sum[1][p] += x0 * w1;
                    }
                }
            }
        }
    }
    vec floor = vec_all(out->floor);
    VEC_UNROLL for (int b = 0; b < blocks; b++)
    {
        VEC_UNROLL for (int p = 0; p < pixels; p++)
        {
            vec v = sum[b][p];
            /* written so that NaN stays NaN */
            *(vec *)(y + b * out->block_stride + p * VEC) = vec_select(v < floor, floor, v);
        }
    }
}

#if TILE_PIXELS == 14
#define TILE_CASES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif TILE_PIXELS == 6
#define TILE_CASES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define TILE_CASES(X) X(1) X(2) X(3)
#endif

typedef struct tile_walk {
    const tile_image *image;
    int kernel, pitch, width; /* width: outputs of a row */
} tile_walk;

#define TILE_CASE(n)                                                             \
    case n:                                                                      \
        tile_forward(walk->image, walk->kernel, x, w, y, out, n, blocks, pitch); \
        break;

VEC_INLINE void tile_row_of(const tile_walk *walk, const float *x, const float *w, float *y,
                            const tile_output *out, const int blocks, const int pitch)
{
    /* Equal tiles rather than a full one and a rest: a small tile hides no latency. */
    int tiles = (walk->width + TILE_PIXELS - 1) / TILE_PIXELS;
    for (int t = 0, done = 0; t < tiles; t++) {
        int pixels = (walk->width - done + tiles - t - 1) / (tiles - t);
        switch (pixels) {
            TILE_CASES(TILE_CASE)
        }
        done += pixels;
        x += pixels * pitch;
        y += pixels * VEC;
    }
}

/* One row of outputs. */
static void tile_row(const tile_walk *walk, const float *x, const float *w, float *y,
                     const tile_output *out, int blocks)
{
    if (walk->pitch == 1 && blocks == 1)
        tile_row_of(walk, x, w, y, out, 1, 1);
    else if (walk->pitch == 1)
        tile_row_of(walk, x, w, y, out, 2, 1);
    else if (blocks == 1)
        tile_row_of(walk, x, w, y, out, 1, VEC);
    else
        tile_row_of(walk, x, w, y, out, 2, VEC);
}

/* Gradient of the weights of one part and one channel block: dw[row][column][channel][VEC] over
 * `rows` × `columns` × `channels` taps held in registers, summed over all outputs of an image.
 * x: the input of tap (0, 0, 0) at output (0, 0); dy: the gradient at output (0, 0). */
typedef struct tile_gradient {
    int height, width;                     /* outputs */
    ptrdiff_t x_row_stride, dy_row_stride; /* floats */
    ptrdiff_t dw_row_stride;               /* floats between the kernel's rows of dw */
    ptrdiff_t dw_column_stride;            /* … columns */
} tile_gradient;

#define TILE_TAPS 24

VEC_INLINE void tile_weights(const tile_gradient *g, const float *x, const float *dy, float *dw,
                             const int rows, const int columns, const int channels, const int pitch)
{
    vec sum[TILE_TAPS];
    VEC_UNROLL for (int t = 0; t < rows * columns * channels; t++) sum[t] = vec_all(0.0f);
    for (int i = 0; i < g->height; i++) {
        const float *xi = x + i * g->x_row_stride, *dyi = dy + i * g->dy_row_stride;
        for (int j = 0; j < g->width; j++, xi += pitch, dyi += VEC) {
            vec d = *(const vec *)dyi;
            VEC_UNROLL for (int t = 0; t < rows * columns * channels; t++)
            {
                int r = t / (columns * channels), q = t / channels % columns, c = t % channels;
                sum[t] += vec_all(xi[r * g->x_row_stride + q * pitch + c]) * d;
            }
        }
    }
    VEC_UNROLL for (int t = 0; t < rows * columns * channels; t++)
    {
        int r = t / (columns * channels), q = t / channels % columns, c = t % channels;
        vec *to = (vec *)(dw + r * g->dw_row_stride + q * g->dw_column_stride + c * VEC);
        *to += sum[t];
    }
}

#endif
