/* Rows of a table on the CPU.  Back, the tokens are sorted by counting, equal ones in their order:
 * each row of the table is summed and written by one thread, and the bits do not depend on the
 * threads. */
#include "ops/embedding/embedding.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

#define THREADS_PAY_FROM 32768 /* elements */
#define ROWS_A_TURN 64         /* of the table: some have many tokens, most none */

static be_status embedding_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const int32_t *tokens = call->in[0];
    const float *table = call->in[1];
    float *y = call->out[0];
    int64_t count = shape_elements(&call->in_shape[0]), rows = call->in_shape[1].dim[0];
    int64_t width = call->in_shape[1].dim[1];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (count * width >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < count; n++) {
        if (tokens[n] >= 0 && tokens[n] < rows)
            memcpy(y + n * width, table + tokens[n] * width, (size_t)width * sizeof(float));
        else
            for (int64_t c = 0; c < width; c++) y[n * width + c] = NAN;
    }
    return BE_OK;
}

static be_status embedding_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    int64_t count = shape_elements(&call->in_shape[0]), rows = call->out_shape[0].dim[0];
    call->scratch_bytes = (size_t)(rows + 2 + count) * sizeof(int32_t);
    return BE_OK;
}

/* The places of row v's tokens are order[starts[v]] … order[starts[v + 1] − 1]. */
static void sort_tokens(const int32_t *tokens, int64_t count, int64_t rows, int32_t *starts,
                        int32_t *order)
{
    memset(starts, 0, (size_t)(rows + 2) * sizeof *starts);
    for (int64_t n = 0; n < count; n++)
        if (tokens[n] >= 0 && tokens[n] < rows) starts[tokens[n] + 2]++;
    for (int64_t v = 0; v < rows; v++) starts[v + 2] += starts[v + 1];
    for (int64_t n = 0; n < count; n++)
        if (tokens[n] >= 0 && tokens[n] < rows) order[starts[tokens[n] + 1]++] = (int32_t)n;
}

static be_status embedding_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const embedding_backward_attrs *attrs = call->attrs;
    const float *dy = call->in[1];
    float *dtable = call->out[0];
    bool adds = call->in[EMBEDDING_BACK_SUM] != NULL;
    int64_t width = call->out_shape[0].dim[1];
    int32_t *starts = call->scratch, *order = starts + attrs->rows + 2;
    sort_tokens(call->in[0], shape_elements(&call->in_shape[0]), attrs->rows, starts, order);
#pragma omp parallel for num_threads(call->threads) \
    schedule(dynamic, ROWS_A_TURN) if (call->out_elements >= THREADS_PAY_FROM)
    for (int64_t v = 0; v < attrs->rows; v++) {
        float *restrict row = dtable + v * width;
        int32_t first = starts[v], end = v == attrs->padding ? first : starts[v + 1];
        if (!adds && first == end) memset(row, 0, (size_t)width * sizeof *row);
        if (!adds && first < end)
            memcpy(row, dy + order[first] * width, (size_t)width * sizeof *row);
        for (int32_t k = first + !adds; k < end; k++) {
            const float *restrict from = dy + order[k] * width;
#pragma omp simd
            for (int64_t c = 0; c < width; c++) row[c] += from[c];
        }
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(embedding) = {.implementation = CPU_NATIVE, .run = embedding_run};
const cpu_kernel CPU_KERNEL(embedding_backward) = {.implementation = CPU_NATIVE,
                                                   .prepare = embedding_backward_prepare,
                                                   .run = embedding_backward_run};
