/* What the optimizers share with what stands in front of them on GPUs. */
#ifndef OPS_OPTIMIZER_OPTIMIZER_GPU_H
#define OPS_OPTIMIZER_OPTIMIZER_GPU_H

#include "backend/gpu/gpu.h"

#define OPTIMIZER_PARTS_MOST 8
#define OPTIMIZER_PART_A_UNIT 16384 /* parameters: some time of a multiprocessor */

/* In how many parts, each by a launch of its own, a block of `count` parameters is gone through:
 * one where launches do not overlap.  A part waits for its own gradients alone. */
static inline int64_t optimizer_parts(const gpu_call *call, int64_t count)
{
    int64_t least = (int64_t)call->facts->units * OPTIMIZER_PART_A_UNIT;
    int64_t parts = (count + least - 1) / least;
    if (!call->facts->overlaps) return 1;
    return parts < OPTIMIZER_PARTS_MOST ? parts : OPTIMIZER_PARTS_MOST;
}

#endif
