/* The end of a turn on GPUs: two launches. */
#include "ops/optimizer/take_turn.h"

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_take_turn;

static be_status take_turn_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_take_turn), 256, err, "%s", "");
}

static be_status take_turn_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int32_t turns = ((const take_turn_attrs *)call->attrs)->turns;
    int64_t count = call->in_shape[TURN_GRADIENTS].dim[0];
    double scale = 1.0 / turns;
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){
                       0, "take_turn_gradients", gpu_groups(call, count, call->units[0].group, 8),
                       GPU_ARGUMENTS(gpu_writes(out[TURN_GRADIENTS]), gpu_writes(out[TURN_SUMS]),
                                     gpu_reads(in[TURN_CLOCK]), gpu_int(count), gpu_int(turns),
                                     gpu_float(scale))},
                   err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "take_turn_end", 1,
            GPU_ARGUMENTS(gpu_writes(out[TURN_CLOCK]), gpu_writes(out[TURN_MEAN_LOSS]),
                          gpu_writes(out[TURN_ALL_CORRECT]), gpu_reads(in[TURN_LOSS]),
                          gpu_reads(in[TURN_CORRECT]), gpu_int(turns), gpu_float(scale))},
        err);
}

const gpu_kernel GPU_KERNEL(take_turn) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = take_turn_prepare, .record = take_turn_record};
