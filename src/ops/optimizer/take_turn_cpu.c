/* The end of a turn on the CPU. */
#include "ops/optimizer/take_turn.h"

#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 65536 /* gradients */

/* What is there before, of which the first turn sees nothing: it may be anything, NaN too. */
static void add_gradients(const cpu_call *call, bool is_first, bool is_last, float scale)
{
    float *restrict g = call->out[TURN_GRADIENTS], *restrict sums = call->out[TURN_SUMS];
    int64_t count = call->in_shape[TURN_GRADIENTS].dim[0];
#pragma omp parallel for simd num_threads(call->threads) \
    schedule(static) if (parallel                        \
                         : count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++) {
        float sum = is_first ? g[i] : sums[i] + g[i];
        if (is_last)
            g[i] = sum * scale;
        else
            sums[i] = sum;
    }
}

static be_status take_turn_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int32_t turns = ((const take_turn_attrs *)call->attrs)->turns;
    int32_t *clock = call->out[TURN_CLOCK], *correct = call->out[TURN_ALL_CORRECT];
    int32_t turn = *clock % turns;
    float *loss = call->out[TURN_MEAN_LOSS], scale = 1.0f / (float)turns;
    bool is_first = turn == 0, is_last = turn == turns - 1;
    add_gradients(call, is_first, is_last, scale);
    *loss = (is_first ? 0.0f : *loss) + *(const float *)call->in[TURN_LOSS];
    if (is_last) *loss *= scale;
    *correct = (is_first ? 0 : *correct) + *(const int32_t *)call->in[TURN_CORRECT];
    *clock += 1;
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(take_turn) = {.implementation = CPU_NATIVE, .run = take_turn_run};
