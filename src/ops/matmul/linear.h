/* Attributes and sizes of linear and linear_backward, for their definition and implementations. */
#ifndef OPS_MATMUL_LINEAR_H
#define OPS_MATMUL_LINEAR_H

#include "ops/op_list.h"

typedef struct linear_attrs {
    int relu; /* y = max(x wᵀ + b, 0) */
} linear_attrs;

typedef struct linear_backward_attrs {
    int need_dx, has_bias; /* whether outputs 0 and 2 exist */
} linear_backward_attrs;

/* rows × in → rows × out */
typedef struct linear_sizes {
    int64_t rows, in, out;
} linear_sizes;

static inline linear_sizes linear_sizes_of(const be_shape *x, const be_shape *w)
{
    return (linear_sizes){.rows = x->dim[0], .in = w->dim[1], .out = w->dim[0]};
}

/* `reference` with its products in blocks; see graph/op.h. */
be_status linear_blocked(const op_reference *call, be_error *err);
be_status linear_backward_blocked(const op_reference *call, be_error *err);

#endif
