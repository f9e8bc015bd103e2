/* What the optimizers share on the CPU. */
#ifndef OPS_OPTIMIZER_OPTIMIZER_CPU_H
#define OPS_OPTIMIZER_OPTIMIZER_CPU_H

#include "backend/cpu/cpu.h"
#include "ops/optimizer/optimizer.h"

#define OPTIMIZER_BLOCK 2048 /* parameters that are updated at a time */

/* The gradients of `count` elements, at most a block, from element `from` on: where they are
 * clipped, times the factor, in `room`.  Each product is rounded here, so that no compiler joins it
 * with the sum that follows. */
static inline const float *optimizer_gradients(const cpu_call *call, int64_t from, int64_t count,
                                               float room[OPTIMIZER_BLOCK])
{
    const float *restrict gradient = (const float *)call->in[1] + from;
    const float *factor = call->in[OPTIMIZER_FACTOR];
    if (!factor || *factor == 1.0f) return gradient;
    float scale = *factor;
    for (int64_t i = 0; i < count; i++) room[i] = gradient[i] * scale;
    return room;
}

/* How many elements the block has that begins at this one, of `count` in all. */
static inline int64_t optimizer_block(int64_t from, int64_t count)
{
    return count - from < OPTIMIZER_BLOCK ? count - from : OPTIMIZER_BLOCK;
}

#endif
