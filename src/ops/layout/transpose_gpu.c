/* Transposing on GPUs. */
#include "backend/gpu/gpu.h"

/* An item moves four elements of a tile, which it loads before it waits for the others. */
#define TILE 32
#define GROUP_WANTED 256

extern const gpu_source gpu_source_transpose;

static be_status transpose_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_transpose), GROUP_WANTED, err, "TILE=%d", TILE);
}

static be_status transpose_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t rows = x->dim[x->rank - 2], columns = x->dim[x->rank - 1];
    int64_t count = shape_elements(x) / (rows * columns);
    int64_t tiles = ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "transpose", gpu_groups(call, count * tiles, 1, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(rows), gpu_int(columns), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(transpose) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = transpose_prepare, .record = transpose_record};
