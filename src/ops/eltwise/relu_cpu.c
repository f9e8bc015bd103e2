/* ReLU on the CPU.  Works on any layout, as long as all operands share it. */
#include "backend/cpu/cpu.h"

static be_status relu_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *x = call->in[0];
    float *y = call->out[0];
    int64_t count = call->out_elements;
#pragma omp parallel for simd num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i];
    return BE_OK;
}

static be_status relu_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *y = call->in[0], *dy = call->in[1];
    float *dx = call->out[0];
    int64_t count = call->out_elements;
#pragma omp parallel for simd num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(relu) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = relu_run};

const cpu_kernel CPU_KERNEL(relu_backward) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = relu_backward_run};
