/* Layer normalisation on the CPU: a row stays in the nearest cache between its passes, so that each
 * operand goes through memory once.  The sums over rows are made of those of ROWS_PER_PART rows
 * each: the bits do not depend on the threads. */
#include <math.h>

#include "backend/cpu/cpu.h"
#include "ops/norm/layer_norm.h"
#include "ops/reduce/column_sum.h"

#define THREADS_PAY_FROM 16384 /* elements */
#define ROWS_PER_PART 32

/* y or the sum may lie where x or the residual does (be_op.in_place).
 *
 * The mean is made exact to its last digit by that of the differences from it, where the elements
 * are far from zero. */
static void normalize_row(const cpu_call *call, int64_t row)
{
    int64_t width = layer_norm_width(&call->in_shape[0]), at = row * width;
    const float *restrict weight = call->in[LAYER_NORM_WEIGHT];
    const float *restrict bias = call->in[LAYER_NORM_BIAS];
    const float *v = (const float *)call->in[LAYER_NORM_X] + at;
    float *y = (float *)call->out[LAYER_NORM_Y] + at;
    float total = 0.0f, off = 0.0f, squares = 0.0f;
    if (call->in[LAYER_NORM_RESIDUAL]) {
        const float *residual = (const float *)call->in[LAYER_NORM_RESIDUAL] + at;
        float *sum = (float *)call->out[LAYER_NORM_SUM] + at;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) sum[i] = v[i] + residual[i];
        v = sum;
    }
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < width; i++) total += v[i];
    float mean = total / (float)width;
#pragma omp simd reduction(+ : off, squares)
    for (int64_t i = 0; i < width; i++) {
        float difference = v[i] - mean;
        off += difference;
        squares += difference * difference;
    }
    off /= (float)width;
    mean += off;
    float variance = squares / (float)width - off * off;
    float epsilon = ((const layer_norm_attrs *)call->attrs)->epsilon;
    float rstd = 1.0f / sqrtf((variance < 0.0f ? 0.0f : variance) + epsilon);
#pragma omp simd
    for (int64_t i = 0; i < width; i++) y[i] = (v[i] - mean) * rstd * weight[i] + bias[i];
    ((float *)call->out[LAYER_NORM_MEAN])[row] = mean;
    ((float *)call->out[LAYER_NORM_RSTD])[row] = rstd;
}

static be_status layer_norm_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t rows = layer_norm_rows(&call->in_shape[0]);
    int64_t elements = rows * layer_norm_width(&call->in_shape[0]);
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (elements >= THREADS_PAY_FROM)
    for (int64_t row = 0; row < rows; row++) normalize_row(call, row);
    return BE_OK;
}

static int64_t parts_of(const cpu_call *call)
{
    return (layer_norm_rows(&call->in_shape[0]) + ROWS_PER_PART - 1) / ROWS_PER_PART;
}

static be_status layer_norm_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    int64_t width = layer_norm_width(&call->in_shape[0]);
    call->scratch_bytes = (size_t)(3 * parts_of(call) * width) * sizeof(float);
    return BE_OK;
}

/* The means over a row of g = dy weight and of g n. */
typedef struct row_means {
    float g, gn;
} row_means;

/* Adds the row to dweight and dbias, which stay in the nearest cache. */
static row_means add_row(const cpu_call *call, int64_t row, float *restrict dweight,
                         float *restrict dbias)
{
    int64_t width = layer_norm_width(&call->in_shape[0]), at = row * width;
    const float *restrict v = (const float *)call->in[LAYER_NORM_BACK_X] + at;
    const float *restrict dy = (const float *)call->in[LAYER_NORM_BACK_DY] + at;
    const float *restrict weight = call->in[LAYER_NORM_BACK_WEIGHT];
    float mean = ((const float *)call->in[LAYER_NORM_BACK_MEAN])[row];
    float rstd = ((const float *)call->in[LAYER_NORM_BACK_RSTD])[row], sum_g = 0.0f, sum_gn = 0.0f;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t i = 0; i < width; i++) {
        float n = (v[i] - mean) * rstd, g = dy[i] * weight[i];
        dweight[i] += dy[i] * n;
        dbias[i] += dy[i];
        sum_g += g;
        sum_gn += g * n;
    }
    return (row_means){sum_g / (float)width, sum_gn / (float)width};
}

/* dx may lie where v, dy or dsum does (be_op.in_place).  Adds it to the sums. */
static void write_dx(const cpu_call *call, int64_t row, row_means means, float *restrict sums)
{
    int64_t width = layer_norm_width(&call->in_shape[0]), at = row * width;
    const float *v = (const float *)call->in[LAYER_NORM_BACK_X] + at;
    const float *dy = (const float *)call->in[LAYER_NORM_BACK_DY] + at;
    const float *restrict weight = call->in[LAYER_NORM_BACK_WEIGHT];
    const float *dsum = call->in[LAYER_NORM_BACK_DSUM];
    float *dx = (float *)call->out[LAYER_NORM_BACK_DX] + at;
    float mean = ((const float *)call->in[LAYER_NORM_BACK_MEAN])[row];
    float rstd = ((const float *)call->in[LAYER_NORM_BACK_RSTD])[row];
    if (dsum) {
        dsum += at;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            float n = (v[i] - mean) * rstd;
            dx[i] = dsum[i] + rstd * (dy[i] * weight[i] - means.g - n * means.gn);
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            float n = (v[i] - mean) * rstd;
            dx[i] = rstd * (dy[i] * weight[i] - means.g - n * means.gn);
        }
    }
    if (!call->out[LAYER_NORM_BACK_SUMS]) return;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) sums[i] += dx[i];
}

static be_status layer_norm_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t rows = layer_norm_rows(&call->in_shape[0]), parts = parts_of(call);
    int64_t width = layer_norm_width(&call->in_shape[0]);
    float *dweight_parts = call->scratch, *dbias_parts = dweight_parts + parts * width;
    float *sums_parts = dbias_parts + parts * width;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * width >= THREADS_PAY_FROM)
    for (int64_t part = 0; part < parts; part++) {
        int64_t end = (part + 1) * ROWS_PER_PART;
        float *dweight = dweight_parts + part * width, *dbias = dbias_parts + part * width;
        float *sums = sums_parts + part * width;
        for (int64_t i = 0; i < width; i++) dweight[i] = dbias[i] = sums[i] = 0.0f;
        for (int64_t row = part * ROWS_PER_PART; row < end && row < rows; row++) {
            row_means means = add_row(call, row, dweight, dbias);
            if (call->out[LAYER_NORM_BACK_DX]) write_dx(call, row, means, sums);
        }
    }
    column_sum(parts, width, dweight_parts, call->out[LAYER_NORM_BACK_DWEIGHT], call->threads);
    column_sum(parts, width, dbias_parts, call->out[LAYER_NORM_BACK_DBIAS], call->threads);
    if (call->out[LAYER_NORM_BACK_SUMS])
        column_sum(parts, width, sums_parts, call->out[LAYER_NORM_BACK_SUMS], call->threads);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(layer_norm) = {.implementation = CPU_NATIVE, .run = layer_norm_run};
const cpu_kernel CPU_KERNEL(layer_norm_backward) = {.implementation = CPU_NATIVE,
                                                    .prepare = layer_norm_backward_prepare,
                                                    .run = layer_norm_backward_run};
