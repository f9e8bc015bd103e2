/* Choosing, joining and averaging rows on the CPU: each operand goes through memory once.  An
 * element of a sum is made by one thread in a fixed order: the bits do not depend on the threads.
 */
#include "ops/rows/rows.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 32768 /* elements */
#define PIECE 4096             /* elements that a thread copies or adds at a time */

static int64_t pieces_of(int64_t count)
{
    return (count + PIECE - 1) / PIECE;
}

static int64_t piece_count(int64_t count, int64_t piece)
{
    return count - piece * PIECE < PIECE ? count - piece * PIECE : PIECE;
}

static be_status slice_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t count = call->out_elements, first = ((const slice_attrs *)call->attrs)->first;
    const float *x = (const float *)call->in[0] + first * (count / call->out_shape[0].dim[0]);
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t p = 0; p < pieces_of(count); p++)
        memcpy(y + p * PIECE, x + p * PIECE, (size_t)piece_count(count, p) * sizeof *y);
    return BE_OK;
}

static be_status slice_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    int64_t count = call->out_elements, inner = count / call->out_shape[0].dim[0];
    int64_t first = ((const slice_backward_attrs *)call->attrs)->first;
    int64_t end = first + call->in_shape[0].dim[0];
    const float *dy = call->in[0];
    float *dx = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t row = 0; row < call->out_shape[0].dim[0]; row++) {
        if (row >= first && row < end)
            memcpy(dx + row * inner, dy + (row - first) * inner, (size_t)inner * sizeof *dx);
        else
            memset(dx + row * inner, 0, (size_t)inner * sizeof *dx);
    }
    return BE_OK;
}

static be_status concat_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *y_shape = &call->out_shape[0];
    int64_t wide[2], step[2], whole = y_shape->dim[1] * y_shape->dim[2];
    for (int k = 0; k < 2; k++) {
        wide[k] = call->in_shape[k].dim[1] * y_shape->dim[2];
        step[k] = call->in_shape[k].dim[0] == 1 ? 0 : wide[k];
    }
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < y_shape->dim[0]; n++)
        for (int k = 0; k < 2; k++)
            memcpy(y + n * whole + k * wide[0], (const float *)call->in[k] + n * step[k],
                   (size_t)wide[k] * sizeof *y);
    return BE_OK;
}

/* A part of dy for each sample. */
static void copy_part(const cpu_call *call, float *dx, int64_t at, int64_t own)
{
    const be_shape *dy_shape = &call->in_shape[0];
    const float *dy = (const float *)call->in[0] + at;
    int64_t whole = dy_shape->dim[1] * dy_shape->dim[2], samples = dy_shape->dim[0];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (samples * own >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < samples; n++)
        memcpy(dx + n * own, dy + n * whole, (size_t)own * sizeof *dx);
}

/* The sum of it over the samples, 16 elements at a time, in double. */
static void add_parts(const cpu_call *call, float *dx, int64_t at, int64_t own)
{
    const be_shape *dy_shape = &call->in_shape[0];
    const float *dy = (const float *)call->in[0] + at;
    int64_t whole = dy_shape->dim[1] * dy_shape->dim[2], samples = dy_shape->dim[0];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (samples * own >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < own; i += 16) {
        int64_t wide = own - i < 16 ? own - i : 16;
        double sum[16] = {0};
        for (int64_t n = 0; n < samples; n++)
            for (int64_t j = 0; j < wide; j++) sum[j] += (double)dy[n * whole + i + j];
        for (int64_t j = 0; j < wide; j++) dx[i + j] = (float)sum[j];
    }
}

static be_status concat_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const concat_backward_attrs *attrs = call->attrs;
    int64_t at = 0;
    for (int k = 0; k < 2; k++) {
        int64_t own = attrs->shape[k].dim[1] * attrs->shape[k].dim[2];
        if (call->out[k] && attrs->shape[k].dim[0] == 1)
            add_parts(call, call->out[k], at, own);
        else if (call->out[k])
            copy_part(call, call->out[k], at, own);
        at += own;
    }
    return BE_OK;
}

static be_status gather_rows_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const int32_t *index = call->in[1];
    const float *x = call->in[0];
    float *y = call->out[0];
    int64_t length = call->in_shape[0].dim[1], width = call->in_shape[0].dim[2];
    int64_t position = ((const gather_rows_attrs *)call->attrs)->position;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < call->in_shape[0].dim[0]; n++) {
        int64_t t = index ? index[n] : position;
        float none = t == GATHER_ROWS_NONE ? 0.0f : NAN;
        if (t >= 0 && t < length)
            memcpy(y + n * width, x + (n * length + t) * width, (size_t)width * sizeof *y);
        else
            for (int64_t c = 0; c < width; c++) y[n * width + c] = none;
    }
    return BE_OK;
}

static be_status gather_rows_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const gather_rows_backward_attrs *attrs = call->attrs;
    const int32_t *index = call->in[1];
    const float *dy = call->in[0];
    float *dx = call->out[0];
    int64_t length = attrs->length, width = call->out_shape[0].dim[2];
    int64_t rows = call->out_shape[0].dim[0] * length;
    size_t bytes = (size_t)width * sizeof *dx;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t row = 0; row < rows; row++) {
        int64_t n = row / length, place = index ? index[n] : attrs->position;
        if (row % length == place)
            memcpy(dx + row * width, dy + n * width, bytes);
        else
            memset(dx + row * width, 0, bytes);
    }
    return BE_OK;
}

static be_status find_token_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const int32_t *tokens = call->in[0];
    int32_t *places = call->out[0], token = ((const find_token_attrs *)call->attrs)->token;
    int64_t length = call->in_shape[0].dim[1];
    for (int64_t n = 0; n < call->in_shape[0].dim[0]; n++) {
        int64_t t = 0;
        while (t < length && tokens[n * length + t] != token) t++;
        places[n] = t < length ? (int32_t)t : GATHER_ROWS_NONE;
    }
    return BE_OK;
}

/* Columns of a sample that a thread takes. */
#define COLUMNS 64

static void mean_columns(const float *restrict x, int64_t count, int64_t width, int64_t wide,
                         float *restrict sum)
{
    for (int64_t c = 0; c < wide; c++) sum[c] = 0.0f;
    for (int64_t t = 0; t < count; t++)
#pragma omp simd
        for (int64_t c = 0; c < wide; c++) sum[c] += x[t * width + c];
}

static be_status mean_tokens_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const int32_t *lengths = call->in[1];
    const float *x = call->in[0];
    float *y = call->out[0];
    int64_t samples = call->in_shape[0].dim[0], length = call->in_shape[0].dim[1];
    int64_t width = call->in_shape[0].dim[2], turns = (width + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (samples * length * width >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < samples * turns; i++) {
        int64_t n = i / turns, first = i % turns * COLUMNS, count, wide = width - first;
        float sum[COLUMNS], scale = (float)mean_tokens_scale(lengths[n], length);
        count = mean_tokens_count(lengths[n], length);
        wide = wide < COLUMNS ? wide : COLUMNS;
        mean_columns(x + n * length * width + first, count, width, wide, sum);
        for (int64_t c = 0; c < wide; c++) y[n * width + first + c] = sum[c] * scale;
    }
    return BE_OK;
}

static be_status mean_tokens_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const int32_t *lengths = call->in[1];
    float *dx = call->out[0];
    int64_t length = call->out_shape[0].dim[1], width = call->out_shape[0].dim[2];
    int64_t rows = call->out_shape[0].dim[0] * length;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t row = 0; row < rows; row++) {
        int64_t n = row / length;
        const float *restrict dy = (const float *)call->in[0] + n * width;
        float *restrict to = dx + row * width;
        float scale = (float)mean_tokens_scale(lengths[n], length);
        if (row % length >= mean_tokens_count(lengths[n], length)) {
            memset(to, 0, (size_t)width * sizeof *to);
            continue;
        }
#pragma omp simd
        for (int64_t c = 0; c < width; c++) to[c] = dy[c] * scale;
    }
    return BE_OK;
}

#define ROWS_KERNEL(name) \
    const cpu_kernel CPU_KERNEL(name) = {.implementation = CPU_NATIVE, .run = name##_run};

ROWS_KERNEL(slice)
ROWS_KERNEL(slice_backward)
ROWS_KERNEL(concat)
ROWS_KERNEL(concat_backward)
ROWS_KERNEL(gather_rows)
ROWS_KERNEL(gather_rows_backward)
ROWS_KERNEL(find_token)
ROWS_KERNEL(mean_tokens)
ROWS_KERNEL(mean_tokens_backward)
