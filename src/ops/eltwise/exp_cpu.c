/* The exponential with a limit on the CPU. */
#include "ops/eltwise/exp.h"

#include <math.h>

#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 16384 /* elements */

static be_status exp_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float limit = ((const exp_attrs *)call->attrs)->limit;
    const float *x = call->in[0];
    float *y = call->out[0];
    int64_t count = call->out_elements;
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) y[i] = expf(x[i] > limit ? limit : x[i]);
    return BE_OK;
}

static be_status exp_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float limit = ((const exp_attrs *)call->attrs)->limit;
    const float *x = call->in[0], *y = call->in[1], *dy = call->in[2];
    float *dx = call->out[0];
    int64_t count = call->out_elements;
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) dx[i] = x[i] > limit ? 0.0f : dy[i] * y[i];
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(exp) = {.implementation = CPU_NATIVE, .run = exp_run};
const cpu_kernel CPU_KERNEL(exp_backward) = {.implementation = CPU_NATIVE, .run = exp_backward_run};
