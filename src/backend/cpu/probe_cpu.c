/* The inner loops by which a processor's limits are measured; compiled once for each instruction
 * set (see cpu.h). */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"

/* Sums that do not wait for each other: two units that need four or five cycles for a multiply-add
 * are busy with ten.  A set without vectors of VEC floats has two registers for each. */
#if defined(__AVX512F__) || defined(__AVX2__) || defined(__aarch64__)
#define CHAINS 12
#else
#define CHAINS 6
#endif
#define STEPS 64 /* of a round */

static float probe_arithmetic(int64_t rounds, float factor, float add)
{
    vec a[CHAINS], by = vec_all(factor), plus = vec_all(add);
    VEC_UNROLL for (int c = 0; c < CHAINS; c++) a[c] = vec_all((float)c);
    for (int64_t r = 0; r < rounds * STEPS; r++) {
        VEC_UNROLL for (int c = 0; c < CHAINS; c++) a[c] = a[c] * by + plus;
    }
    VEC_UNROLL for (int c = 1; c < CHAINS; c++) a[0] += a[c];
    float sum = 0.0f;
    for (int i = 0; i < VEC; i++) sum += a[0][i];
    return sum;
}

static void probe_scale(float *x, int64_t count, float factor)
{
    for (int64_t i = 0; i < count; i++) x[i] *= factor;
}

extern const cpu_probe_loops CPU_JOIN(probe_loops, CPU_ISA);
const cpu_probe_loops CPU_JOIN(probe_loops, CPU_ISA) = {
    .flops = 2.0 * VEC * CHAINS * STEPS, .arithmetic = probe_arithmetic, .scale = probe_scale};
