/* Clipping by the norm on the CPU.  Chunks of fixed length are summed in double and added up in
 * their order, so the norm does not depend on the number of threads. */
#include <math.h>

#include "backend/cpu/cpu.h"
#include "breakeven/plan.h"
#include "ops/optimizer/clip_gradients.h"

#define CHUNK 8192             /* gradients */
#define THREADS_PAY_FROM 65536 /* gradients */

static int64_t chunks_of(const cpu_call *call)
{
    return (call->in_shape[0].dim[0] + CHUNK - 1) / CHUNK;
}

static be_status clip_gradients_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    call->scratch_bytes = (size_t)chunks_of(call) * sizeof(double);
    return BE_OK;
}

static double sum_of_squares(const float *g, int64_t count)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

static be_status clip_gradients_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *g = call->in[0];
    float *log = call->out[0];
    double *sums = call->scratch, total = 0.0;
    int64_t count = call->in_shape[0].dim[0], chunks = chunks_of(call);
    MUST(call->out[0] == call->in[2] && call->out[1] == call->in[3]);
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t k = 0; k < chunks; k++)
        sums[k] = sum_of_squares(g + k * CHUNK, k < chunks - 1 ? CHUNK : count - k * CHUNK);
    for (int64_t k = 0; k < chunks; k++) total += sums[k];
    float norm = (float)sqrt(total);
    float factor = (float)((const clip_attrs *)call->attrs)->limit / (norm + 1e-6f);
    log[*(const uint32_t *)call->in[1] % BE_LOSS_LOG] = norm;
    *(float *)call->out[1] = factor >= 1.0f ? 1.0f : factor;
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(clip_gradients) = {
    .implementation = CPU_NATIVE, .prepare = clip_gradients_prepare, .run = clip_gradients_run};
