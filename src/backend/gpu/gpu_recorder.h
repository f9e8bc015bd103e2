/* The list of launches that a program is recorded into, and the texts of units.  Private to the
 * shared runtime. */
#ifndef BACKEND_GPU_GPU_RECORDER_H
#define BACKEND_GPU_GPU_RECORDER_H

#include "backend/gpu/gpu.h"

struct gpu_recorder {
    gpu_driver *driver;
    gpu_module **modules; /* of the units of the node being recorded; NULL in a dry run */
    gpu_launch *launches; /* freed with memory_free_array */
    size_t count, capacity;
};

/* The whole text of a unit, without the dialect. */
be_status gpu_unit_text(const gpu_unit *unit, arena *memory, const char **out, be_error *err);

#endif
