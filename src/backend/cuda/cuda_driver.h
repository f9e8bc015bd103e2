/* Inner parts of the CUDA driver: its struct, compiling, sequences.
 *
 * cuda_driver.c owns the context, the stream and the pinned buffers; below it are cuda_compile.c
 * with the modules, cuda_sequence.c with the graphs (cuda_lanes.c and cuda_trials.c: which forms
 * they have, and which of these is the fastest), cuda_feed.c with the streamed batches and
 * cuda_group.c with what several GPUs do together, and below these cuda_context.c. */
#ifndef BACKEND_CUDA_CUDA_DRIVER_H
#define BACKEND_CUDA_CUDA_DRIVER_H

#include "backend/cuda/cuda.h"
#include "backend/cuda/cuda_math.h"
#include "backend/gpu/gpu.h"

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
    /* cuDNN and cuBLASLt, if they were asked for; their work goes to the stream. */
    const cuda_math *math;
    cudnn_handle cudnn;
    struct cudnn_choice *cudnn_choices; /* its engines that are in use */
    cublaslt_handle cublaslt;
    struct cuda_link *link; /* to the other GPUs of a group, or NULL */
    bool has_soon;          /* the graph of a step has programmatic edges; else all are full */
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

/* Let the ops use cuDNN and cuBLASLt on this device.  On failure it is as before. */
BE_CHECKED be_status cuda_driver_use_math(gpu_driver *driver, const cuda_math *math, be_error *err);

/* The same, where it was not done yet: finds them first. */
BE_CHECKED be_status cuda_math_ready(gpu_device *device, be_error *err);

/* See gpu_device. */
be_status cuda_peak_new(gpu_device *device, be_precision precision, gpu_peak **out, be_error *err);

/* Their implementations (gpu.h), each in a file NAME_cudnn.c or NAME_cublaslt.c beside its op. */
#define CUDNN_KERNEL(op) cudnn_##op
#define CUBLASLT_KERNEL(op) cublaslt_##op
extern const gpu_library cuda_math_library;

/* From now on the graphs of steps have full edges alone; why: in the device's remark. */
void cuda_full_edges(cuda_driver *driver, const char *why);

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
be_status cuda_sequence_step(gpu_driver *driver, const gpu_launch *launches, int count,
                             gpu_sequence **out, be_error *err);
be_status cuda_sequence_replay(gpu_driver *driver, gpu_sequence *sequence, int64_t times,
                               be_error *err);
const char *cuda_sequence_order(const gpu_driver *driver, const gpu_sequence *sequence);
void cuda_sequence_release(gpu_driver *driver, gpu_sequence *sequence);
be_status cuda_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out, be_error *err);
be_status cuda_transfer(gpu_driver *driver, gpu_span device, void *host, bool to_host,
                        be_error *err);
void cuda_feed_end(gpu_driver *driver, gpu_feed *feed);
be_status cuda_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                          be_error *err);
be_status cuda_feed_send(gpu_driver *driver, gpu_feed *feed, int slot, const gpu_copy *copies,
                         int count, be_error *err);
be_status cuda_feed_release(gpu_driver *driver, gpu_feed *feed, int slot, be_error *err);

be_status cuda_join(gpu_driver *driver, be_group *group, const char **implementation,
                    be_error *err);
be_status cuda_join_host(gpu_driver *driver, be_group *group, size_t bytes, be_error *err);
be_status cuda_mean(gpu_driver *driver, gpu_span span, be_error *err);

/* Part from the group, if it has joined one. */
void cuda_leave(cuda_driver *driver);

/* Wait for all work handed over: `what` for people.  In a group the wait ends when the group does.
 */
BE_CHECKED be_status cuda_wait(cuda_driver *driver, const char *what, be_error *err);

/* Where a range of memory is; 0 for an absent operand. */
static inline cuda_address cuda_span_address(gpu_span span)
{
    return span.buffer ? span.buffer + span.offset : 0;
}

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
