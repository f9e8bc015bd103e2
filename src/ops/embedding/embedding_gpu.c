/* Rows of a table on GPUs.  Back, each token is compared with all others (a batch has some
 * thousand), which sorts them without atomics; then each row of the table is summed in the order of
 * its tokens. */
#include "ops/embedding/embedding.h"

#include <inttypes.h>

#include "backend/gpu/gpu.h"

#define GROUPS_A_UNIT 8

extern const gpu_source gpu_source_embedding;

static be_status embedding_use(gpu_call *call, const be_shape *table, int64_t padding,
                               be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_embedding), 256, err,
                   "ROWS=%" PRId64 " WIDTH=%" PRId64 "u PADDING=%" PRId64, table->dim[0],
                   table->dim[1], padding);
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, GROUPS_A_UNIT);
}

static be_status embedding_prepare(gpu_call *call, be_error *err)
{
    return embedding_use(call, &call->in_shape[1], EMBEDDING_NO_PADDING, err);
}

static be_status embedding_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_step){0, "embedding", groups_for(call, count),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                                gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

/* Scratch: the sorted tokens, their places, and where each row's begin. */
static be_status embedding_backward_prepare(gpu_call *call, be_error *err)
{
    const embedding_backward_attrs *attrs = call->attrs;
    int64_t tokens = shape_elements(&call->in_shape[0]);
    call->scratch_bytes = (size_t)(2 * tokens + attrs->rows + 1) * sizeof(int32_t);
    return embedding_use(call, &call->out_shape[0], attrs->padding, err);
}

static be_status embedding_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                           be_error *err)
{
    int64_t tokens = shape_elements(&call->in_shape[0]), rows = call->out_shape[0].dim[0];
    int64_t count = shape_elements(&call->out_shape[0]);
    size_t some = (size_t)tokens * sizeof(int32_t), all = (size_t)(rows + 1) * sizeof(int32_t);
    gpu_span sorted = gpu_part(call->scratch, 0, some), order = gpu_part(call->scratch, some, some);
    gpu_span starts = gpu_part(call->scratch, 2 * some, all);
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "embedding_sort", groups_for(call, tokens),
                               GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(sorted),
                                             gpu_writes(order), gpu_int(tokens))},
                   err));
    TRY(gpu_record(
        recorder, call,
        &(gpu_step){0, "embedding_starts", groups_for(call, rows + 1),
                    GPU_ARGUMENTS(gpu_reads(sorted), gpu_writes(starts), gpu_int(tokens))},
        err));
    return gpu_record(
        recorder, call,
        &(gpu_step){0, "embedding_backward", groups_for(call, count),
                    GPU_ARGUMENTS(gpu_reads(call->in[1]), gpu_reads(order), gpu_reads(starts),
                                  gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(embedding) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = embedding_prepare, .record = embedding_record};
const gpu_kernel GPU_KERNEL(embedding_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                   .prepare = embedding_backward_prepare,
                                                   .record = embedding_backward_record};
