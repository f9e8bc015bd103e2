/* The rows of all ranks on the CPU: the group's own work. */
#include "ops/rows/all_gather.h"

#include "backend/cpu/cpu.h"
#include "group/group.h"

#define THREADS_PAY_FROM 32768 /* elements */

static be_status all_gather_run(const cpu_call *call, be_error *err)
{
    return group_gather(((const all_gather_attrs *)call->attrs)->group, call->in[0], call->out[0],
                        (size_t)shape_elements(&call->in_shape[0]) * sizeof(float), err);
}

static be_status all_gather_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const all_gather_backward_attrs *attrs = call->attrs;
    int64_t count = call->out_elements, at = count / attrs->count * attrs->first;
    const float *dy = (const float *)call->in[0] + at;
    float *dx = call->out[0], ranks = attrs->ranks;
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * ranks;
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(all_gather) = {.implementation = CPU_NATIVE, .run = all_gather_run};
const cpu_kernel CPU_KERNEL(all_gather_backward) = {.implementation = CPU_NATIVE,
                                                    .run = all_gather_backward_run};
