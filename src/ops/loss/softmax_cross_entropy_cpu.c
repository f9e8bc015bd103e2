/* Softmax and cross-entropy on the CPU.  Each row's loss goes to scratch in double and the rows are
 * added up in their order, so the result does not depend on the number of threads. */
#include <math.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/exp.h"

#define THREADS_PAY_FROM 32768 /* logits; below, waking the threads costs more than they save */
#define SUM_PART 1024          /* classes added up in single precision, before double goes on */

typedef struct row_result {
    double loss;
    int64_t correct;
} row_result;

/* The sum of exp(x − max), and each of them to dx. */
static float sum_and_keep(const float *x, float *dx, int64_t classes, float max)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < classes; c++) {
        dx[c] = exp_of_negative(x[c] - max);
        sum += dx[c];
    }
    return sum;
}

static float sum_alone(const float *x, int64_t classes, float max)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < classes; c++) sum += exp_of_negative(x[c] - max);
    return sum;
}

static double row_sum(const float *x, float *dx, int64_t classes, float max)
{
    double sum = 0.0;
    for (int64_t c = 0; c < classes; c += SUM_PART) {
        int64_t count = classes - c < SUM_PART ? classes - c : SUM_PART;
        sum +=
            (double)(dx ? sum_and_keep(x + c, dx + c, count, max) : sum_alone(x + c, count, max));
    }
    return sum;
}

/* dx may be where x is, or NULL. */
static row_result run_row(const float *x, float *dx, int64_t classes, int64_t target, float scale)
{
    float max = row_max(x, classes), logit = x[target];
    row_result result = {.correct = logit == max};
    for (int64_t c = 0; result.correct && c < target; c++) result.correct = x[c] != max;
    double sum = row_sum(x, dx, classes, max);
    result.loss = log(sum) - ((double)logit - (double)max);
    if (!dx) return result;
    float factor = scale / (float)sum;
#pragma omp simd
    for (int64_t c = 0; c < classes; c++) dx[c] *= factor;
    dx[target] -= scale;
    return result;
}

static row_result run_row_without_class(float *dx, int64_t classes, bool ignored)
{
    for (int64_t c = 0; dx && c < classes; c++) dx[c] = ignored ? 0.0f : NAN;
    return (row_result){.loss = ignored ? 0.0 : (double)NAN};
}

static be_status softmax_cross_entropy_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    call->scratch_bytes = (size_t)shape_elements(&call->in_shape[1]) * sizeof(row_result);
    return BE_OK;
}

static be_status softmax_cross_entropy_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *logits = call->in[0];
    const int32_t *target = call->in[1];
    float *loss = call->out[0], *dlogits = call->out[2];
    int32_t *correct = call->out[1];
    row_result *results = call->scratch;
    int64_t rows = shape_elements(&call->in_shape[1]), rows_with_target = 0;
    int64_t classes = shape_elements(&call->in_shape[0]) / rows;
    for (int64_t n = 0; n < rows; n++) rows_with_target += target[n] >= 0;
    double scale = rows_with_target ? 1.0 / (double)rows_with_target : 0.0;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (rows * classes >= THREADS_PAY_FROM)
    for (int64_t n = 0; n < rows; n++) {
        float *dx = dlogits ? dlogits + n * classes : NULL;
        results[n] = target[n] >= 0 && target[n] < classes
                         ? run_row(logits + n * classes, dx, classes, target[n], (float)scale)
                         : run_row_without_class(dx, classes, target[n] < 0);
    }
    row_result total = {0};
    for (int64_t n = 0; n < rows; n++) {
        total.loss += results[n].loss;
        total.correct += results[n].correct;
    }
    *loss = (float)(total.loss * scale);
    *correct = (int32_t)total.correct;
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(softmax_cross_entropy) = {.implementation = CPU_NATIVE,
                                                      .prepare = softmax_cross_entropy_prepare,
                                                      .run = softmax_cross_entropy_run};

const cpu_kernel CPU_KERNEL(softmax_cross_entropy_loss) = {.implementation = CPU_NATIVE,
                                                           .prepare = softmax_cross_entropy_prepare,
                                                           .run = softmax_cross_entropy_run};
