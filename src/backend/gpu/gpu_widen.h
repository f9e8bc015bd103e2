/* Preparing and recording a node by a kernel that may not know bf16 where be_op.either and
 * be_op.narrow_results allow it: it is given f32, in scratch, and conversions stand around it. */
#ifndef BACKEND_GPU_GPU_WIDEN_H
#define BACKEND_GPU_GPU_WIDEN_H

#include "backend/gpu/gpu.h"

be_status gpu_kernel_prepare(const gpu_kernel *kernel, gpu_call *call, be_error *err);
be_status gpu_kernel_record(const gpu_kernel *kernel, const gpu_call *call, gpu_recorder *recorder,
                            be_error *err);

#endif
