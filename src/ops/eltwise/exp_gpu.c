/* The exponential with a limit on GPUs. */
#include "ops/eltwise/exp.h"

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_exp;

static be_status exp_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_exp), 256, err, "%s", "");
}

static be_status exp_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    double limit = (double)((const exp_attrs *)call->attrs)->limit;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "limited_exp", gpu_groups(call, count, call->units[0].group, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_float(limit))},
        err);
}

static be_status exp_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    double limit = (double)((const exp_attrs *)call->attrs)->limit;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "limited_exp_backward", gpu_groups(call, count, call->units[0].group, 8),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_reads(call->in[2]),
                          gpu_writes(call->out[0]), gpu_int(count), gpu_float(limit))},
        err);
}

const gpu_kernel GPU_KERNEL(exp) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = exp_prepare, .record = exp_record};
const gpu_kernel GPU_KERNEL(exp_backward) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = exp_prepare, .record = exp_backward_record};
