/* The sum of a matrix's rows, for the CPU implementations of several ops. */
#ifndef OPS_REDUCE_COLUMN_SUM_H
#define OPS_REDUCE_COLUMN_SUM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/half.h"

#define COLUMN_SUM_PARALLEL 65536 /* elements; below, starting threads costs more than it saves */

/* sums[j] = the sum of x[i][j] over i: 16 columns at a time, in double every 64 rows, so that
 * neither many rows nor the number of threads change the accuracy or the bits. */
static inline __attribute__((always_inline)) void
column_sum_of(int64_t rows, int64_t columns, const void *x, bool bf16, float *sums, int threads)
{
    const float *wide_x = x;
    const uint16_t *narrow_x = x;
#pragma omp parallel for num_threads(threads) \
    schedule(static) if (rows * columns >= COLUMN_SUM_PARALLEL)
    for (int64_t first = 0; first < columns; first += 16) {
        int64_t wide = columns - first < 16 ? columns - first : 16;
        double total[16] = {0};
        for (int64_t from = 0; from < rows; from += 64) {
            int64_t end = rows - from < 64 ? rows : from + 64;
            float part[16] = {0};
            for (int64_t i = from; i < end; i++) {
                int64_t at = i * columns + first;
                if (bf16)
                    for (int64_t j = 0; j < wide; j++) part[j] += brain_to_float(narrow_x[at + j]);
                else if (wide == 16)
                    for (int64_t j = 0; j < 16; j++) part[j] += wide_x[at + j];
                else
                    for (int64_t j = 0; j < wide; j++) part[j] += wide_x[at + j];
            }
            for (int64_t j = 0; j < 16; j++) total[j] += (double)part[j];
        }
        for (int64_t j = 0; j < wide; j++) sums[first + j] = (float)total[j];
    }
}

static inline void column_sum(int64_t rows, int64_t columns, const float *x, float *sums,
                              int threads)
{
    column_sum_of(rows, columns, x, false, sums, threads);
}

#endif
