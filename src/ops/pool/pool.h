/* Attributes of the pooling ops, for their definitions and implementations. */
#ifndef OPS_POOL_POOL_H
#define OPS_POOL_POOL_H

#include "ops/op_list.h"

#define POOL_SIZE 16 /* so that a place in a window fits a byte */

typedef struct pool2d_attrs {
    int size, stride, padding;
    bool leaves_padding;   /* average: of a window only what lies in the image counts */
    int64_t height, width; /* backward: of x */
} pool2d_attrs;

/* The attributes of an op on windows that were asked for so. */
static inline pool2d_attrs pool2d_of(const be_pool2d_options *options)
{
    return (pool2d_attrs){.size = options->size,
                          .stride = options->stride ? options->stride : options->size,
                          .padding = options->padding,
                          .leaves_padding = options->leave_padding != 0};
}

/* Windows that lie side by side in an image, with no padding. */
static inline bool pool2d_is_tiling(const pool2d_attrs *attrs)
{
    return attrs->stride == attrs->size && attrs->padding == 0;
}

/* How many windows there are along a side of that many pixels. */
static inline int64_t pool2d_windows(const pool2d_attrs *attrs, int64_t pixels)
{
    return (pixels + 2 * attrs->padding - attrs->size) / attrs->stride + 1;
}

/* What a pool by windows shares with the others (pool.c): its attributes checked, y's shape of x,
 * and x's shape of dy, each in its own words of the op `name`. */
BE_CHECKED be_status pool2d_infer(const char *name, const pool2d_attrs *attrs, const be_shape *x,
                                  be_shape *y, be_error *err);
BE_CHECKED be_status pool2d_infer_back(const char *name, const pool2d_attrs *attrs,
                                       const be_shape *dy, be_shape *dx, be_error *err);

/* The pixel of an image's window `at` in place i of the window, or −1 in the padding. */
int64_t pool2d_pixel(const pool2d_attrs *attrs, int64_t height, int64_t width, const int64_t at[2],
                     int i);

typedef struct global_average_pool_backward_attrs {
    int64_t height, width; /* of x */
} global_average_pool_backward_attrs;

#endif
