/* Rows of a table on GPUs.  Back, each token is compared with all others (a batch has some
 * thousand), which sorts them without atomics; then the sorted ones are added chunk by chunk, so
 * that a token of many places is the work of many items, and its parts are joined in their order.
 * Where no sum is given, the table is cleared before: that waits for nothing of this. */
#include "ops/embedding/embedding.h"

#include <inttypes.h>

#include "ops/reduce/upstream_gpu.h"

#define GROUPS_PER_UNIT 8
#define RANKS 8 /* as in embedding.gpu.c */

#define CHUNK 8       /* as in embedding.gpu.c */
#define JOIN_STRIP 16 /* as in embedding.gpu.c */
#define JOIN_GROUPS_A_UNIT 16

extern const gpu_source gpu_source_embedding, gpu_source_group_sum, gpu_source_words;

static int64_t words_of(int64_t width)
{
    return width % 8 == 0 ? width / 8 : width;
}

static be_status embedding_use(gpu_call *call, const be_shape *table, int64_t padding, bool adds,
                               be_error *err)
{
    return gpu_use(call,
                   GPU_SOURCES(&gpu_source_words, &gpu_source_group_sum, &gpu_source_embedding),
                   256, err, "ROWS=%" PRId64 "u WIDTH=%" PRId64 "u PADDING=%" PRId64 " ADD=%d",
                   table->dim[0], table->dim[1], padding, adds);
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, GROUPS_PER_UNIT);
}

static be_status embedding_prepare(gpu_call *call, be_error *err)
{
    return embedding_use(call, &call->in_shape[1], EMBEDDING_NO_PADDING, false, err);
}

static be_status embedding_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->in_shape[0]) * words_of(call->in_shape[1].dim[1]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "embedding", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

/* Where these lie in scratch: the sorted tokens, their places, the parts. */
typedef struct backward_places {
    size_t sorted, order, parts, all;
    int64_t chunks, parts_bytes;
} backward_places;

static backward_places places_of(const gpu_call *call)
{
    int64_t tokens = shape_elements(&call->in_shape[0]);
    const be_shape *table = &call->out_shape[0];
    size_t some = (size_t)tokens * sizeof(int32_t);
    backward_places p = {.chunks = (tokens + CHUNK - 1) / CHUNK};
    p.parts_bytes = 2 * p.chunks * table->dim[1] * (int64_t)sizeof(float);
    p.sorted = gpu_scratch_take(&p.all, some);
    p.order = gpu_scratch_take(&p.all, some);
    p.parts = gpu_scratch_take(&p.all, (size_t)p.parts_bytes);
    return p;
}

static be_status embedding_backward_prepare(gpu_call *call, be_error *err)
{
    const embedding_backward_attrs *attrs = call->attrs;
    call->scratch_bytes = places_of(call).all;
    return embedding_use(call, &call->out_shape[0], attrs->padding,
                         call->in_shape[EMBEDDING_BACK_SUM].rank >= 0, err);
}

static be_status record_clear(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t elements = shape_elements(&call->out_shape[0]);
    if (call->in_shape[EMBEDDING_BACK_SUM].rank >= 0) return BE_OK;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "embedding_clear", groups_for(call, (elements + 3) / 4),
                           GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_int(elements))},
        err);
}

static be_status embedding_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                           be_error *err)
{
    backward_places p = places_of(call);
    int64_t tokens = shape_elements(&call->in_shape[0]), width = call->out_shape[0].dim[1];
    int64_t count = p.chunks * words_of(width);
    int64_t strips = (words_of(width) + JOIN_STRIP - 1) / JOIN_STRIP;
    size_t some = (size_t)tokens * sizeof(int32_t);
    gpu_span sorted = gpu_part(call->scratch, p.sorted, some);
    gpu_span order = gpu_part(call->scratch, p.order, some);
    gpu_span parts = gpu_part(call->scratch, p.parts, (size_t)p.parts_bytes);
    TRY(record_clear(call, recorder, err));
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){0, "embedding_sort",
                                      gpu_groups(call, tokens, RANKS, GROUPS_PER_UNIT),
                                      GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(sorted),
                                                    gpu_writes(order), gpu_int(tokens))},
                   err));
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "embedding_chunks", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[1]), gpu_reads(sorted),
                                         gpu_reads(order), gpu_writes(call->out[0]),
                                         gpu_writes(parts), gpu_int(tokens), gpu_int(count))},
        err));
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){0, "embedding_join",
                                         gpu_groups(call, p.chunks * strips, 1, JOIN_GROUPS_A_UNIT),
                                         GPU_ARGUMENTS(gpu_reads(sorted), gpu_reads(parts),
                                                       gpu_writes(call->out[0]), gpu_int(tokens),
                                                       gpu_int(p.chunks))},
                      err);
}

const gpu_kernel GPU_KERNEL(embedding) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = embedding_prepare, .record = embedding_record};
const gpu_kernel GPU_KERNEL(embedding_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                   .prepare = embedding_backward_prepare,
                                                   .record = embedding_backward_record};
