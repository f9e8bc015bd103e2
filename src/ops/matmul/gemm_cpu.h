/* The native matrix product, compiled once for each instruction set, c = f(a · b + bias); and
 * where oneDNN is the better one. */
#ifndef OPS_MATMUL_GEMM_CPU_H
#define OPS_MATMUL_GEMM_CPU_H

#include "backend/cpu/cpu.h"
#include "ops/eltwise/activation.h"

/* a [m, k], b [k, n] by their strides in floats; c [m, n] with its rows side by side.  bias [n] or
 * NULL. */
typedef struct gemm {
    int64_t m, n, k;
    const float *a, *b;
    int64_t a_row, a_column, b_row, b_column;
    float *c;
    const float *bias;
    be_activation activation;
    float *activated; /* by formula: f(c) goes here, and c stays; it may be c */
    bool add;         /* to what c holds; without bias and activation */
    int threads;
    void *scratch; /* GEMM_SCRATCH_BYTES(m, n), aligned to 64 bytes */
} gemm;

#define GEMM_SCRATCH_BYTES CPU_JOIN(gemm_scratch_bytes, CPU_ISA)
#define GEMM_RUN CPU_JOIN(gemm_run, CPU_ISA)

size_t GEMM_SCRATCH_BYTES(int64_t m, int64_t n);

/* Each element is summed by one thread in one order: the bits do not depend on the threads. */
void GEMM_RUN(const gemm *g);

/* Up to this many multiplications a call of oneDNN takes longer than the product itself: 10 × 40 ->
 * 10 takes 0.3 µs natively and 0.5 µs by oneDNN 2.6 (0.8 to 1.1 µs with AVX2), 100 × 40 -> 10
 * already 1.6 and 1.2 µs, 100 × 800 -> 40 takes 65 and 46 µs, 100 × 784 -> 128 154 and 113 µs (one
 * thread of a Sapphire Rapids Xeon, AVX-512). */
#define GEMM_NATIVE_WORK 8192

/* a [m, k] · b [k, n] by their strides in floats, before there are addresses. */
typedef struct gemm_sizes {
    int64_t m, n, k, b_row, b_column;
} gemm_sizes;

/* oneDNN 2 with AVX2 packs b across its rows.  Where these lie a multiple of 2 KiB apart they share
 * a few places of the cache, and with few rows of a, or few steps of k, the packing is not hidden.
 * GFLOP/s of oneDNN and of the native product on two threads of an AMD EPYC without AVX-512:
 * [256, 2048] · [2048, 512] 118 and 155, [256, 768] · [768, 3072] 83 and 150, aᵀ of [256, 1536] by
 * [256, 512] 124 and 160; but [788, 2048] · [2048, 512] 166 and 158, [256, 2304] · [2304, 768] 166
 * and 157. */
#define GEMM_CROWDED_FLOATS 512
#define GEMM_CROWDED_ROWS 512

static inline bool gemm_is_crowded(const cpu_device *device, const gemm_sizes *s)
{
    return DNNL_VERSION_MAJOR < 3 && device->isa == CPU_AVX2 && s->b_column == 1 &&
           s->b_row % GEMM_CROWDED_FLOATS == 0 &&
           (s->m < GEMM_CROWDED_ROWS || s->k < GEMM_CROWDED_ROWS);
}

/* BE_OK if the native product is the better one here, else why not.  Without AVX2 it always is:
 * oneDNN has no fast product for every other processor. */
static inline be_status gemm_prefers_native(const cpu_device *device, const gemm_sizes *s,
                                            be_error *reason)
{
    double work = (double)s->m * (double)s->n * (double)s->k;
    if (device->library == CPU_NATIVE_ONLY || device->isa == CPU_GENERIC ||
        work <= GEMM_NATIVE_WORK || gemm_is_crowded(device, s))
        return BE_OK;
    FAIL(reason, BE_UNAVAILABLE, "oneDNN is faster from %d multiplications on, and these are %.0f",
         GEMM_NATIVE_WORK, work);
}

#endif
