/* The end of a step on the CPU. */
#include "backend/cpu/cpu.h"
#include "breakeven/plan.h"

static be_status advance_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *loss = call->in[1];
    const int32_t *correct = call->in[2];
    int32_t *clock = call->out[0], *correct_log = call->out[2];
    float *loss_log = call->out[1];
    /* Unsigned, so that after 2^31 steps it starts over at another place of the ring instead of
     * leaving it. */
    uint32_t step = (uint32_t)*clock;
    loss_log[step % BE_LOSS_LOG] = *loss;
    correct_log[step % BE_LOSS_LOG] = *correct;
    *clock = (int32_t)(step + 1u);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(advance) = {.implementation = CPU_NATIVE, .run = advance_run};
