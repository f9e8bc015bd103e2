/* Sums over any dimensions, and the way back, on GPUs. */
#include <inttypes.h>

#include "backend/gpu/gpu.h"
#include "ops/eltwise/broadcast.h"
#include "ops/reduce/sum_to.h"

#define PART_ELEMENTS 64 /* at least, so that a part is worth an item */
#define PARTS_MOST 256   /* … and joining them takes no longer than they do */

extern const gpu_source gpu_source_sum_to;

static int64_t parts_of(const gpu_call *call)
{
    int64_t each = shape_elements(&call->in_shape[0]) / shape_elements(&call->out_shape[0]);
    int64_t parts = each / PART_ELEMENTS;
    return parts < 1 ? 1 : parts > PARTS_MOST ? PARTS_MOST : parts;
}

static be_status use(gpu_call *call, const be_shape *large, const be_shape *small, int64_t parts,
                     be_error *err)
{
    _Static_assert(BE_MAX_RANK == 4, "sum_to.gpu.c knows four dimensions");
    broadcast at = broadcast_of(large, small);
    int64_t one[4], many[4];
    for (int d = 0; d < 4; d++) {
        one[d] = at.stride[d] ? at.dim[d] : 1;
        many[d] = at.stride[d] ? 1 : at.dim[d];
    }
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_to), 256, err,
                   "PARTS=%" PRId64 "u WIDE1=%" PRId64 "u WIDE2=%" PRId64 "u WIDE3=%" PRId64
                   "u KEPT0=%" PRId64 "u KEPT1=%" PRId64 "u KEPT2=%" PRId64 "u KEPT3=%" PRId64
                   "u MANY0=%" PRId64 "u MANY1=%" PRId64 "u MANY2=%" PRId64 "u MANY3=%" PRId64 "u",
                   parts, at.dim[1], at.dim[2], at.dim[3], one[0], one[1], one[2], one[3], many[0],
                   many[1], many[2], many[3]);
}

static be_status sum_to_prepare(gpu_call *call, be_error *err)
{
    int64_t parts = parts_of(call);
    call->scratch_bytes = (size_t)(parts * shape_elements(&call->out_shape[0])) * sizeof(float);
    return use(call, &call->in_shape[0], &call->out_shape[0], parts, err);
}

static be_status expand_prepare(gpu_call *call, be_error *err)
{
    return use(call, &call->out_shape[0], &call->in_shape[0], 1, err);
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, 8);
}

static be_status sum_to_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const sum_to_attrs *attrs = call->attrs;
    int64_t sums = shape_elements(&call->out_shape[0]), count = sums * parts_of(call);
    gpu_span parts = gpu_part(call->scratch, 0, (size_t)count * sizeof(float));
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){
                       0, "sum_to_parts", groups_for(call, count),
                       GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(parts), gpu_int(count))},
                   err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "sum_to_join", groups_for(call, sums),
                           GPU_ARGUMENTS(gpu_reads(parts), gpu_writes(call->out[0]), gpu_int(sums),
                                         gpu_float((double)attrs->scale))},
        err);
}

static be_status expand_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const sum_to_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "expand", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_float((double)attrs->scale))},
        err);
}

const gpu_kernel GPU_KERNEL(sum_to) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = sum_to_prepare, .record = sum_to_record};
const gpu_kernel GPU_KERNEL(expand) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = expand_prepare, .record = expand_record};
