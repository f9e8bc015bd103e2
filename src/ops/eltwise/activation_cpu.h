/* Activations by formula for other CPU kernels, compiled once for each instruction set. */
#ifndef OPS_ELTWISE_ACTIVATION_CPU_H
#define OPS_ELTWISE_ACTIVATION_CPU_H

#include "backend/cpu/cpu.h"
#include "ops/eltwise/activation.h"

#define ACTIVATION_RUN CPU_JOIN(activation_run_formula, CPU_ISA)

/* y = f(x) of `count` numbers on `threads` threads, for a kind that activation_needs_x of; y may be
 * x. */
void ACTIVATION_RUN(be_activation kind, const float *x, float *y, int64_t count, int threads);

#endif
