/* From a GPU. */
#include "ops/layout/transfer_gpu.h"

static be_status download_prepare(gpu_call *call, be_error *err)
{
    return transfer_prepare(call, true, err);
}

const gpu_kernel GPU_KERNEL(download) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = download_prepare, .record = transfer_record};
