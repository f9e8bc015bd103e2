/* Clipping by the norm on GPUs: three launches. */
#include "ops/optimizer/clip_gradients.h"

#include "backend/gpu/gpu.h"

#define CHUNK 4096

extern const gpu_source gpu_source_group_sum, gpu_source_clip_gradients;

static int64_t chunks_of(const gpu_call *call)
{
    return (call->in_shape[0].dim[0] + CHUNK - 1) / CHUNK;
}

static be_status clip_gradients_prepare(gpu_call *call, be_error *err)
{
    call->scratch_bytes = (size_t)(chunks_of(call) + 1) * sizeof(float);
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_clip_gradients), 256, err,
                   "CHUNK=%d", CHUNK);
}

static be_status clip_gradients_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = call->in_shape[0].dim[0], chunks = chunks_of(call);
    size_t bytes = (size_t)chunks * sizeof(float);
    gpu_span parts = gpu_part(call->scratch, 0, bytes);
    gpu_span factor = gpu_part(call->scratch, bytes, sizeof(float));
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "square_chunks", gpu_groups(call, chunks, 1, 8),
                               GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(parts),
                                             gpu_int(count), gpu_int(chunks))},
                   err));
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "find_factor", 1,
                               GPU_ARGUMENTS(gpu_reads(parts), gpu_reads(call->in[1]),
                                             gpu_writes(call->out[1]), gpu_writes(factor),
                                             gpu_int(chunks), gpu_int(BE_LOSS_LOG),
                                             gpu_float(((const clip_attrs *)call->attrs)->most))},
                   err));
    return gpu_record(
        recorder, call,
        &(gpu_step){0, "scale_gradients", gpu_groups(call, count, call->units[0].group, 8),
                    GPU_ARGUMENTS(gpu_reads(factor), gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(clip_gradients) = {.implementation = GPU_IMPLEMENTATION,
                                               .prepare = clip_gradients_prepare,
                                               .record = clip_gradients_record};
