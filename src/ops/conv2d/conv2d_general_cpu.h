/* Convolution with any stride, window and padding, on plain images, as products of matrices.  Part
 * of the native convolution; compiled once for each instruction set. */
#ifndef OPS_CONV2D_CONV2D_GENERAL_CPU_H
#define OPS_CONV2D_CONV2D_GENERAL_CPU_H

#include "backend/cpu/cpu.h"
#include "ops/conv2d/conv2d.h"

#define general_prepare CPU_KERNEL(conv2d_general_prepare)
#define general_forward_run CPU_KERNEL(conv2d_general_forward_run)
#define general_backward_run CPU_KERNEL(conv2d_general_backward_run)

/* Does it run here?  What the other forms can do is faster there. */
static inline bool general_takes(const conv2d_attrs *attrs, const be_shape *w)
{
    return !conv2d_is_square(attrs, w);
}

/* The kernels' functions. */
be_status general_prepare(cpu_call *call, arena *memory, be_error *err);
be_status general_forward_run(const cpu_call *call, be_error *err);
be_status general_backward_run(const cpu_call *call, be_error *err);

#endif
