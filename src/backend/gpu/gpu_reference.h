/* A fixed piece of arithmetic on a GPU, to see whether it is as fast as it was.  Private to the
 * shared runtime. */
#ifndef BACKEND_GPU_GPU_REFERENCE_H
#define BACKEND_GPU_GPU_REFERENCE_H

#include "backend/gpu/gpu.h"

/* device_vtable.reference; the first call compiles the kernel. */
be_status gpu_reference_run(be_device *device, int64_t *wall_ns, be_error *err);

void gpu_reference_free(gpu_device *device);

#endif
