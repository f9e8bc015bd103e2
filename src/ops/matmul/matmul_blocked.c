/* The products of matmul, linear and linear_backward in blocks, for the double interpreter. */
#include <string.h>

#include "graph/reference_product.h"
#include "ops/matmul/linear.h"
#include "ops/matmul/matmul.h"

be_status matmul_blocked(const op_reference *call, be_error *err)
{
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    memset(call->y[0], 0, (size_t)(s.batch * s.m * s.n) * sizeof(double));
    for (int64_t i = 0; i < s.batch; i++) {
        product_strided p = {.m = s.m,
                             .n = s.n,
                             .k = s.k,
                             .a = {call->x[0] + i * s.m * s.k, s.a_stride[0], s.a_stride[1]},
                             .b = {call->x[1] + i * s.k * s.n, s.b_stride[0], s.b_stride[1]},
                             .c = {call->y[0] + i * s.m * s.n, s.n, 1}};
        TRY(product_run_strided(&p, call->threads, err));
    }
    return BE_OK;
}

be_status linear_blocked(const op_reference *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    const double *bias = call->x[2];
    double *y = call->y[0];
    for (int64_t n = 0; n < s.rows; n++)
        for (int64_t o = 0; o < s.out; o++) y[n * s.out + o] = bias ? bias[o] : 0.0;
    product_strided p = {.m = s.rows,
                         .n = s.out,
                         .k = s.in,
                         .a = {call->x[0], s.in, 1},
                         .b = {call->x[1], s.w_in, s.w_out},
                         .c = {y, s.out, 1}};
    TRY(product_run_strided(&p, call->threads, err));
    activation_finish(attrs->activation, y, call->y[1], s.rows * s.out);
    return BE_OK;
}

/* dx = dz w, added to what the sum holds; dw = dzᵀ x, db = the sum of dz over the rows. */
static be_status add_gradients(const op_reference *call, double *dz, be_error *err)
{
    linear_sizes s = linear_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    const double *sum = call->x[LINEAR_BACK_SUM];
    double *dx = call->y[0], *dw = call->y[1], *db = call->y[2];
    product_strided x_part = {.m = s.rows,
                              .n = s.in,
                              .k = s.out,
                              .a = {dz, s.out, 1},
                              .b = {call->x[1], s.w_out, s.w_in},
                              .c = {dx, s.in, 1}};
    product_strided w_part = {.m = s.out,
                              .n = s.in,
                              .k = s.rows,
                              .a = {dz, 1, s.out},
                              .b = {call->x[0], s.in, 1},
                              .c = {dw, s.w_out, s.w_in}};
    if (dx) {
        for (int64_t i = 0; i < s.rows * s.in; i++) dx[i] = sum ? sum[i] : 0.0;
        TRY(product_run_strided(&x_part, call->threads, err));
    }
    memset(dw, 0, (size_t)(s.out * s.in) * sizeof(double));
    if (db) memset(db, 0, (size_t)s.out * sizeof(double));
    for (int64_t i = 0; db && i < s.rows * s.out; i++) db[i % s.out] += dz[i];
    return product_run_strided(&w_part, call->threads, err);
}

be_status linear_backward_blocked(const op_reference *call, be_error *err)
{
    linear_sizes s = linear_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    const double *y = call->x[2], *dy = call->x[3];
    void *memory = NULL;
    if (!y) return add_gradients(call, call->x[3], err);
    TRY(memory_alloc(&memory, (size_t)(s.rows * s.out) * sizeof(double), "a gradient in double",
                     err));
    double *dz = memory;
    for (int64_t i = 0; i < s.rows * s.out; i++) dz[i] = y[i] > 0.0 ? dy[i] : 0.0;
    be_status status = add_gradients(call, dz, err);
    memory_free(memory);
    return status;
}
