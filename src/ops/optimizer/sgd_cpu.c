/* Stochastic gradient descent on the CPU: one pass over the whole parameter block. */
#include "backend/cpu/cpu.h"
#include "ops/optimizer/optimizer.h"

#define THREADS_PAY_FROM 65536 /* parameters */

static void step_with_momentum(const cpu_call *call, float rate)
{
    const sgd_attrs *attrs = call->attrs;
    int64_t count = call->in_shape[0].dim[0];
    const float *restrict g = call->in[1];
    float *restrict p = call->out[0], *restrict buffer = call->out[1];
    float momentum = (float)attrs->momentum, decay = (float)attrs->weight_decay;
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) {
        float moved = momentum * buffer[i] + (g[i] + decay * p[i]);
        buffer[i] = moved;
        p[i] -= rate * moved;
    }
}

static void step_plain(const cpu_call *call, float rate)
{
    const sgd_attrs *attrs = call->attrs;
    int64_t count = call->in_shape[0].dim[0];
    const float *restrict g = call->in[1];
    float *restrict p = call->out[0];
    float decay = (float)attrs->weight_decay;
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) p[i] -= rate * (g[i] + decay * p[i]);
}

static be_status sgd_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float rate = *(const float *)call->in[2];
    MUST(call->out[0] == call->in[0] && call->out[1] == call->in[4]);
    if (call->out[1])
        step_with_momentum(call, rate);
    else
        step_plain(call, rate);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(sgd) = {.implementation = CPU_NATIVE, .run = sgd_run};
