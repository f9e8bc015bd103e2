/* Stochastic gradient descent on the CPU: one pass over the whole parameter block. */
#include "backend/cpu/cpu.h"
#include "core/half.h"
#include "ops/optimizer/optimizer.h"

#define THREADS_PAY_FROM 65536 /* parameters */

static uint16_t *narrow_from(const cpu_call *call, int64_t from)
{
    uint16_t *narrow = call->out[OPTIMIZER_NARROW_OUT];
    return narrow ? narrow + from : NULL;
}

/* Both do `count` elements from element `from` on, with the same decay. */
static void step_with_momentum(const cpu_call *call, int64_t from, int64_t count, float decay)
{
    const float *restrict g = (const float *)call->in[1] + from;
    float *restrict p = (float *)call->out[0] + from;
    float *restrict buffer = (float *)call->out[1] + from;
    float rate = *(const float *)call->in[2];
    float momentum = (float)((const sgd_attrs *)call->attrs)->momentum;
    uint16_t *restrict narrow = narrow_from(call, from);
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) {
        float moved = momentum * buffer[i] + (g[i] + decay * p[i]);
        buffer[i] = moved;
        p[i] -= rate * moved;
        if (narrow) narrow[i] = brain_from_float(p[i]);
    }
}

static void step_plain(const cpu_call *call, int64_t from, int64_t count, float decay)
{
    const float *restrict g = (const float *)call->in[1] + from;
    float *restrict p = (float *)call->out[0] + from;
    float rate = *(const float *)call->in[2];
    uint16_t *restrict narrow = narrow_from(call, from);
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) {
        p[i] -= rate * (g[i] + decay * p[i]);
        if (narrow) narrow[i] = brain_from_float(p[i]);
    }
}

static be_status sgd_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const sgd_attrs *attrs = call->attrs;
    int64_t decayed = attrs->decayed, others = call->in_shape[0].dim[0] - decayed;
    MUST(call->out[0] == call->in[0] && call->out[1] == call->in[4]);
    void (*step)(const cpu_call *, int64_t, int64_t, float) =
        call->out[1] ? step_with_momentum : step_plain;
    if (decayed) step(call, 0, decayed, (float)attrs->weight_decay);
    if (others) step(call, decayed, others, 0.0f);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(sgd) = {.implementation = CPU_NATIVE, .run = sgd_run};
