/* Attributes of the pooling ops, for their definitions and implementations. */
#ifndef OPS_POOL_POOL_H
#define OPS_POOL_POOL_H

#include "ops/op_list.h"

#define MAX_POOL_SIZE 16 /* so that a place in a window fits a byte */

typedef struct max_pool2d_attrs {
    int size;
} max_pool2d_attrs;

typedef struct max_pool2d_backward_attrs {
    int size;
    int64_t height, width; /* of x */
} max_pool2d_backward_attrs;

typedef struct global_average_pool_backward_attrs {
    int64_t height, width; /* of x */
} global_average_pool_backward_attrs;

#endif
