/* Stochastic gradient descent on the CPU: one pass over the whole parameter block. */
#include "core/half.h"
#include "ops/optimizer/optimizer_cpu.h"

#define THREADS_PAY_FROM 65536 /* parameters */

static uint16_t *narrow_from(const cpu_call *call, int64_t from)
{
    uint16_t *narrow = call->out[OPTIMIZER_NARROW_OUT];
    return narrow ? narrow + from : NULL;
}

/* Both do `count` elements from element `from` on, at most a block, with the same decay. */
static void step_with_momentum(const cpu_call *call, int64_t from, int64_t count, float decay)
{
    float room[OPTIMIZER_BLOCK];
    const float *restrict g = optimizer_gradients(call, from, count, room);
    float *restrict p = (float *)call->out[0] + from;
    float *restrict buffer = (float *)call->out[1] + from;
    float rate = *(const float *)call->in[2];
    float momentum = (float)((const sgd_attrs *)call->attrs)->momentum;
    uint16_t *restrict narrow = narrow_from(call, from);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float velocity = momentum * buffer[i] + (g[i] + decay * p[i]);
        buffer[i] = velocity;
        p[i] -= rate * velocity;
        if (narrow) narrow[i] = brain_from_float(p[i]);
    }
}

static void step_plain(const cpu_call *call, int64_t from, int64_t count, float decay)
{
    float room[OPTIMIZER_BLOCK];
    const float *restrict g = optimizer_gradients(call, from, count, room);
    float *restrict p = (float *)call->out[0] + from;
    float rate = *(const float *)call->in[2];
    uint16_t *restrict narrow = narrow_from(call, from);
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        p[i] -= rate * (g[i] + decay * p[i]);
        if (narrow) narrow[i] = brain_from_float(p[i]);
    }
}

static void step_part(const cpu_call *call, int64_t from, int64_t count, double decay)
{
    void (*step)(const cpu_call *, int64_t, int64_t, float) =
        call->out[1] ? step_with_momentum : step_plain;
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i += OPTIMIZER_BLOCK)
        step(call, from + i, optimizer_block(i, count), (float)decay);
}

static be_status sgd_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const sgd_attrs *attrs = call->attrs;
    int64_t decayed = attrs->decayed, others = call->in_shape[0].dim[0] - decayed;
    MUST(call->out[0] == call->in[0] && call->out[1] == call->in[4]);
    if (decayed) step_part(call, 0, decayed, attrs->weight_decay);
    if (others) step_part(call, decayed, others, 0.0);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(sgd) = {.implementation = CPU_NATIVE, .run = sgd_run};
