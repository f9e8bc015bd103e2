/* The inner loops of the native convolution: a tile of pixels × channel blocks in registers.
 *
 * An image is seen as "parts" of channels: a blocked image has one part for each block, whose
 * pixels are VEC floats apart; a plain image has one part for each channel, whose pixels are 1
 * float apart (PITCH).  Included by conv2d_cpu.c only. */
#ifndef OPS_CONV2D_CONV2D_TILE_CPU_H
#define OPS_CONV2D_CONV2D_TILE_CPU_H

#include <stdbool.h>
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
    const vec *bias; /* one per block; NULL: zero */
    float floor;     /* results below it become it: 0 for ReLU, −infinity for none */
    ptrdiff_t block_stride;
} tile_output;

typedef struct tile_job {
    const tile_image *image;
    const tile_output *out;
    int kernel, pitch, width; /* width: outputs of a row */
    int blocks;               /* channel blocks at once, 1 or 2 */
    const float *x;           /* the first input of the first output */
    const float *w;           /* [part][row][column][channel][blocks][VEC] */
    float *y;                 /* [block][pixel][VEC] */
} tile_job;

/* Sizes that the compiler must know, so that the sums are registers. */
typedef struct tile_size {
    int pixels, blocks, pitch;
    int kernel; /* 0: not known, read it from the job */
} tile_size;

/* `pixels` neighbouring outputs of a row, from output `first` on. */
VEC_INLINE void tile_forward(const tile_job *job, int first, const tile_size size)
{
    const int pixels = size.pixels, blocks = size.blocks, pitch = size.pitch;
    const int kernel = size.kernel ? size.kernel : job->kernel;
    const tile_image *image = job->image;
    const float *x = job->x + first * pitch, *w = job->w;
    vec sum[2][TILE_PIXELS];
    VEC_UNROLL for (int b = 0; b < blocks; b++)
    {
        vec start = job->out->bias ? job->out->bias[b] : vec_all(0.0f);
        VEC_UNROLL for (int p = 0; p < pixels; p++) sum[b][p] = start;
    }
    for (int part = 0; part < image->parts; part++) {
        const int channels = pitch == 1                 ? 1
                             : part == image->parts - 1 ? image->last
                                                        : image->channels;
        for (int r = 0; r < kernel; r++) {
            const float *row = x + part * image->part_stride + r * image->row_stride;
            _Pragma("GCC unroll 5") for (int q = 0; q < kernel; q++, row += pitch)
            {
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
    vec floor = vec_all(job->out->floor);
    VEC_UNROLL for (int b = 0; b < blocks; b++)
    {
        VEC_UNROLL for (int p = 0; p < pixels; p++)
        {
            vec v = sum[b][p];
            /* written so that NaN stays NaN */
            *(vec *)(job->y + b * job->out->block_stride + (first + p) * VEC) =
                vec_select(v < floor, floor, v);
        }
    }
}

/* The tiles that are compiled.  A row is covered by as few as possible, the last one moved back so
 * that it ends with the row: what two tiles both compute comes out the same.  Plain images are
 * those of a first layer, whose rows are long. */
#if TILE_PIXELS == 14
#define TILE_LIST(X, ...) \
    X(14, __VA_ARGS__)    \
    X(13, __VA_ARGS__)    \
    X(12, __VA_ARGS__)    \
    X(11, __VA_ARGS__)    \
    X(10, __VA_ARGS__)    \
    X(7, __VA_ARGS__) X(5, __VA_ARGS__) X(3, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#define TILE_LIST_PLAIN(X, ...) \
    X(14, __VA_ARGS__) X(13, __VA_ARGS__) X(7, __VA_ARGS__) X(3, __VA_ARGS__) X(1, __VA_ARGS__)
#elif TILE_PIXELS == 6
#define TILE_LIST(X, ...) \
    X(6, __VA_ARGS__)     \
    X(5, __VA_ARGS__) X(4, __VA_ARGS__) X(3, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#define TILE_LIST_PLAIN(X, ...) \
    X(6, __VA_ARGS__) X(5, __VA_ARGS__) X(3, __VA_ARGS__) X(1, __VA_ARGS__)
#else
#define TILE_LIST(X, ...) X(3, __VA_ARGS__) X(2, __VA_ARGS__) X(1, __VA_ARGS__)
#define TILE_LIST_PLAIN(X, ...) TILE_LIST(X, __VA_ARGS__)
#endif

/* The tile for rows of this width: of the fewest tiles the smallest. */
VEC_INLINE int tile_choose(const int *sizes, int count, int width)
{
    int best = 1, fewest = width;
    for (int i = 0; i < count; i++) {
        int tiles = (width + sizes[i] - 1) / sizes[i];
        if (sizes[i] <= width && tiles <= fewest) {
            best = sizes[i];
            fewest = tiles;
        }
    }
    return best;
}

#define TILE_SIZE(n, ...) n,
#define TILE_CASE(n, ...)                                      \
    case n:                                                    \
        tile_forward(job, first, (tile_size){n, __VA_ARGS__}); \
        break;

/* One row of outputs; the arguments behind the list are blocks, pitch, kernel. */
#define TILE_ROW(name, list, ...)                                                    \
    static void name(const tile_job *job)                                            \
    {                                                                                \
        static const int sizes[] = {list(TILE_SIZE, 0)};                             \
        int pixels = tile_choose(sizes, sizeof sizes / sizeof sizes[0], job->width); \
        for (int done = 0; done < job->width; done += pixels) {                      \
            int first = done + pixels <= job->width ? done : job->width - pixels;    \
            switch (pixels) {                                                        \
                list(TILE_CASE, __VA_ARGS__)                                         \
            }                                                                        \
        }                                                                            \
    }

TILE_ROW(tile_row_one, TILE_LIST, 1, VEC, 0)
TILE_ROW(tile_row_two, TILE_LIST, 2, VEC, 0)
TILE_ROW(tile_row_plain_one, TILE_LIST_PLAIN, 1, 1, 0)
TILE_ROW(tile_row_plain_two, TILE_LIST_PLAIN, 2, 1, 0)
TILE_ROW(tile_row_plain3_one, TILE_LIST_PLAIN, 1, 1, 3)
TILE_ROW(tile_row_plain3_two, TILE_LIST_PLAIN, 2, 1, 3)
TILE_ROW(tile_row_plain5_one, TILE_LIST_PLAIN, 1, 1, 5)
TILE_ROW(tile_row_plain5_two, TILE_LIST_PLAIN, 2, 1, 5)

static void tile_row(const tile_job *job)
{
    bool one = job->blocks == 1;
    if (job->pitch != 1)
        (one ? tile_row_one : tile_row_two)(job);
    else if (job->kernel == 3)
        (one ? tile_row_plain3_one : tile_row_plain3_two)(job);
    else if (job->kernel == 5)
        (one ? tile_row_plain5_one : tile_row_plain5_two)(job);
    else
        (one ? tile_row_plain_one : tile_row_plain_two)(job);
}

/* Gradient of the weights of one part and one channel block, summed over all outputs of an image.
 */
typedef struct tile_gradient {
    int height, width;          /* outputs */
    ptrdiff_t x_row_stride;     /* floats */
    ptrdiff_t dy_row_stride;    /* … */
    ptrdiff_t dw_row_stride;    /* floats between the kernel's rows of dw */
    ptrdiff_t dw_column_stride; /* … columns */
} tile_gradient;

/* Taps held in registers at once, which the compiler must know. */
typedef struct tile_taps {
    int rows, columns, channels, pitch;
} tile_taps;

#define TILE_TAPS 24

/* dw[row][column][channel][VEC] += x · dy.  x: the input of tap (0, 0, 0) at output (0, 0); dy: the
 * gradient at output (0, 0). */
VEC_INLINE void tile_weights(const tile_gradient *g, const float *x, const float *dy, float *dw,
                             const tile_taps taps)
{
    const int columns = taps.columns, channels = taps.channels;
    const int count = taps.rows * columns * channels;
    vec sum[TILE_TAPS];
    VEC_UNROLL for (int t = 0; t < count; t++) sum[t] = vec_all(0.0f);
    for (int i = 0; i < g->height; i++) {
        const float *xi = x + i * g->x_row_stride, *dyi = dy + i * g->dy_row_stride;
        for (int j = 0; j < g->width; j++, xi += taps.pitch, dyi += VEC) {
            vec d = *(const vec *)dyi;
            VEC_UNROLL for (int t = 0; t < count; t++)
            {
                int r = t / (columns * channels), q = t / channels % columns, c = t % channels;
                sum[t] += vec_all(xi[r * g->x_row_stride + q * taps.pitch + c]) * d;
            }
        }
    }
    VEC_UNROLL for (int t = 0; t < count; t++)
    {
        int r = t / (columns * channels), q = t / channels % columns, c = t % channels;
        vec *to = (vec *)(dw + r * g->dw_row_stride + q * g->dw_column_stride + c * VEC);
        *to += sum[t];
    }
}

#endif
