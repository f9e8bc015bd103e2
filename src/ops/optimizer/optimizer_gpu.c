/* The optimizers on GPUs: one launch over the flat parameter block. */
#include <math.h>

#include "backend/gpu/gpu.h"
#include "ops/optimizer/optimizer.h"

extern const gpu_source gpu_source_optimizer;

static be_status optimizer_prepare(gpu_call *call, be_error *err)
{
    char words[64];
    return gpu_use(call, GPU_SOURCES(&gpu_source_optimizer), 256, err, "NARROWS=%d CLIPS=%d %s",
                   call->out_shape[OPTIMIZER_NARROW_OUT].rank >= 0,
                   call->in_shape[OPTIMIZER_FACTOR].rank >= 0,
                   gpu_type_words("NARROW", BE_BF16, words));
}

/* Four elements an item and round.  Many more groups than fit at a time: so few of them are left
 * over in the last turn. */
static int groups_of(const gpu_call *call)
{
    return gpu_groups(call, (call->in_shape[0].dim[0] + 3) / 4, call->units[0].group, 64);
}

static be_status schedule_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_step){0, "schedule", 1,
                    GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                  gpu_writes(call->out[0]), gpu_int(call->in_shape[1].dim[0] - 1))},
        err);
}

static be_status sgd_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const sgd_attrs *a = call->attrs;
    int64_t count = call->in_shape[0].dim[0];
    if (call->in_shape[4].rank < 0)
        return gpu_record(
            recorder, call,
            &(gpu_step){0, "sgd_plain", groups_of(call),
                        GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_reads(call->in[1]),
                                      gpu_reads(call->in[2]), gpu_reads(call->in[OPTIMIZER_FACTOR]),
                                      gpu_writes(call->out[OPTIMIZER_NARROW_OUT]), gpu_int(count),
                                      gpu_float(a->weight_decay), gpu_int(a->decayed))},
            err);
    return gpu_record(
        recorder, call,
        &(gpu_step){
            0, "sgd_momentum", groups_of(call),
            GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_reads(call->in[1]), gpu_reads(call->in[2]),
                          gpu_reads(call->in[OPTIMIZER_FACTOR]), gpu_writes(call->out[1]),
                          gpu_writes(call->out[OPTIMIZER_NARROW_OUT]), gpu_int(count),
                          gpu_float(a->momentum), gpu_float(a->weight_decay), gpu_int(a->decayed))},
        err);
}

static be_status adam_any_record(const gpu_call *call, gpu_recorder *recorder, bool decoupled,
                                 be_error *err)
{
    const adam_attrs *a = call->attrs;
    double l2 = decoupled ? 0.0 : a->weight_decay, decay = decoupled ? a->weight_decay : 0.0;
    return gpu_record(
        recorder, call,
        &(gpu_step){
            0, "adam", groups_of(call),
            GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_reads(call->in[1]), gpu_reads(call->in[2]),
                          gpu_reads(call->in[3]), gpu_reads(call->in[OPTIMIZER_FACTOR]),
                          gpu_writes(call->out[1]), gpu_writes(call->out[2]),
                          gpu_writes(call->out[OPTIMIZER_NARROW_OUT]),
                          gpu_int(call->in_shape[0].dim[0]), gpu_float(a->beta1),
                          gpu_float(a->beta2), gpu_float(1.0 - a->beta1), gpu_float(1.0 - a->beta2),
                          gpu_float(log(a->beta1)), gpu_float(log(a->beta2)), gpu_float(a->epsilon),
                          gpu_float(l2), gpu_float(decay), gpu_int(a->decayed))},
        err);
}

static be_status adam_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return adam_any_record(call, recorder, false, err);
}

static be_status adamw_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return adam_any_record(call, recorder, true, err);
}

const gpu_kernel GPU_KERNEL(schedule) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = schedule_record};
const gpu_kernel GPU_KERNEL(sgd) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = sgd_record};
const gpu_kernel GPU_KERNEL(adam) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = adam_record};
const gpu_kernel GPU_KERNEL(adamw) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = adamw_record};
