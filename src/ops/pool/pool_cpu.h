/* What the pools by windows share on the CPU: their sizes in units of lanes, and what of a window
 * lies in the image. */
#ifndef OPS_POOL_POOL_CPU_H
#define OPS_POOL_POOL_CPU_H

#include "backend/cpu/vec.h"
#include "ops/pool/pool.h"

/* One use, in units of `lanes` floats: 1 (plain) or VEC (blocked).  `images` counts the planes of
 * all images: channels, or blocks of channels. */
typedef struct pool_sizes {
    int64_t images, height, width, out_height, out_width;
    int size, stride, padding, lanes;
} pool_sizes;

static inline pool_sizes pool_sizes_of(const be_shape *x, const be_shape *y, value_layout layout,
                                       const pool2d_attrs *attrs)
{
    int64_t lanes = layout == LAYOUT_PLAIN ? 1 : VEC;
    return (pool_sizes){.images = x->dim[0] * ((x->dim[1] + lanes - 1) / lanes),
                        .height = x->dim[2],
                        .width = x->dim[3],
                        .out_height = y->dim[2],
                        .out_width = y->dim[3],
                        .size = attrs->size,
                        .stride = attrs->stride,
                        .padding = attrs->padding,
                        .lanes = (int)lanes};
}

/* What of a window lies in the image: rows and columns of the window, from … to before …, and where
 * its place (0, 0) would be in the image, in elements. */
typedef struct pool_window {
    int row, row_end, column, column_end;
    int64_t start;
} pool_window;

static inline pool_window pool_part(const pool_sizes *s, int64_t h, int64_t w)
{
    int64_t top = h * s->stride - s->padding, left = w * s->stride - s->padding;
    return (pool_window){
        .row = top < 0 ? (int)-top : 0,
        .row_end = top + s->size > s->height ? (int)(s->height - top) : s->size,
        .column = left < 0 ? (int)-left : 0,
        .column_end = left + s->size > s->width ? (int)(s->width - left) : s->size,
        .start = top * s->width + left,
    };
}

#endif
