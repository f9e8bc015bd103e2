/* Inner parts of the CUDA driver: its struct, compiling, sequences.
 *
 * cuda_driver.c owns the context, the stream and the pinned buffers; cuda_compile.c the modules;
 * cuda_sequence.c the graphs. */
#ifndef BACKEND_CUDA_CUDA_DRIVER_H
#define BACKEND_CUDA_CUDA_DRIVER_H

#include "backend/cuda/cuda.h"

#define CUDA_STAGES 2
#define CUDA_STAGE_BYTES ((size_t)4 << 20)

typedef struct cuda_driver {
    gpu_driver base;
    const cuda_libraries *libraries;
    cuda_device_facts facts;
    cuda_target target;
    cuda_context context;
    cuda_stream stream;
    /* Copies to the device go through pinned memory, so that the device fetches one part while the
     * host fills the next. */
    void *stages[CUDA_STAGES];
    cuda_event staged[CUDA_STAGES]; /* the device has taken what lay there */
    bool pending[CUDA_STAGES];
    int stage; /* the next to be filled */
} cuda_driver;

struct gpu_function {
    cuda_function handle;
    gpu_function *next; /* of its module */
    char name[64];
};

struct gpu_module {
    cuda_module module;
    gpu_function *functions; /* those that were asked for */
};

/* Make the context that of this thread: every call into the driver begins so. */
BE_CHECKED be_status cuda_enter(const cuda_driver *driver, be_error *err);

/* See gpu_driver_vtable. */
be_status cuda_compile(gpu_driver *driver, const gpu_text *texts, int count, gpu_module **out,
                       be_error *err);
void cuda_module_release(gpu_driver *driver, gpu_module *module);
be_status cuda_module_find(gpu_driver *driver, gpu_module *module, const char *name,
                           const gpu_function **out, be_error *err);
be_status cuda_sequence_new(gpu_driver *driver, const gpu_launch *launches, int count,
                            gpu_sequence **out, be_error *err);
be_status cuda_sequence_replay(gpu_driver *driver, gpu_sequence *sequence, int64_t times,
                               be_error *err);
void cuda_sequence_release(gpu_driver *driver, gpu_sequence *sequence);

/* The arguments of a launch as the driver wants them: addresses of the values.  `pointers` points
 * into the struct, which must not be moved. */
typedef struct cuda_arguments {
    union {
        cuda_address address;
        int32_t i32;
        float f32;
    } values[GPU_MAX_ARGUMENTS];
    void *pointers[GPU_MAX_ARGUMENTS];
} cuda_arguments;

void cuda_arguments_fill(cuda_arguments *out, const gpu_launch *launch);

#endif
