/* Sums by channel on the CPU.  A channel is summed by one thread in a fixed order, in float over an
 * image or a few rows and in double beyond: the bits do not depend on the threads. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "ops/reduce/column_sum.h"

static void sum_rows_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                             value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    (void)out;
    in[0] = g->values[node->in[0]].layout;
}

static void sum_plain_images(const cpu_call *call)
{
    const be_shape *shape = &call->in_shape[0];
    int64_t channels = shape->dim[1], pixels = shape->dim[2] * shape->dim[3];
    const float *x = call->in[0];
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0.0;
        for (int64_t n = 0; n < shape->dim[0]; n++) {
            const float *image = x + (n * channels + c) * pixels;
            float part = 0.0f;
#pragma omp simd reduction(+ : part)
            for (int64_t p = 0; p < pixels; p++) part += image[p];
            sum += (double)part;
        }
        y[c] = (float)sum;
    }
}

static void sum_blocked_images(const cpu_call *call)
{
    const be_shape *shape = &call->in_shape[0];
    int64_t channels = shape->dim[1], pixels = shape->dim[2] * shape->dim[3];
    int64_t blocks = (channels + VEC - 1) / VEC;
    const float *x = call->in[0];
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        double sums[VEC] = {0};
        for (int64_t n = 0; n < shape->dim[0]; n++) {
            const float *image = x + (n * blocks + b) * pixels * VEC;
            vec part = {0};
            for (int64_t p = 0; p < pixels; p++) part += *(const vec *)(image + p * VEC);
            for (int c = 0; c < VEC; c++) sums[c] += (double)part[c];
        }
        for (int64_t c = 0; c < VEC && b * VEC + c < channels; c++) y[b * VEC + c] = (float)sums[c];
    }
}

static be_status sum_rows_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *shape = &call->in_shape[0];
    if (shape->rank == 2)
        column_sum(shape->dim[0], shape->dim[1], call->in[0], call->out[0], call->threads);
    else if (call->in_layout[0] == LAYOUT_PLAIN)
        sum_plain_images(call);
    else
        sum_blocked_images(call);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(sum_rows) = {
    .implementation = CPU_NATIVE, .layouts = sum_rows_layouts, .run = sum_rows_run};
