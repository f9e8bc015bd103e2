/* Attributes of the pooling ops, for their definitions and implementations. */
#ifndef OPS_POOL_POOL_H
#define OPS_POOL_POOL_H

#include "ops/op_list.h"

#define MAX_POOL_SIZE 16 /* so that a place in a window fits a byte */

typedef struct max_pool2d_attrs {
    int size, stride, padding;
    int64_t height, width; /* backward: of x */
} max_pool2d_attrs;

/* Windows that lie side by side in an image, with no padding. */
static inline bool max_pool2d_is_tiling(const max_pool2d_attrs *attrs)
{
    return attrs->stride == attrs->size && attrs->padding == 0;
}

/* How many windows there are along a side of that many pixels. */
static inline int64_t max_pool2d_windows(const max_pool2d_attrs *attrs, int64_t pixels)
{
    return (pixels + 2 * attrs->padding - attrs->size) / attrs->stride + 1;
}

typedef struct global_average_pool_backward_attrs {
    int64_t height, width; /* of x */
} global_average_pool_backward_attrs;

#endif
