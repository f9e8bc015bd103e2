/* Symmetric cross-entropy on the CPU: what each row and each column needs goes to scratch first,
 * then each element's gradient is made where it lies. */
#include <math.h>

#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 16384 /* logits */

/* A row or a column. */
typedef struct line {
    double log_sum; /* log(sum exp(x)) */
    bool is_right;
} line;

static be_status symmetric_cross_entropy_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    call->scratch_bytes = 2 * (size_t)call->in_shape[0].dim[0] * sizeof(line);
    return BE_OK;
}

static line read_line(const float *x, int64_t count, int64_t step, int64_t at)
{
    float max = x[0];
    double sum = 0.0;
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (x[i * step] > max) {
            max = x[i * step];
            best = i;
        }
    for (int64_t i = 0; i < count; i++) sum += (double)expf(x[i * step] - max);
    return (line){.log_sum = (double)max + log(sum), .is_right = best == at};
}

static be_status symmetric_cross_entropy_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *x = call->in[0];
    float *loss = call->out[0], *dx = call->out[3];
    int64_t count = call->in_shape[0].dim[0];
    line *rows = call->scratch, *columns = rows + count;
    float share = 0.5f / (float)count;
    double total = 0.0;
    int32_t right[2] = {0, 0};
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (count * count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < 2 * count; i++)
        rows[i] = i < count ? read_line(x + i * count, count, 1, i)
                            : read_line(x + (i - count), count, count, i - count);
    for (int64_t i = 0; i < count; i++) {
        total += rows[i].log_sum + columns[i].log_sum - 2.0 * (double)x[i * count + i];
        right[0] += rows[i].is_right;
        right[1] += columns[i].is_right;
    }
    *loss = (float)(total / (2.0 * (double)count));
    *(int32_t *)call->out[1] = right[0];
    *(int32_t *)call->out[2] = right[1];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (count * count >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < count; j++) {
            double here = (double)x[i * count + j];
            float both =
                expf((float)(here - rows[i].log_sum)) + expf((float)(here - columns[j].log_sum));
            dx[i * count + j] = (both - (i == j ? 2.0f : 0.0f)) * share;
        }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(symmetric_cross_entropy) = {.implementation = CPU_NATIVE,
                                                        .prepare = symmetric_cross_entropy_prepare,
                                                        .run = symmetric_cross_entropy_run};
