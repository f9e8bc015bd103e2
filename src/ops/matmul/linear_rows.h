/* The loop over dy that every CPU implementation of linear_backward needs before its matrix
 * products. */
#ifndef OPS_MATMUL_LINEAR_ROWS_H
#define OPS_MATMUL_LINEAR_ROWS_H

#include "ops/matmul/linear.h"
#include "ops/reduce/column_sum.h"

/* dz = dy where y > 0, else 0; then db = the sum of dz over the rows.  y and db may be NULL.
 * Returns dz, which is dy itself without y. */
static inline const float *linear_rows(const linear_sizes *s, const float *y, const float *dy,
                                       float *dz, float *db, int threads)
{
    int64_t count = s->rows * s->out;
    if (y) {
#pragma omp parallel for simd num_threads(threads) \
    schedule(static) if (count >= COLUMN_SUM_PARALLEL)
        for (int64_t i = 0; i < count; i++) dz[i] = y[i] > 0.0f ? dy[i] : 0.0f;
        dy = dz;
    }
    if (db) column_sum(s->rows, s->out, dy, db, threads);
    return dy;
}

/* The same for dy in bf16. */
static inline const uint16_t *linear_rows_bf16(const linear_sizes *s, const float *y,
                                               const uint16_t *dy, uint16_t *dz, float *db,
                                               int threads)
{
    int64_t count = s->rows * s->out;
    if (y) {
#pragma omp parallel for simd num_threads(threads) \
    schedule(static) if (count >= COLUMN_SUM_PARALLEL)
        for (int64_t i = 0; i < count; i++) dz[i] = y[i] > 0.0f ? dy[i] : 0;
        dy = dz;
    }
    if (db) column_sum_of(s->rows, s->out, dy, true, db, threads);
    return dy;
}

#endif
