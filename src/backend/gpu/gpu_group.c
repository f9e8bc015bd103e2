/* See gpu_group.h. */
#include "backend/gpu/gpu_group.h"

#include "group/group.h"

struct gpu_mean {
    gpu_task base;
    be_group *group;
    gpu_span span;
};

static be_status mean_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    return driver->vtable->mean(driver, ((const gpu_mean *)task)->span, err);
}

/* Devices of one process meet in its memory; others by what the driver has for it. */
static be_status meet(gpu_driver *driver, be_group *group, size_t bytes,
                      const char **implementation, be_error *err)
{
    bool here = group_is_cut(group);
    if (here ? !driver->vtable->join_host : !driver->vtable->join)
        FAIL(err, BE_UNAVAILABLE,
             "%s has nothing to add up the gradients of several workers by; train with one worker, "
             "or use --device cpu or cuda",
             driver->facts.name);
    return here ? driver->vtable->join_host(driver, group, bytes, err)
                : driver->vtable->join(driver, group, implementation, err);
}

be_status gpu_mean_new(const gpu_call *call, be_group *group, size_t bytes, gpu_mean **out,
                       const char **implementation, be_error *err)
{
    void *memory = NULL;
    gpu_driver *driver = call->driver;
    *out = NULL;
    if (!group) return BE_OK;
    TRY(meet(driver, group, bytes, implementation, err));
    TRY(arena_alloc(call->memory, &memory, sizeof(gpu_mean), err));
    *out = memory;
    **out = (gpu_mean){.base = {.name = "a mean over the workers",
                                .start = mean_start,
                                .is_counted = group_is_cut(group)},
                       .group = group};
    return BE_OK;
}

/* Each is said to write to one place that stands for the group. */
be_status gpu_record_mean(gpu_recorder *recorder, gpu_mean *mean, gpu_span span, be_error *err)
{
    if (!mean) return BE_OK;
    gpu_span turn = {(gpu_buffer)mean->group, 0, 1};
    mean->span = span;
    return gpu_record_task(recorder, gpu_is_dry(recorder) ? NULL : &mean->base,
                           GPU_ARGUMENTS(gpu_writes(span), gpu_writes(turn)), err);
}
