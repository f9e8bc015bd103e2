/* Attributes and sizes of linear and linear_backward, for their definition and implementations. */
#ifndef OPS_MATMUL_LINEAR_H
#define OPS_MATMUL_LINEAR_H

#include "ops/eltwise/activation.h"
#include "ops/op_list.h"

typedef struct linear_attrs {
    int input_first;          /* w lies as [in, out] */
    be_activation activation; /* forward: y = f(x wᵀ + b) */
    int keep_z;               /* … and output 1 is x wᵀ + b, for what flows back through f */
    int need_dx, has_bias;    /* backward: whether outputs 0 and 2 exist */
} linear_attrs;

#define LINEAR_BACK_SUM 4 /* input: the gradient of x until now, to which dx is added in place */

/* rows × in → rows × out; w [o, i] lies at o · w_out + i · w_in. */
typedef struct linear_sizes {
    int64_t rows, in, out, w_out, w_in;
    bool input_first;
} linear_sizes;

static inline linear_sizes linear_sizes_of(const linear_attrs *attrs, const be_shape *x,
                                           const be_shape *w)
{
    bool input_first = attrs->input_first != 0;
    int64_t in = w->dim[input_first ? 0 : 1], out = w->dim[input_first ? 1 : 0], rows = 1;
    for (int i = 0; i + 1 < x->rank; i++) rows *= x->dim[i];
    return (linear_sizes){.rows = rows,
                          .in = in,
                          .out = out,
                          .w_out = input_first ? 1 : in,
                          .w_in = input_first ? out : 1,
                          .input_first = input_first};
}

/* `reference` with its products in blocks; see graph/op.h. */
be_status linear_blocked(const op_reference *call, be_error *err);
be_status linear_backward_blocked(const op_reference *call, be_error *err);

#endif
