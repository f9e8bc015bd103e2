/* Attributes and sizes of matmul, for its definition and implementations. */
#ifndef OPS_MATMUL_MATMUL_H
#define OPS_MATMUL_MATMUL_H

#include "ops/op_list.h"

typedef struct matmul_attrs {
    int transpose_a, transpose_b; /* a is stored as [k, m], b as [n, k] */
} matmul_attrs;

/* The sizes of a product, and the strides {rows, columns} of a [m, k] and b [k, n] as they lie; of
 * several products the matrices of each operand lie one behind the other. */
typedef struct matmul_sizes {
    int64_t batch; /* products */
    int64_t m, n, k;
    int64_t a_stride[2], b_stride[2];
} matmul_sizes;

static inline matmul_sizes matmul_sizes_of(const matmul_attrs *attrs, const be_shape *a,
                                           const be_shape *b)
{
    int ta = attrs->transpose_a != 0, tb = attrs->transpose_b != 0;
    const int64_t *a_dim = a->dim + (a->rank - 2), *b_dim = b->dim + (b->rank - 2);
    matmul_sizes s = {
        .batch = a->rank > 2 ? a->dim[0] : 1, .m = a_dim[ta], .k = a_dim[!ta], .n = b_dim[!tb]};
    s.a_stride[ta] = a_dim[1];
    s.a_stride[!ta] = 1;
    s.b_stride[tb] = b_dim[1];
    s.b_stride[!tb] = 1;
    return s;
}

/* `reference` with its product in blocks; see graph/op.h. */
be_status matmul_blocked(const op_reference *call, be_error *err);

#endif
