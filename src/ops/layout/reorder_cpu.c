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
    const char *x = call->in[0];
    char *y = call->out[0];
    size_t plain_bytes = (size_t)(channels * pixels) * dtype_bytes(one.dtype);
    size_t blocked_bytes = (size_t)blocked * dtype_bytes(one.dtype);
    one.dim[0] = 1;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t n = 0; n < images; n++) {
        if (from == LAYOUT_PLAIN)
            layout_pack(x + (size_t)n * plain_bytes, y + (size_t)n * blocked_bytes, &one, layout);
        else
            layout_unpack(x + (size_t)n * blocked_bytes, y + (size_t)n * plain_bytes, &one, layout);
    }
    return BE_OK;
}

/* The layout pass makes this node and sets its layouts itself. */
const cpu_kernel CPU_KERNEL(reorder) = {.implementation = CPU_NATIVE, .run = reorder_run};
