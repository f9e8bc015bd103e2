/* Softmax on GPUs. */
#include "ops/softmax/softmax.h"

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_group_sum, gpu_source_softmax;

static be_status softmax_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_softmax), 128, err, "%s",
                   "");
}

static be_status softmax_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    double scale = (double)((const softmax_attrs *)call->attrs)->scale;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "softmax", gpu_groups(call, softmax_rows(x), 1, 16),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(softmax_rows(x)), gpu_int(softmax_width(x)),
                                         gpu_float(scale))},
        err);
}

static be_status softmax_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    const be_shape *y = &call->in_shape[0];
    double scale = (double)((const softmax_attrs *)call->attrs)->scale;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "softmax_backward", gpu_groups(call, softmax_rows(y), 1, 16),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(softmax_rows(y)),
                                         gpu_int(softmax_width(y)), gpu_float(scale))},
        err);
}

const gpu_kernel GPU_KERNEL(softmax) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = softmax_prepare, .record = softmax_record};
const gpu_kernel GPU_KERNEL(softmax_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                 .prepare = softmax_prepare,
                                                 .record = softmax_backward_record};
