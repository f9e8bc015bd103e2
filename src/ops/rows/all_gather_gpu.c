/* The rows of all ranks on GPUs. */
#include "ops/rows/all_gather.h"

#include "backend/gpu/gpu_group.h"

extern const gpu_source gpu_source_all_gather;

static be_status all_gather_backward_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_all_gather), 256, err, "%s", "");
}

static be_status all_gather_prepare(gpu_call *call, be_error *err)
{
    const char *by = NULL;
    gpu_mean *mean = NULL;
    be_group *group = ((const all_gather_attrs *)call->attrs)->group;
    size_t bytes = (size_t)shape_elements(&call->out_shape[0]) * sizeof(float);
    TRY(gpu_mean_new(call, group, bytes, &mean, &by, err));
    call->state = mean;
    return all_gather_backward_prepare(call, err);
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, 8);
}

static be_status all_gather_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    be_group *group = ((const all_gather_attrs *)call->attrs)->group;
    int64_t many = shape_elements(&call->in_shape[0]), count = shape_elements(&call->out_shape[0]);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "all_gather_show", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_int(many * be_group_rank(group)),
                                         gpu_int(many), gpu_float((float)be_group_size(group)))},
        err));
    return gpu_record_mean(recorder, call->state, call->out[0], err);
}

static be_status all_gather_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const all_gather_backward_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->out_shape[0]);
    int64_t at = count / attrs->count * attrs->first;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "all_gather_backward", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_int(at), gpu_float(attrs->ranks))},
        err);
}

const gpu_kernel GPU_KERNEL(all_gather) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = all_gather_prepare,
                                           .record = all_gather_record};
const gpu_kernel GPU_KERNEL(all_gather_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = all_gather_backward_prepare,
                                                    .record = all_gather_backward_record};
