/* Transposing on the CPU, by tiles whose rows and columns both stay in the nearest cache. */
#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 32768 /* elements */
#define TILE 16                /* a cache line of floats */

static void transpose_tile(const float *restrict x, float *restrict y, int64_t rows,
                           int64_t columns, int64_t at)
{
    int64_t wide = (columns + TILE - 1) / TILE, row = at / wide * TILE, column = at % wide * TILE;
    int64_t row_end = row + TILE < rows ? row + TILE : rows;
    int64_t column_end = column + TILE < columns ? column + TILE : columns;
    for (int64_t c = column; c < column_end; c++)
        for (int64_t r = row; r < row_end; r++) y[c * rows + r] = x[r * columns + c];
}

static be_status transpose_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *shape = &call->in_shape[0];
    int64_t rows = shape->dim[shape->rank - 2], columns = shape->dim[shape->rank - 1];
    int64_t each = rows * columns, count = call->out_elements / each;
    int64_t tiles = ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE);
    const float *x = call->in[0];
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count * tiles; i++) {
        int64_t matrix = i / tiles * each;
        transpose_tile(x + matrix, y + matrix, rows, columns, i % tiles);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(transpose) = {.implementation = CPU_NATIVE, .run = transpose_run};
