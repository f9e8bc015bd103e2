/* The list of launches that a program is recorded into.  Private to the shared runtime. */
#ifndef BACKEND_GPU_GPU_RECORDER_H
#define BACKEND_GPU_GPU_RECORDER_H

#include "backend/gpu/gpu.h"

struct gpu_recorder {
    gpu_driver *driver;
    gpu_module **modules; /* of the units of the node being recorded; NULL in a dry run */
    gpu_launch *launches; /* freed with memory_free_array */
    size_t count, capacity;
};

#endif
