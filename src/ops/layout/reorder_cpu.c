/* Reorder on the CPU: plain to blocked and back, image by image in parallel. */
#include "backend/cpu/cpu.h"
#include "graph/device.h"

static be_status reorder_run(const cpu_call *call, be_error *err)
{
    (void)err;
    be_shape one = call->in_shape[0];
    int64_t images = one.dim[0], channels = one.dim[1], pixels = one.dim[2] * one.dim[3];
    value_layout from = call->in_layout[0], to = call->out_layout[0];
    value_layout layout = from == LAYOUT_PLAIN ? to : from;
    int64_t block = (int64_t)layout, blocked = (channels + block - 1) / block * block * pixels;
    const float *x = call->in[0];
    float *y = call->out[0];
    one.dim[0] = 1;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t n = 0; n < images; n++) {
        if (from == LAYOUT_PLAIN)
            layout_pack(x + n * channels * pixels, y + n * blocked, &one, layout);
        else
            layout_unpack(x + n * blocked, y + n * channels * pixels, &one, layout);
    }
    return BE_OK;
}

/* The layout pass makes this node and sets its layouts itself. */
const cpu_kernel CPU_KERNEL(reorder) = {.implementation = CPU_NATIVE, .run = reorder_run};
