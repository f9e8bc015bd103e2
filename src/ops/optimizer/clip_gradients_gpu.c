/* Clipping by the norm on GPUs: the squares by one launch or more, each of some of the chunks, and
 * the factor by one. */
#include "ops/optimizer/clip_gradients.h"

#include "ops/optimizer/optimizer_gpu.h"

#define CHUNK_STEP 2048 /* elements: chunks are multiples of it */
#define CHUNKS 1024     /* at most so many: one group adds up what each of them gives */

extern const gpu_source gpu_source_group_sum, gpu_source_clip_gradients;

static int64_t chunk_of(int64_t count)
{
    int64_t each = (count + CHUNKS - 1) / CHUNKS;
    return (each + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
}

static int64_t chunks_of(int64_t count)
{
    int64_t chunk = chunk_of(count);
    return (count + chunk - 1) / chunk;
}

static be_status clip_gradients_prepare(gpu_call *call, be_error *err)
{
    call->scratch_bytes = (size_t)chunks_of(call->in_shape[0].dim[0]) * sizeof(float);
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_clip_gradients), 256, err,
                   "SUM_PART=%d", 64);
}

/* The squares of chunks [first, last). */
static be_status record_squares(const gpu_call *call, int64_t first, int64_t last,
                                gpu_recorder *recorder, be_error *err)
{
    int64_t count = call->in_shape[0].dim[0], chunk = chunk_of(count), from = first * chunk;
    int64_t here = last * chunk < count ? (last - first) * chunk : count - from;
    gpu_span g = gpu_part(call->in[0], (size_t)from * sizeof(float), (size_t)here * sizeof(float));
    gpu_span parts = gpu_part(call->scratch, (size_t)first * sizeof(float),
                              (size_t)(last - first) * sizeof(float));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "square_chunks", gpu_groups(call, last - first, 1, 8),
                           GPU_ARGUMENTS(gpu_reads(g), gpu_writes(parts), gpu_int(here),
                                         gpu_int(chunk), gpu_int(last - first))},
        err);
}

static be_status clip_gradients_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = call->in_shape[0].dim[0], chunks = chunks_of(count);
    int64_t launches = optimizer_parts(call, count);
    gpu_span parts = gpu_part(call->scratch, 0, (size_t)chunks * sizeof(float));
    if (launches > chunks) launches = chunks;
    for (int64_t i = 0; i < launches; i++)
        TRY(record_squares(call, chunks * i / launches, chunks * (i + 1) / launches, recorder,
                           err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "find_factor", 1,
                           GPU_ARGUMENTS(gpu_reads(parts), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_writes(call->out[1]),
                                         gpu_int(chunks), gpu_int(BE_LOSS_LOG),
                                         gpu_float(((const clip_attrs *)call->attrs)->limit))},
        err);
}

const gpu_kernel GPU_KERNEL(clip_gradients) = {.implementation = GPU_IMPLEMENTATION,
                                               .prepare = clip_gradients_prepare,
                                               .record = clip_gradients_record};
