/* Batch norm on GPUs. */
#include <inttypes.h>

#include "ops/eltwise/activation_gpu.h"
#include "ops/norm/batch_norm.h"

extern const gpu_source gpu_source_activation_list, gpu_source_batch_norm;

#define GROUP_WANTED 256
#define GROUPS_A_UNIT 8

/* What the kernels leave out or put in. */
typedef struct wanted {
    be_activation activation; /* forward */
    bool keep_z, residual, infer;
    bool relu, dx, dresidual; /* backward */
} wanted;

static be_status use(gpu_call *call, const wanted *w, be_error *err)
{
    static const gpu_source *const sources[] = {&gpu_source_activation_list, &gpu_source_batch_norm,
                                                NULL};
    batch_norm_sizes s = batch_norm_size(&call->in_shape[0]);
    char end[ACTIVATION_END_WORDS];
    return gpu_use(call, sources + !activation_needs_x(w->activation), GROUP_WANTED, err,
                   "CHANNELS=%" PRId64 " PIXELS=%" PRId64 " COUNT=%" PRId64
                   " RESIDUAL=%d INFER=%d FROM_RELU=%d DX=%d DRESIDUAL=%d %s",
                   s.channels, s.pixels, s.images * s.pixels, w->residual, w->infer, w->relu, w->dx,
                   w->dresidual, activation_end_words(w->activation, w->keep_z, end));
}

static be_status forward_prepare(gpu_call *call, bool infer, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    return use(call,
               &(wanted){.activation = attrs->activation,
                         .keep_z = attrs->keep_z,
                         .residual = call->in_shape[3].rank >= 0,
                         .infer = infer},
               err);
}

static be_status batch_norm_prepare(gpu_call *call, be_error *err)
{
    return forward_prepare(call, false, err);
}

static be_status batch_norm_infer_prepare(gpu_call *call, be_error *err)
{
    return forward_prepare(call, true, err);
}

static be_status batch_norm_backward_prepare(gpu_call *call, be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    return use(call,
               &(wanted){.relu = call->in_shape[4].rank >= 0,
                         .dx = attrs->need_dx,
                         .dresidual = attrs->need_dresidual},
               err);
}

static int channel_groups(const gpu_call *call)
{
    return gpu_groups(call, call->in_shape[0].dim[1], 1, GROUPS_A_UNIT);
}

static be_status record_apply(const gpu_call *call, gpu_recorder *recorder, gpu_span mean,
                              gpu_span deviation, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->in_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_step){0, "batch_norm_apply",
                                  gpu_groups(call, count, call->units[0].group, GROUPS_A_UNIT),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                                gpu_reads(call->in[2]), gpu_reads(call->in[3]),
                                                gpu_reads(mean), gpu_reads(deviation),
                                                gpu_writes(call->out[0]), gpu_writes(call->out[5]),
                                                gpu_float(attrs->epsilon), gpu_int(count))},
                      err);
}

static be_status batch_norm_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "batch_norm_statistics", channel_groups(call),
                               GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[1]),
                                             gpu_writes(call->out[2]), gpu_writes(call->out[3]),
                                             gpu_writes(call->out[4]), gpu_float(attrs->epsilon),
                                             gpu_float(attrs->momentum))},
                   err));
    return record_apply(call, recorder, call->out[1], call->out[2], err);
}

static be_status batch_norm_infer_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    return record_apply(call, recorder, call->in[4], call->in[5], err);
}

static be_status batch_norm_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->in_shape[0]);
    gpu_span x = call->in[0], mean = call->in[2], inverse = call->in[3], y = call->in[4],
             dy = call->in[5];
    TRY(gpu_record(recorder, call,
                   &(gpu_step){0, "batch_norm_sums", channel_groups(call),
                               GPU_ARGUMENTS(gpu_reads(x), gpu_reads(mean), gpu_reads(inverse),
                                             gpu_reads(y), gpu_reads(dy), gpu_writes(call->out[1]),
                                             gpu_writes(call->out[2]))},
                   err));
    if (!attrs->need_dx && !attrs->need_dresidual) return BE_OK;
    return gpu_record(recorder, call,
                      &(gpu_step){0, "batch_norm_gradients",
                                  gpu_groups(call, count, call->units[0].group, GROUPS_A_UNIT),
                                  GPU_ARGUMENTS(gpu_reads(x), gpu_reads(call->in[1]),
                                                gpu_reads(mean), gpu_reads(inverse), gpu_reads(y),
                                                gpu_reads(dy), gpu_reads(call->out[1]),
                                                gpu_reads(call->out[2]), gpu_writes(call->out[0]),
                                                gpu_writes(call->out[3]), gpu_int(count))},
                      err);
}

const gpu_kernel GPU_KERNEL(batch_norm) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = batch_norm_prepare,
                                           .record = batch_norm_record};
const gpu_kernel GPU_KERNEL(batch_norm_infer) = {.implementation = GPU_IMPLEMENTATION,
                                                 .prepare = batch_norm_infer_prepare,
                                                 .record = batch_norm_infer_record};
const gpu_kernel GPU_KERNEL(batch_norm_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = batch_norm_backward_prepare,
                                                    .record = batch_norm_backward_record};
