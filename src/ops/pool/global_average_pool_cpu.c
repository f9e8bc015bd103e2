/* Global average pooling on the CPU.  The output is plain; images may be blocked. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "ops/pool/pool.h"

static void global_average_pool_layouts(const cpu_device *device, const be_graph *g,
                                        const graph_node *node, value_layout in[OP_MAX_IN],
                                        value_layout out[OP_MAX_OUT])
{
    (void)device;
    (void)out;
    in[0] = g->values[node->in[0]].layout;
}

/* A block of channels of one image: the mean of its pixels, as far as the channels exist. */
static void average_block(const float *x, int64_t pixels, float *y, int64_t channels)
{
    vec sum = {0};
    for (int64_t i = 0; i < pixels; i++) sum += *(const vec *)(x + i * VEC);
    sum /= (float)pixels;
    for (int64_t c = 0; c < channels; c++) y[c] = sum[c];
}

static float average_plain(const float *x, int64_t pixels)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < pixels; i++) sum += x[i];
    return sum / (float)pixels;
}

static be_status global_average_pool_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *shape = &call->in_shape[0];
    int64_t channels = shape->dim[1], pixels = shape->dim[2] * shape->dim[3];
    int64_t lanes = call->in_layout[0] == LAYOUT_PLAIN ? 1 : VEC;
    int64_t blocks = (channels + lanes - 1) / lanes;
    const float *x = call->in[0];
    float *y = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < shape->dim[0] * blocks; i++) {
        int64_t first = i % blocks * lanes, rest = channels - first;
        float *to = y + i / blocks * channels + first;
        if (lanes == 1)
            *to = average_plain(x + i * pixels, pixels);
        else
            average_block(x + i * pixels * VEC, pixels, to, rest < VEC ? rest : VEC);
    }
    return BE_OK;
}

/* What comes next is nearly always the backward step of a convolution, which works on blocks. */
static void global_average_pool_backward_layouts(const cpu_device *device, const be_graph *g,
                                                 const graph_node *node, value_layout in[OP_MAX_IN],
                                                 value_layout out[OP_MAX_OUT])
{
    (void)in;
    if (g->values[node->out[0]].shape.dim[1] >= (int64_t)LAYOUT_BLOCKED8) out[0] = device->block;
}

static be_status global_average_pool_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *shape = &call->out_shape[0];
    int64_t channels = shape->dim[1], pixels = shape->dim[2] * shape->dim[3];
    int64_t lanes = call->out_layout[0] == LAYOUT_PLAIN ? 1 : VEC;
    int64_t blocks = (channels + lanes - 1) / lanes;
    const float *dy = call->in[0];
    float *dx = call->out[0];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < shape->dim[0] * blocks; i++) {
        int64_t first = i % blocks * lanes;
        const float *from = dy + i / blocks * channels + first;
        vec value = {0};
        for (int64_t c = 0; c < lanes && first + c < channels; c++)
            value[c] = from[c] / (float)pixels;
        float *to = dx + i * pixels * lanes;
        for (int64_t p = 0; p < pixels; p++)
            if (lanes == 1)
                to[p] = value[0];
            else
                *(vec *)(to + p * VEC) = value;
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(global_average_pool) = {.implementation = CPU_NATIVE,
                                                    .layouts = global_average_pool_layouts,
                                                    .run = global_average_pool_run};

const cpu_kernel CPU_KERNEL(global_average_pool_backward) = {
    .implementation = CPU_NATIVE,
    .layouts = global_average_pool_backward_layouts,
    .run = global_average_pool_backward_run};
