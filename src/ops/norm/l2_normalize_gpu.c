/* Rows of length 1 on GPUs. */
#include "backend/gpu/gpu.h"
#include "ops/norm/layer_norm.h"

extern const gpu_source gpu_source_group_sum, gpu_source_l2_normalize;

static be_status l2_normalize_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_l2_normalize), 128, err,
                   "%s", "");
}

static be_status l2_normalize_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t rows = layer_norm_rows(x), width = layer_norm_width(x);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "l2_normalize", gpu_groups(call, rows, 1, 16),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_writes(call->out[1]), gpu_int(rows), gpu_int(width))},
        err);
}

static be_status l2_normalize_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                              be_error *err)
{
    const be_shape *y = &call->in_shape[0];
    int64_t rows = layer_norm_rows(y), width = layer_norm_width(y);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "l2_normalize_backward", gpu_groups(call, rows, 1, 16),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_reads(call->in[2]), gpu_writes(call->out[0]),
                                         gpu_int(rows), gpu_int(width))},
        err);
}

const gpu_kernel GPU_KERNEL(l2_normalize) = {.implementation = GPU_IMPLEMENTATION,
                                             .prepare = l2_normalize_prepare,
                                             .record = l2_normalize_record};
const gpu_kernel GPU_KERNEL(l2_normalize_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                      .prepare = l2_normalize_prepare,
                                                      .record = l2_normalize_backward_record};
