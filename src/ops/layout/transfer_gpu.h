/* Copies between the memory of the host and that of a GPU, by the driver. */
#ifndef OPS_LAYOUT_TRANSFER_GPU_H
#define OPS_LAYOUT_TRANSFER_GPU_H

#include "backend/gpu/gpu.h"

be_status transfer_prepare(gpu_call *call, bool to_host, be_error *err);
be_status transfer_record(const gpu_call *call, gpu_recorder *recorder, be_error *err);

#endif
