/* The gradient that comes into a backward op on GPUs, for implementations whose library does only
 * the products: dz = dy where ReLU let something through, and the sum of dz for the bias. */
#ifndef OPS_REDUCE_UPSTREAM_GPU_H
#define OPS_REDUCE_UPSTREAM_GPU_H

#include "backend/gpu/gpu.h"
#include "ops/reduce/sum_columns_gpu.h"

#define UPSTREAM_ALIGN 256 /* of parts of scratch */

typedef struct gpu_upstream {
    be_shape shape; /* of dy [N, channels, …], in the type that is read */
    bool masked;    /* there is ReLU: dz is made from its y and dy, in scratch, in dy's type */
    bool nan_stops; /* where y is not a number nothing flows back */
    bool summed;    /* db is wanted */
    int mask_unit, sum_unit;
    gpu_column_sum columns; /* of a matrix with many rows, instead of sum_unit */
    size_t dz_at;           /* in scratch */
} gpu_upstream;

/* Add the units; takes what it needs behind the *scratch_bytes that are taken already. */
be_status gpu_upstream_prepare(gpu_call *call, gpu_upstream *upstream, size_t *scratch_bytes,
                               be_error *err);

/* The launches, for an op with y of ReLU as its input 2 and db as its output 2; *dz is dy, and then
 * what the products are to read. */
be_status gpu_upstream_record(const gpu_call *call, gpu_recorder *recorder,
                              const gpu_upstream *upstream, gpu_span *dz, be_error *err);

/* Take `bytes` more of scratch, which holds *total so far; returns where they begin. */
static inline size_t gpu_scratch_take(size_t *total, size_t bytes)
{
    size_t at = (*total + UPSTREAM_ALIGN - 1) / UPSTREAM_ALIGN * UPSTREAM_ALIGN;
    *total = at + bytes;
    return at;
}

#endif
