/* Softmax on the CPU: a row stays in the nearest cache between its passes. */
#include "ops/softmax/softmax.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/exp.h"

#define THREADS_PAY_FROM 16384 /* elements */

static be_status softmax_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float scale = ((const softmax_attrs *)call->attrs)->scale;
    int64_t width = softmax_width(&call->in_shape[0]), rows = softmax_rows(&call->in_shape[0]);
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * width >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < rows; n++) {
        const float *x = (const float *)call->in[0] + n * width;
        float *y = (float *)call->out[0] + n * width;
        float largest = row_max(x, width), sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++) {
            y[i] = exp_of_negative(scale * (x[i] - largest));
            sum += y[i];
        }
        float factor = 1.0f / sum;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) y[i] *= factor;
    }
    return BE_OK;
}

static be_status softmax_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float scale = ((const softmax_attrs *)call->attrs)->scale;
    int64_t width = softmax_width(&call->in_shape[0]), rows = softmax_rows(&call->in_shape[0]);
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * width >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < rows; n++) {
        const float *y = (const float *)call->in[0] + n * width;
        const float *dy = (const float *)call->in[1] + n * width;
        float *dx = (float *)call->out[0] + n * width;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++) sum += dy[i] * y[i];
#pragma omp simd
        for (int64_t i = 0; i < width; i++) dx[i] = scale * y[i] * (dy[i] - sum);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(softmax) = {.implementation = CPU_NATIVE, .run = softmax_run};
const cpu_kernel CPU_KERNEL(softmax_backward) = {.implementation = CPU_NATIVE,
                                                 .run = softmax_backward_run};
