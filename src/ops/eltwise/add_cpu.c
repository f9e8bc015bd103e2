/* Addition on the CPU.  Works on any layout, as long as all operands share it. */
#include "backend/cpu/cpu.h"

static be_status add_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const float *restrict a = call->in[0], *restrict b = call->in[1];
    float *restrict y = call->out[0];
    int64_t count = call->out_elements;
#pragma omp parallel for simd num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = a[i] + b[i];
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(add) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = add_run};
