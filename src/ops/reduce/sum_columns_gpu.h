/* The sums of a matrix's columns on GPUs, for the host sides of several ops: parts of some rows
 * each, which a second launch joins in a fixed order. */
#ifndef OPS_REDUCE_SUM_COLUMNS_GPU_H
#define OPS_REDUCE_SUM_COLUMNS_GPU_H

#include "backend/gpu/gpu.h"

/* Below, a group a column is faster than two launches (sum_rows.gpu.c). */
#define SUM_COLUMNS_ROWS 256

typedef struct gpu_column_sum {
    int64_t rows, columns; /* of x */
    be_dtype type;
    int64_t parts; /* the rest is set by prepare */
    int unit, join_unit;
    size_t at; /* of the parts in scratch */
} gpu_column_sum;

/* Cut a matrix into parts of rows, whose sums lie in scratch, behind the *scratch_bytes that are
 * taken already: sets parts and at, and returns the rows of a part. */
int64_t gpu_column_parts(const gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes);
gpu_span gpu_column_parts_span(const gpu_call *call, const gpu_column_sum *sum);
/* Groups for the parts, by words. */
int gpu_column_groups(const gpu_call *call, const gpu_column_sum *sum);

/* Adds two units; takes what it needs behind the *scratch_bytes that are taken already. */
be_status gpu_column_sum_prepare(gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes,
                                 be_error *err);
be_status gpu_column_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                const gpu_column_sum *sum, gpu_span x, gpu_span y, be_error *err);

/* The second launch alone: parts [parts, width] -> y [width], for kernels that make the parts on
 * their way.  Adds a unit. */
be_status gpu_sum_parts_prepare(gpu_call *call, int64_t parts, int64_t width, be_error *err);
be_status gpu_sum_parts_record(const gpu_call *call, gpu_recorder *recorder, int unit,
                               const int64_t size[2], const gpu_span spans[2], be_error *err);

#endif
