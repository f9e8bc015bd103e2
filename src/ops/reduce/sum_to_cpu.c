/* Sums over any dimensions, and the way back, on the CPU.  An element of y is summed by one thread
 * in a fixed order: the bits do not depend on the threads. */
#include "backend/cpu/cpu.h"
#include "ops/eltwise/broadcast.h"
#include "ops/reduce/column_sum.h"
#include "ops/reduce/sum_to.h"

/* y has all of x's last dimensions, and none in front of them. */
static bool keeps_the_last(const be_shape *x, const be_shape *y)
{
    int rank = y->rank;
    while (rank > 0 && y->dim[y->rank - rank] == 1) rank--;
    for (int d = 1; d <= rank; d++)
        if (y->dim[y->rank - d] != x->dim[x->rank - d]) return false;
    return true;
}

/* One element of y: `from` is the first of x that it sums, `many` the dimensions that it sums over,
 * `apart` how far x's elements lie apart. */
static double sum_from(const float *from, const int64_t many[4], const int64_t apart[4])
{
    double sum = 0.0;
    for (int64_t i = 0; i < many[0]; i++)
        for (int64_t j = 0; j < many[1]; j++)
            for (int64_t k = 0; k < many[2]; k++) {
                const float *row = from + i * apart[0] + j * apart[1] + k * apart[2];
                for (int64_t l = 0; l < many[3]; l++) sum += (double)row[l];
            }
    return sum;
}

static void sum_any(const cpu_call *call, float scale)
{
    _Static_assert(BE_MAX_RANK == 4, "sum_from has a loop for each dimension");
    broadcast at = broadcast_of(&call->in_shape[0], &call->out_shape[0]);
    int64_t many[4], steps[4], apart[4], count = call->out_elements;
    for (int64_t d = 3, step = 1; d >= 0; step *= at.dim[d--]) {
        apart[d] = step;
        many[d] = at.stride[d] ? 1 : at.dim[d];
        steps[d] = at.stride[d] ? at.dim[d] : 1;
    }
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t o = 0; o < count; o++) {
        int64_t from = 0;
        for (int64_t d = 3, rest = o; d >= 0; rest /= steps[d--])
            from += rest % steps[d] * apart[d];
        y[o] = (float)(sum_from((const float *)call->in[0] + from, many, apart) * (double)scale);
    }
}

static be_status sum_to_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float scale = ((const sum_to_attrs *)call->attrs)->scale, *y = call->out[0];
    if (!keeps_the_last(&call->in_shape[0], &call->out_shape[0])) {
        sum_any(call, scale);
        return BE_OK;
    }
    int64_t columns = call->out_elements, count = shape_elements(&call->in_shape[0]);
    column_sum(count / columns, columns, call->in[0], y, call->threads);
    for (int64_t i = 0; i < columns && scale != 1.0f; i++) y[i] *= scale;
    return BE_OK;
}

static be_status expand_run(const cpu_call *call, be_error *err)
{
    (void)err;
    float scale = ((const sum_to_attrs *)call->attrs)->scale;
    broadcast at = broadcast_of(&call->out_shape[0], &call->in_shape[0]);
    int64_t wide = at.dim[BE_MAX_RANK - 1], rows = call->out_elements / wide;
    int64_t step = at.stride[BE_MAX_RANK - 1];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *x = (const float *)call->in[0] + broadcast_index(&at, row * wide);
        float *y = (float *)call->out[0] + row * wide;
        for (int64_t i = 0; i < wide; i++) y[i] = scale * x[i * step];
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(sum_to) = {.implementation = CPU_NATIVE, .run = sum_to_run};
const cpu_kernel CPU_KERNEL(expand) = {.implementation = CPU_NATIVE, .run = expand_run};
