/* Bias on the CPU, on plain and blocked tensors. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"

static void bias_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                         value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = out[0] = g->values[node->in[0]].layout;
}

/* Images or rows: plane i belongs to channel i mod channels. */
static void bias_plain(const cpu_call *call)
{
    const float *x = call->in[0], *b = call->in[1];
    float *y = call->out[0];
    int64_t channels = call->in_shape[0].dim[1], planes = call->in_shape[0].dim[0] * channels;
    int64_t pixels = call->out_elements / planes;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < planes; i++)
        for (int64_t p = 0; p < pixels; p++)
            y[i * pixels + p] = x[i * pixels + p] + b[i % channels];
}

static void bias_blocked(const cpu_call *call)
{
    const float *x = call->in[0], *b = call->in[1];
    float *y = call->out[0];
    const be_shape *shape = &call->in_shape[0];
    int64_t channels = shape->dim[1], pixels = shape->dim[2] * shape->dim[3];
    int64_t blocks = (channels + VEC - 1) / VEC;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < shape->dim[0] * blocks; i++) {
        int64_t first = i % blocks * VEC;
        vec add = {0};
        for (int64_t c = 0; c < VEC && first + c < channels; c++) add[c] = b[first + c];
        for (int64_t p = i * pixels * VEC; p < (i + 1) * pixels * VEC; p += VEC)
            *(vec *)(y + p) = *(const vec *)(x + p) + add;
    }
}

static be_status bias_run(const cpu_call *call, be_error *err)
{
    (void)err;
    if (call->in_layout[0] == LAYOUT_PLAIN)
        bias_plain(call);
    else
        bias_blocked(call);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(bias) = {
    .implementation = CPU_NATIVE, .layouts = bias_layouts, .run = bias_run};
