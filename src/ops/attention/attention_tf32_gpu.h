/* Attention's products of tf32 operands on tensor cores, for attention_gpu.c. */
#ifndef OPS_ATTENTION_ATTENTION_TF32_GPU_H
#define OPS_ATTENTION_ATTENTION_TF32_GPU_H

#include "backend/gpu/gpu.h"
#include "ops/attention/attention.h"

/* Heads of 32 or 64 in tf32, on a device with tensor cores and groups as wide as the kernels want
 * them. */
bool attention_tf32_takes(const gpu_call *call, const attention_sizes *s);

/* As those of a gpu_kernel, of a node that it takes. */
be_status attention_tf32_prepare(gpu_call *call, const attention_sizes *s, be_error *err);
be_status attention_tf32_record(const gpu_call *call, const attention_sizes *s,
                                gpu_recorder *recorder, be_error *err);
be_status attention_tf32_backward_prepare(gpu_call *call, const attention_sizes *s, be_error *err);
be_status attention_tf32_backward_record(const gpu_call *call, const attention_sizes *s,
                                         gpu_recorder *recorder, be_error *err);

#endif
