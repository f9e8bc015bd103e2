/* The mean of gradients over a group on the CPU: the group's own work. */
#include "backend/cpu/cpu.h"
#include "group/group.h"
#include "ops/optimizer/all_reduce.h"

static be_status all_reduce_run(const cpu_call *call, be_error *err)
{
    MUST(call->out[0] == call->in[0]);
    return group_mean(((const all_reduce_attrs *)call->attrs)->group, call->out[0],
                      call->in_shape[0].dim[0], err);
}

static be_status all_reduce_begin(const cpu_call *call, be_error *err)
{
    return group_mean_begin(((const all_reduce_attrs *)call->attrs)->group, call->out[0],
                            call->in_shape[0].dim[0], err);
}

const cpu_kernel CPU_KERNEL(all_reduce) = {
    .implementation = CPU_NATIVE, .run = all_reduce_run, .begin = all_reduce_begin};
