/* Symmetric cross-entropy on GPUs: the lines, their sums, and the gradient. */
#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_group_sum, gpu_source_symmetric_cross_entropy;

static be_status symmetric_cross_entropy_prepare(gpu_call *call, be_error *err)
{
    call->scratch_bytes = 2 * (size_t)call->in_shape[0].dim[0] * 3 * sizeof(float);
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_symmetric_cross_entropy),
                   128, err, "%s", "");
}

static be_status symmetric_cross_entropy_record(const gpu_call *call, gpu_recorder *recorder,
                                                be_error *err)
{
    int64_t count = call->in_shape[0].dim[0];
    size_t each = 2 * (size_t)count * sizeof(float);
    gpu_span max = gpu_part(call->scratch, 0, each), sum = gpu_part(call->scratch, each, each);
    gpu_span right = gpu_part(call->scratch, 2 * each, each);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "symmetric_lines", gpu_groups(call, 2 * count, 1, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(max), gpu_writes(sum),
                                         gpu_writes(right), gpu_int(count))},
        err));
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "symmetric_sum", 1,
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(max), gpu_reads(sum),
                                         gpu_reads(right), gpu_writes(call->out[0]),
                                         gpu_writes(call->out[1]), gpu_writes(call->out[2]),
                                         gpu_int(count))},
        err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "symmetric_gradient",
                           gpu_groups(call, count * count, call->units[0].group, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(max), gpu_reads(sum),
                                         gpu_writes(call->out[3]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(symmetric_cross_entropy) = {.implementation = GPU_IMPLEMENTATION,
                                                        .prepare = symmetric_cross_entropy_prepare,
                                                        .record = symmetric_cross_entropy_record};
