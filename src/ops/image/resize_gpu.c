/* Pictures at another size on GPUs. */
#include <inttypes.h>

#include "backend/gpu/gpu.h"
#include "ops/image/image.h"

extern const gpu_source gpu_source_resize;

static be_status resize_use(gpu_call *call, const be_shape *from, const be_shape *to, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_resize), 128, err,
                   "FROM_HEIGHT=%" PRId64 " FROM_WIDTH=%" PRId64 " TO_HEIGHT=%" PRId64
                   " TO_WIDTH=%" PRId64,
                   from->dim[2], from->dim[3], to->dim[2], to->dim[3]);
}

static be_status resize_prepare(gpu_call *call, be_error *err)
{
    return resize_use(call, &call->in_shape[0], &call->out_shape[0], err);
}

static be_status resize_backward_prepare(gpu_call *call, be_error *err)
{
    return resize_use(call, &call->out_shape[0], &call->in_shape[0], err);
}

static be_status record(const gpu_call *call, gpu_recorder *recorder, const char *kernel,
                        be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){0, kernel,
                                         gpu_groups(call, count, call->units[0].group, 8),
                                         GPU_ARGUMENTS(gpu_reads(call->in[0]),
                                                       gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

static be_status resize_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return record(call, recorder, "resize", err);
}

static be_status resize_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return record(call, recorder, "resize_backward", err);
}

const gpu_kernel GPU_KERNEL(resize) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = resize_prepare, .record = resize_record};
const gpu_kernel GPU_KERNEL(resize_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                .prepare = resize_backward_prepare,
                                                .record = resize_backward_record};
