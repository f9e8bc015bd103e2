/* The sums of a matrix's columns on GPUs, for the host sides of several ops: by tiles
 * (column_tile.gpu.c), in one launch, or in parts of some rows each, which a second launch joins in
 * a fixed order. */
#ifndef OPS_REDUCE_SUM_COLUMNS_GPU_H
#define OPS_REDUCE_SUM_COLUMNS_GPU_H

#include "backend/gpu/gpu.h"

/* Below, a group a column is faster than tiles (sum_rows.gpu.c). */
#define SUM_COLUMNS_ROWS 256

typedef struct gpu_column_sum {
    int64_t rows, columns; /* of x */
    be_dtype type;
    int64_t parts; /* the rest is set by prepare; 1: the sums themselves, and no second launch */
    int strip, lanes, unit, join_unit;
    size_t at; /* of the parts in scratch */
} gpu_column_sum;

/* For kernels that make the sums of columns on their way.  Cut a matrix into tiles; `limit` rows of
 * a lane are not worth a second launch.  Returns what column_tile.gpu.c wants to be told, and
 * TILE_ITEMS are a group's.  The parts lie in scratch, behind the *scratch_bytes that are taken
 * already. */
#define TILE_WORDS 160
const char *gpu_column_cut(const gpu_call *call, gpu_column_sum *sum, int limit,
                           size_t *scratch_bytes, char words[TILE_WORDS]);
int gpu_column_items(const gpu_column_sum *sum);
int gpu_column_groups(const gpu_call *call, const gpu_column_sum *sum);
/* Where the kernel writes its parts, of sums that go to y. */
gpu_span gpu_column_parts(const gpu_call *call, const gpu_column_sum *sum, gpu_span y);
/* The second launch, where there are several parts: prepare adds its unit. */
be_status gpu_column_join_prepare(gpu_call *call, gpu_column_sum *sum, be_error *err);
be_status gpu_column_join_record(const gpu_call *call, gpu_recorder *recorder,
                                 const gpu_column_sum *sum, gpu_span y, be_error *err);

/* All of it; takes what it needs behind the *scratch_bytes that are taken already. */
be_status gpu_column_sum_prepare(gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes,
                                 be_error *err);
be_status gpu_column_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                const gpu_column_sum *sum, gpu_span x, gpu_span y, be_error *err);

#endif
