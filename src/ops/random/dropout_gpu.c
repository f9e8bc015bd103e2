/* Dropout on GPUs. */
#include "ops/random/dropout.h"

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_dropout;

static be_status dropout_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_dropout), 256, err, "STREAM=%du", RNG_DROPOUT);
}

static be_status dropout_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const dropout_attrs *a = call->attrs;
    int64_t count = shape_elements(&call->in_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "dropout", gpu_groups(call, (count + 6) / 4, call->units[0].group, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count),
                                         gpu_int((int64_t)(uint32_t)a->seed),
                                         gpu_int((int64_t)(a->seed >> 32)), gpu_int(a->salt),
                                         gpu_int(dropout_threshold(a->p)), gpu_int(a->rank),
                                         gpu_int(a->turns ? a->turns : 1), gpu_int(a->before),
                                         gpu_int(a->each), gpu_float(1.0f / (1.0f - a->p)))},
        err);
}

const gpu_kernel GPU_KERNEL(dropout) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = dropout_prepare, .record = dropout_record};
