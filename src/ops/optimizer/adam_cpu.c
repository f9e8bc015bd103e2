/* Adam and AdamW on the CPU: one pass over the whole parameter block. */
#include <math.h>

#include "core/half.h"
#include "ops/optimizer/optimizer_cpu.h"

#define THREADS_PAY_FROM 16384 /* parameters */

/* What is the same for all parameters in one step, worked out once in double. */
typedef struct adam_step {
    float beta1, beta2, keep1, keep2, epsilon;
    float rate;          /* over 1 − beta1^t */
    float inverse_root2; /* 1 / sqrt(1 − beta2^t) */
    float l2;            /* Adam: added to the gradient, times p */
    float shrink;        /* AdamW: p is multiplied by this first */
} adam_step;

static adam_step describe_step(const cpu_call *call, bool decoupled, double decay)
{
    const adam_attrs *a = call->attrs;
    double rate = (double)*(const float *)call->in[2];
    double t = (double)*(const int32_t *)call->in[3] + 1.0;
    return (adam_step){.beta1 = (float)a->beta1,
                       .beta2 = (float)a->beta2,
                       .keep1 = (float)(1.0 - a->beta1),
                       .keep2 = (float)(1.0 - a->beta2),
                       .epsilon = (float)a->epsilon,
                       .rate = (float)(rate / (1.0 - pow(a->beta1, t))),
                       .inverse_root2 = (float)(1.0 / sqrt(1.0 - pow(a->beta2, t))),
                       .l2 = decoupled ? 0.0f : (float)decay,
                       .shrink = decoupled ? (float)(1.0 - rate * decay) : 1.0f};
}

/* `count` elements from element `from` on, at most a block. */
static void step_block(const cpu_call *call, const adam_step *step, int64_t from, int64_t count)
{
    adam_step s = *step;
    float room[OPTIMIZER_BLOCK];
    const float *restrict gradient = optimizer_gradients(call, from, count, room);
    float *restrict p = (float *)call->out[0] + from;
    float *restrict m = (float *)call->out[1] + from, *restrict v = (float *)call->out[2] + from;
    uint16_t *restrict narrow = call->out[OPTIMIZER_NARROW_OUT];
    if (narrow) narrow += from;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float g = gradient[i] + s.l2 * p[i];
        float first = s.beta1 * m[i] + s.keep1 * g;
        float second = s.beta2 * v[i] + s.keep2 * g * g;
        m[i] = first;
        v[i] = second;
        p[i] = s.shrink * p[i] - s.rate * first / (sqrtf(second) * s.inverse_root2 + s.epsilon);
        if (narrow) narrow[i] = brain_from_float(p[i]);
    }
}

static void step_part(const cpu_call *call, const adam_step *step, int64_t from, int64_t count)
{
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i += OPTIMIZER_BLOCK)
        step_block(call, step, from + i, optimizer_block(i, count));
}

static be_status step(const cpu_call *call, bool decoupled)
{
    const adam_attrs *a = call->attrs;
    int64_t others = call->in_shape[0].dim[0] - a->decayed;
    adam_step decaying = describe_step(call, decoupled, a->weight_decay);
    adam_step plain = describe_step(call, decoupled, 0.0);
    MUST(call->out[0] == call->in[0] && call->out[1] == call->in[4] && call->out[2] == call->in[5]);
    if (a->decayed) step_part(call, &decaying, 0, a->decayed);
    if (others) step_part(call, &plain, a->decayed, others);
    return BE_OK;
}

static be_status adam_run(const cpu_call *call, be_error *err)
{
    (void)err;
    return step(call, false);
}

static be_status adamw_run(const cpu_call *call, be_error *err)
{
    (void)err;
    return step(call, true);
}

const cpu_kernel CPU_KERNEL(adam) = {.implementation = CPU_NATIVE, .run = adam_run};

const cpu_kernel CPU_KERNEL(adamw) = {.implementation = CPU_NATIVE, .run = adamw_run};
