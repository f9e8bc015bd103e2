/* Conversion of types on GPUs. */
#include "backend/gpu/gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8
#define VECTOR_BYTES 16

extern const gpu_source gpu_source_cast;

static be_status cast_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_cast), GROUP_WANTED, err, "%s", "");
}

static be_status record_last(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t count = shape_elements(x);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "cast_last", gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]), gpu_int(count),
                          gpu_int(x->dim[1]), gpu_int(x->dim[2] * x->dim[3]))},
        err);
}

/* A parameter in the flat block lies where the one before it ends. */
static be_status cast_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t count = shape_elements(&call->out_shape[0]);
    /* Single pixels, as windows of 1 × 1, lie alike in both layouts. */
    if (call->in_layout[0] != call->out_layout[0] && x->dim[2] * x->dim[3] > 1)
        return record_last(call, recorder, err);
    bool aligned = (call->in[0].offset | call->out[0].offset) % VECTOR_BYTES == 0;
    int64_t items = aligned ? (count + 7) / 8 : count;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, aligned ? "cast_eights" : "cast_each",
            gpu_groups(call, items, call->units[0].group, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(cast) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = cast_prepare, .record = cast_record};
