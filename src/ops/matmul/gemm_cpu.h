/* The native matrix product, compiled once for each instruction set: c = a · b (+ bias, ReLU). */
#ifndef OPS_MATMUL_GEMM_CPU_H
#define OPS_MATMUL_GEMM_CPU_H

#include "backend/cpu/cpu.h"

/* a [m, k], b [k, n] by their strides in floats; c [m, n] with its rows side by side.  bias [n] or
 * NULL. */
typedef struct gemm {
    int64_t m, n, k;
    const float *a, *b;
    int64_t a_row, a_column, b_row, b_column;
    float *c;
    const float *bias;
    bool relu;
    int threads;
    void *scratch; /* GEMM_SCRATCH_BYTES(n), aligned to 64 bytes */
} gemm;

#define GEMM_SCRATCH_BYTES CPU_JOIN(gemm_scratch_bytes, CPU_ISA)
#define GEMM_RUN CPU_JOIN(gemm_run, CPU_ISA)

size_t GEMM_SCRATCH_BYTES(int64_t n);

/* Each element is summed by one thread in one order: the bits do not depend on the threads. */
void GEMM_RUN(const gemm *g);

#endif
