/* Rows of length 1 on the CPU: a row stays in the nearest cache between its passes. */
#include <math.h>

#include "backend/cpu/cpu.h"
#include "ops/norm/layer_norm.h"

#define THREADS_PAY_FROM 16384 /* elements */

static be_status l2_normalize_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t width = layer_norm_width(&call->in_shape[0]),
            rows = layer_norm_rows(&call->in_shape[0]);
    float *norms = call->out[1];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * width >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < rows; n++) {
        const float *x = (const float *)call->in[0] + n * width;
        float *y = (float *)call->out[0] + n * width;
        float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < width; i++) squares += x[i] * x[i];
        float norm = sqrtf(squares);
        norms[n] = norm;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) y[i] = x[i] / norm;
    }
    return BE_OK;
}

static be_status l2_normalize_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t width = layer_norm_width(&call->in_shape[0]),
            rows = layer_norm_rows(&call->in_shape[0]);
    const float *norms = call->in[1];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * width >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < rows; n++) {
        const float *y = (const float *)call->in[0] + n * width;
        const float *dy = (const float *)call->in[2] + n * width;
        float *dx = (float *)call->out[0] + n * width;
        float sum = 0.0f, norm = norms[n];
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; i++) sum += dy[i] * y[i];
#pragma omp simd
        for (int64_t i = 0; i < width; i++) dx[i] = (dy[i] - y[i] * sum) / norm;
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(l2_normalize) = {.implementation = CPU_NATIVE, .run = l2_normalize_run};
const cpu_kernel CPU_KERNEL(l2_normalize_backward) = {.implementation = CPU_NATIVE,
                                                      .run = l2_normalize_backward_run};
