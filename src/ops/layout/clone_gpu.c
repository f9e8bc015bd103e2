/* Copies on GPUs, by the kernel of views that are copies. */
#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_view;

static be_status clone_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_view), 256, err, "%s", "");
}

static be_status clone_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){0, "view",
                                         gpu_groups(call, count, call->units[0].group, 8),
                                         GPU_ARGUMENTS(gpu_reads(call->in[0]),
                                                       gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

const gpu_kernel GPU_KERNEL(clone) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = clone_prepare, .record = clone_record};
