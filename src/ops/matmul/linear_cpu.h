/* The products of linear as the native one takes them. */
#ifndef OPS_MATMUL_LINEAR_CPU_H
#define OPS_MATMUL_LINEAR_CPU_H

#include "ops/matmul/gemm_cpu.h"
#include "ops/matmul/linear.h"

/* y = x wᵀ, or x w with the inputs first. */
static inline gemm_sizes linear_product(const linear_sizes *s)
{
    return (gemm_sizes){
        .m = s->rows, .n = s->out, .k = s->in, .b_row = s->w_in, .b_column = s->w_out};
}

/* dx = dz w, or dz wᵀ with the inputs first. */
static inline gemm_sizes linear_dx_product(const linear_sizes *s)
{
    return (gemm_sizes){
        .m = s->rows, .n = s->in, .k = s->out, .b_row = s->w_out, .b_column = s->w_in};
}

/* dw [out, in] = dzᵀ x, or as [in, out] xᵀ dz with the inputs first. */
static inline gemm_sizes linear_dw_product(const linear_sizes *s)
{
    int64_t m = s->input_first ? s->in : s->out, n = s->input_first ? s->out : s->in;
    return (gemm_sizes){.m = m, .n = n, .k = s->rows, .b_row = n, .b_column = 1};
}

static inline void linear_dw(const linear_sizes *s, const float *dz, const cpu_call *call,
                             void *scratch)
{
    gemm_sizes p = linear_dw_product(s);
    const float *x = call->in[0];
    GEMM_RUN(&(gemm){.m = p.m,
                     .n = p.n,
                     .k = p.k,
                     .a = s->input_first ? x : dz,
                     .a_row = 1,
                     .a_column = p.m,
                     .b = s->input_first ? dz : x,
                     .b_row = p.b_row,
                     .b_column = p.b_column,
                     .c = call->out[1],
                     .threads = call->threads,
                     .scratch = scratch});
}

static inline void linear_dx(const linear_sizes *s, const float *dz, const cpu_call *call,
                             void *scratch)
{
    gemm_sizes p = linear_dx_product(s);
    GEMM_RUN(&(gemm){.m = p.m,
                     .n = p.n,
                     .k = p.k,
                     .a = dz,
                     .a_row = p.k,
                     .a_column = 1,
                     .b = call->in[1],
                     .b_row = p.b_row,
                     .b_column = p.b_column,
                     .c = call->out[0],
                     .add = call->in[LINEAR_BACK_SUM] != NULL,
                     .threads = call->threads,
                     .scratch = scratch});
}

#endif
