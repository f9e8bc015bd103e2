/* How a smaller tensor stands in the place of a larger one: its dimensions are the last ones of the
 * larger, or 1, and where one is 1 or missing its elements are used again. */
#ifndef OPS_ELTWISE_BROADCAST_H
#define OPS_ELTWISE_BROADCAST_H

#include "ops/op_util.h"

/* Both with BE_MAX_RANK dimensions, ones in front: the larger one's dimensions, and how far the
 * smaller one's elements lie apart along them (0: the same one is used again). */
typedef struct broadcast {
    int64_t dim[BE_MAX_RANK], stride[BE_MAX_RANK];
} broadcast;

/* "NAME: expected f32 whose dimensions are the last ones of f32 […], or 1, found …" unless so. */
be_status broadcast_check(const be_shape *small, const be_shape *large, const char *name,
                          be_error *err);

static inline broadcast broadcast_of(const be_shape *large, const be_shape *small)
{
    broadcast b;
    int64_t apart = 1;
    for (int d = 1; d <= BE_MAX_RANK; d++) {
        int64_t wide = d <= large->rank ? large->dim[large->rank - d] : 1;
        int64_t own = d <= small->rank ? small->dim[small->rank - d] : 1;
        b.dim[BE_MAX_RANK - d] = wide;
        b.stride[BE_MAX_RANK - d] = own == 1 ? 0 : apart;
        apart *= own;
    }
    return b;
}

/* The element of the smaller one for element i of the larger. */
static inline int64_t broadcast_index(const broadcast *b, int64_t i)
{
    int64_t at = 0;
    for (int d = BE_MAX_RANK - 1; d >= 0; d--) {
        at += i % b->dim[d] * b->stride[d];
        i /= b->dim[d];
    }
    return at;
}

#endif
