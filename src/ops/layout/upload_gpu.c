/* To a GPU. */
#include "ops/layout/transfer_gpu.h"

static be_status upload_prepare(gpu_call *call, be_error *err)
{
    return transfer_prepare(call, false, err);
}

const gpu_kernel GPU_KERNEL(upload) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = upload_prepare, .record = transfer_record};
