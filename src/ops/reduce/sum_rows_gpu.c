/* The sum over all dimensions but the second, on GPUs. */
#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_sum_rows;

static be_status sum_rows_prepare(gpu_call *call, be_error *err)
{
    char words[64];
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_rows), 256, err, "%s",
                   gpu_type_words("X", call->in_shape[0].dtype, words));
}

static be_status sum_rows_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t rows = x->dim[0], channels = x->dim[1], pixels = shape_elements(x) / (rows * channels);
    return gpu_record(recorder, call,
                      &(gpu_step){0, "sum_rows", gpu_groups(call, channels, 1, 8),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                                gpu_int(rows), gpu_int(channels), gpu_int(pixels))},
                      err);
}

const gpu_kernel GPU_KERNEL(sum_rows) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = sum_rows_prepare, .record = sum_rows_record};
