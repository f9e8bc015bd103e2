/* Activations by formula on GPUs. */
#include "ops/eltwise/activation.h"

#include "backend/gpu/gpu.h"

extern const gpu_source gpu_source_activation, gpu_source_activation_list;

static const char *formula_name(be_activation kind)
{
#define X(id, name) \
    if (kind == BE_##id) return #name;
    ACTIVATION_LIST(X)
#undef X
    MUST(!"be_activate makes no other kind");
    return NULL;
}

static be_status activation_prepare(gpu_call *call, be_error *err)
{
    const char *name = formula_name(((const activation_attrs *)call->attrs)->kind);
    return gpu_use(call, GPU_SOURCES(&gpu_source_activation_list, &gpu_source_activation), 256, err,
                   "NUMBER=float CONSTANT(c)=c##f F=%s_f DF=%s_df", name, name);
}

static be_status activation_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_step){0, "activation", gpu_groups(call, count, call->units[0].group, 8),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                                gpu_int(count))},
                      err);
}

static be_status activation_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_step){0, "activation_backward",
                                  gpu_groups(call, count, call->units[0].group, 8),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                                gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}

const gpu_kernel GPU_KERNEL(activation) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = activation_prepare,
                                           .record = activation_record};
const gpu_kernel GPU_KERNEL(activation_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = activation_prepare,
                                                    .record = activation_backward_record};
