/* Pictures as a training sees them, on GPUs. */
#include <inttypes.h>

#include "backend/gpu/gpu.h"
#include "ops/image/image.h"

extern const gpu_source gpu_source_augment;

static be_status augment_prepare(gpu_call *call, be_error *err)
{
    const augment_attrs *attrs = call->attrs;
    const be_shape *x = &call->in_shape[0];
    return gpu_use(call, GPU_SOURCES(&gpu_source_augment), 128, err,
                   "CHANNELS=%" PRId64 " HEIGHT=%" PRId64 " WIDTH=%" PRId64
                   " PADDED=%d NORMALISED=%d",
                   x->dim[1], x->dim[2], x->dim[3], attrs->padding, attrs->channels != 0);
}

static int groups_of(const gpu_call *call)
{
    return gpu_groups(call, shape_elements(&call->out_shape[0]), call->units[0].group, 8);
}

static be_status augment_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const augment_attrs *a = call->attrs;
    const float *m = a->mean, *s = a->std;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "augment", groups_of(call),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_writes(call->out[0]),
                          gpu_int(shape_elements(&call->out_shape[0])), gpu_float((double)m[0]),
                          gpu_float((double)m[1]), gpu_float((double)m[2]), gpu_float((double)m[3]),
                          gpu_float((double)s[0]), gpu_float((double)s[1]), gpu_float((double)s[2]),
                          gpu_float((double)s[3]))},
        err);
}

static be_status augment_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    const float *s = ((const augment_attrs *)call->attrs)->std;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "augment_backward", groups_of(call),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]),
                                         gpu_int(shape_elements(&call->out_shape[0])),
                                         gpu_float((double)s[0]), gpu_float((double)s[1]),
                                         gpu_float((double)s[2]), gpu_float((double)s[3]))},
        err);
}

const gpu_kernel GPU_KERNEL(augment) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = augment_prepare, .record = augment_record};
const gpu_kernel GPU_KERNEL(augment_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                 .prepare = augment_prepare,
                                                 .record = augment_backward_record};
