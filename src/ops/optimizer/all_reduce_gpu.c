/* The mean of gradients over a group on GPUs. */
#include "backend/gpu/gpu_group.h"
#include "ops/optimizer/all_reduce.h"

static be_status all_reduce_prepare(gpu_call *call, be_error *err)
{
    gpu_mean *mean = NULL;
    be_group *group = ((const all_reduce_attrs *)call->attrs)->group;
    size_t bytes = (size_t)shape_elements(&call->in_shape[0]) * sizeof(float);
    TRY(gpu_mean_new(call, group, bytes, &mean, &call->implementation, err));
    call->state = mean;
    return BE_OK;
}

static be_status all_reduce_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record_mean(recorder, call->state, call->out[0], err);
}

const gpu_kernel GPU_KERNEL(all_reduce) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = all_reduce_prepare,
                                           .record = all_reduce_record};
