/* Preparing and recording a node by a kernel that may know f32 alone where be_op.narrow_in and
 * be_op.narrow_out allow bf16: it is given that, in scratch, and conversions stand around it. */
#ifndef BACKEND_GPU_GPU_WIDEN_H
#define BACKEND_GPU_GPU_WIDEN_H

#include "backend/gpu/gpu.h"

be_status gpu_kernel_prepare(const gpu_kernel *kernel, gpu_call *call, be_error *err);
be_status gpu_kernel_record(const gpu_kernel *kernel, const gpu_call *call, gpu_recorder *recorder,
                            be_error *err);

#endif
