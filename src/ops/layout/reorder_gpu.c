/* Reorder on GPUs: between the plain layout and the channels last, or rows apart. */
#include "backend/gpu/gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

extern const gpu_source gpu_source_reorder;

static be_status reorder_prepare(gpu_call *call, be_error *err)
{
    MUST(call->in_layout[0] != call->out_layout[0]);
    return gpu_use(call, GPU_SOURCES(&gpu_source_reorder), GROUP_WANTED, err, "%s", "");
}

static be_status rows_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t count = shape_elements(x);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "reorder_rows",
                           gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_int(x->dim[x->rank - 1]),
                                         gpu_int(layout_pitch(call->in_layout[0], x)),
                                         gpu_int(layout_pitch(call->out_layout[0], x)))},
        err);
}

static be_status reorder_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (call->in_layout[0] == LAYOUT_ROWS_APART || call->out_layout[0] == LAYOUT_ROWS_APART)
        return rows_record(call, recorder, err);
    const be_shape *x = &call->in_shape[0];
    int64_t count = shape_elements(x), channels = x->dim[1], pixels = x->dim[2] * x->dim[3];
    bool last = call->out_layout[0] == LAYOUT_CHANNELS_LAST;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "reorder", gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]), gpu_int(count),
                          gpu_int(last ? channels : pixels), gpu_int(last ? pixels : channels))},
        err);
}

const gpu_kernel GPU_KERNEL(reorder) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = reorder_prepare, .record = reorder_record};
