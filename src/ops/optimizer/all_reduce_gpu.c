/* The mean of gradients over a group on GPUs: the driver's own work. */
#include "backend/gpu/gpu.h"
#include "ops/optimizer/all_reduce.h"

typedef struct mean_task {
    gpu_task base;
    gpu_span span;
} mean_task;

static be_group *group_of(const gpu_call *call)
{
    return ((const all_reduce_attrs *)call->attrs)->group;
}

static be_status mean_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    const mean_task *mean = (const mean_task *)task;
    return driver->vtable->mean(driver, mean->span, err);
}

static be_status all_reduce_prepare(gpu_call *call, be_error *err)
{
    void *memory = NULL;
    gpu_driver *driver = call->driver;
    if (!group_of(call)) return BE_OK;
    if (!driver->vtable->join)
        FAIL(err, BE_UNAVAILABLE,
             "%s has nothing to add up the gradients of several workers by; train with one worker, "
             "or use --device cpu or cuda",
             driver->facts.name);
    TRY(driver->vtable->join(driver, group_of(call), &call->implementation, err));
    TRY(arena_alloc(call->memory, &memory, sizeof(mean_task), err));
    *(mean_task *)memory =
        (mean_task){.base = {.name = "a mean over the workers", .start = mean_start}};
    call->state = memory;
    return BE_OK;
}

/* All ranks start their means in the same order: each is said to write to one place that stands for
 * the group. */
static be_status all_reduce_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    mean_task *mean = call->state;
    gpu_span turn = {(gpu_buffer)group_of(call), 0, 1};
    if (!mean) return BE_OK;
    mean->span = call->out[0];
    return gpu_record_task(recorder, gpu_is_dry(recorder) ? NULL : &mean->base,
                           GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_writes(turn)), err);
}

const gpu_kernel GPU_KERNEL(all_reduce) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = all_reduce_prepare,
                                           .record = all_reduce_record};
