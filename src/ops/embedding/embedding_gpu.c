/* Rows of a table on GPUs.  Back, each token is compared with all others (a batch has some
 * thousand), which sorts them without atomics; then each row of the table is summed in the order of
 * its tokens.  Rows of a small table have many tokens each, which several items share. */
#include "ops/embedding/embedding.h"

#include <inttypes.h>

#include "ops/reduce/sum_columns_gpu.h"
#include "ops/reduce/upstream_gpu.h"

#define GROUPS_A_UNIT 8
#define TOKENS_AN_ITEM 32
#define PARTS_MOST 64

extern const gpu_source gpu_source_embedding, gpu_source_group_sum, gpu_source_words;

static be_status embedding_use(gpu_call *call, const be_shape *table, int64_t padding,
                               int64_t parts, be_error *err)
{
    return gpu_use(
        call, GPU_SOURCES(&gpu_source_words, &gpu_source_group_sum, &gpu_source_embedding), 256,
        err, "ROWS=%" PRId64 "u WIDTH=%" PRId64 "u PADDING=%" PRId64 " PARTS=%" PRId64,
        table->dim[0], table->dim[1], padding, parts);
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, GROUPS_A_UNIT);
}

static be_status embedding_prepare(gpu_call *call, be_error *err)
{
    return embedding_use(call, &call->in_shape[1], EMBEDDING_NO_PADDING, 1, err);
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

/* Of how many sums the gradient of a row is made. */
static int64_t parts_of(const gpu_call *call)
{
    int64_t tokens = shape_elements(&call->in_shape[0]), rows = call->out_shape[0].dim[0];
    int64_t parts = tokens / (rows * TOKENS_AN_ITEM);
    return parts < 1 ? 1 : parts > PARTS_MOST ? PARTS_MOST : parts;
}

/* Where these lie in scratch: the sorted tokens, their places, where each row's begin, the parts.
 */
typedef struct backward_places {
    size_t sorted, order, starts, parts, all;
} backward_places;

static backward_places places_of(const gpu_call *call)
{
    size_t tokens = (size_t)shape_elements(&call->in_shape[0]);
    backward_places p = {0};
    int64_t parts = parts_of(call);
    p.sorted = gpu_scratch_take(&p.all, tokens * sizeof(int32_t));
    p.order = gpu_scratch_take(&p.all, tokens * sizeof(int32_t));
    p.starts = gpu_scratch_take(&p.all, ((size_t)call->out_shape[0].dim[0] + 1) * sizeof(int32_t));
    if (parts > 1)
        p.parts = gpu_scratch_take(&p.all, (size_t)(parts * shape_elements(&call->out_shape[0])) *
                                               sizeof(float));
    return p;
}

static be_status embedding_backward_prepare(gpu_call *call, be_error *err)
{
    const embedding_backward_attrs *attrs = call->attrs;
    int64_t parts = parts_of(call);
    call->scratch_bytes = places_of(call).all;
    TRY(embedding_use(call, &call->out_shape[0], attrs->padding, parts, err));
    if (parts == 1) return BE_OK;
    return gpu_sum_parts_prepare(call, parts, shape_elements(&call->out_shape[0]), err);
}

static be_status record_sort(const gpu_call *call, gpu_recorder *recorder, gpu_span sorted,
                             gpu_span order, gpu_span starts, be_error *err)
{
    int64_t tokens = shape_elements(&call->in_shape[0]), rows = call->out_shape[0].dim[0];
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "embedding_sort", gpu_groups(call, tokens, 1, GROUPS_A_UNIT),
                               GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(sorted),
                                             gpu_writes(order), gpu_int(tokens))},
                   err));
    return gpu_record(
        recorder, call,
        &(gpu_step){0, "embedding_starts", groups_for(call, rows + 1),
                    GPU_ARGUMENTS(gpu_reads(sorted), gpu_writes(starts), gpu_int(tokens))},
        err);
}

static be_status embedding_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                           be_error *err)
{
    backward_places p = places_of(call);
    int64_t tokens = shape_elements(&call->in_shape[0]),
            count = shape_elements(&call->out_shape[0]);
    int64_t parts = parts_of(call), rows = call->out_shape[0].dim[0], width = count / rows;
    size_t some = (size_t)tokens * sizeof(int32_t);
    gpu_span order = gpu_part(call->scratch, p.order, some), to = call->out[0];
    gpu_span starts = gpu_part(call->scratch, p.starts, (size_t)(rows + 1) * sizeof(int32_t));
    TRY(record_sort(call, recorder, gpu_part(call->scratch, p.sorted, some), order, starts, err));
    if (parts > 1) to = gpu_part(call->scratch, p.parts, (size_t)(parts * count) * sizeof(float));
    int64_t items = parts * rows * (width % 8 == 0 ? width / 8 : width);
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "embedding_backward", groups_for(call, items),
                               GPU_ARGUMENTS(gpu_reads(call->in[1]), gpu_reads(order),
                                             gpu_reads(starts), gpu_writes(to), gpu_int(items))},
                   err));
    if (parts == 1) return BE_OK;
    return gpu_sum_parts_record(call, recorder, 1, (const int64_t[]){parts, count},
                                (gpu_span[]){to, call->out[0]}, err);
}

const gpu_kernel GPU_KERNEL(embedding) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = embedding_prepare, .record = embedding_record};
const gpu_kernel GPU_KERNEL(embedding_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                   .prepare = embedding_backward_prepare,
                                                   .record = embedding_backward_record};
