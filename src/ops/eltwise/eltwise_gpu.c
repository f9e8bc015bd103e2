/* Elementwise ops on GPUs: one pass over all elements. */
#include "backend/gpu/gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

extern const gpu_source gpu_source_eltwise;

static be_status eltwise_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_eltwise), GROUP_WANTED, err, "%s", "");
}

static int groups_of(const gpu_call *call)
{
    return gpu_groups(call, shape_elements(&call->out_shape[0]), call->units[0].group,
                      GROUPS_PER_UNIT);
}

static be_status relu_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "relu_forward", groups_of(call),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(shape_elements(&call->out_shape[0])))},
        err);
}

static be_status relu_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "relu_backward", groups_of(call),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]),
                                         gpu_int(shape_elements(&call->out_shape[0])))},
        err);
}

static be_status bias_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t count = shape_elements(x), pixels = count / (x->dim[0] * x->dim[1]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "bias_forward", groups_of(call),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count),
                                         gpu_int(x->dim[1]), gpu_int(pixels))},
        err);
}

const gpu_kernel GPU_KERNEL(relu) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = eltwise_prepare, .record = relu_record};
const gpu_kernel GPU_KERNEL(relu_backward) = {.implementation = GPU_IMPLEMENTATION,
                                              .prepare = eltwise_prepare,
                                              .record = relu_backward_record};
const gpu_kernel GPU_KERNEL(bias) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = eltwise_prepare, .record = bias_record};
