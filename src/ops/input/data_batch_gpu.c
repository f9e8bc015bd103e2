/* Gathering and normalising a batch on GPUs. */
#include "ops/input/data_batch.h"

#include <inttypes.h>

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_data_batch;

static be_status data_batch_prepare(gpu_call *call, be_error *err)
{
    const data_batch_attrs *attrs = call->attrs;
    const be_shape *images = &call->in_shape[0];
    int64_t pixels = images->dim[2] * images->dim[3];
    return gpu_use(call, GPU_SOURCES(&gpu_source_data_batch), 256, err,
                   "BATCH=%" PRId64 " COUNT=%" PRId64 " CHANNELS=%" PRId64 " PIXELS=%" PRId64
                   " CLIP=%d BAD_TARGET=%d",
                   attrs->batch, images->dim[0], images->dim[1], pixels, attrs->clip != 0,
                   DATA_BATCH_BAD_TARGET);
}

static be_status data_batch_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const data_batch_attrs *a = call->attrs;
    int64_t places = call->in_shape[2].dim[0], streamed = call->streamed_order;
    int64_t wrap = a->clip ? places : places - places % a->batch;
    return gpu_record(
        recorder, call,
        &(gpu_step){
            0, "data_batch", gpu_groups(call, a->batch, 1, 8),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_reads(call->in[2]),
                          gpu_reads(call->in[3]), gpu_writes(call->out[0]),
                          gpu_writes(call->out[1]), gpu_int(streamed ? streamed : places),
                          gpu_int(wrap), gpu_float(a->scale[0]), gpu_float(a->scale[1]),
                          gpu_float(a->scale[2]), gpu_float(a->scale[3]), gpu_float(a->shift[0]),
                          gpu_float(a->shift[1]), gpu_float(a->shift[2]), gpu_float(a->shift[3]))},
        err);
}

const gpu_kernel GPU_KERNEL(data_batch) = {GPU_IMPLEMENTATION, data_batch_prepare,
                                           data_batch_record};
