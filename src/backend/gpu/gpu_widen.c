/* See gpu_widen.h. */
#include "backend/gpu/gpu_widen.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8
#define ALIGN 256 /* of parts of scratch */

extern const gpu_source gpu_source_widen;

/* The operands that are converted (bit i), of what the op lets be bf16. */
static unsigned widened_inputs(const gpu_kernel *kernel, const gpu_call *call)
{
    const be_op *op = call->node->op;
    unsigned operands = 0;
    for (int i = 0; i < OP_MAX_IN; i++)
        if ((op->narrow_in | op->narrow_along) >> i & 1 && call->in_shape[i].rank >= 0 &&
            call->in_shape[i].dtype == BE_BF16)
            operands |= 1u << i;
    return kernel->is_wide ? operands : 0;
}

static unsigned widened_outputs(const gpu_kernel *kernel, const gpu_call *call)
{
    return kernel->is_wide ? call->node->narrow : 0;
}

static void set_types(gpu_call *call, unsigned inputs, unsigned outputs, be_dtype dtype)
{
    for (int i = 0; i < OP_MAX_IN; i++)
        if (inputs >> i & 1) call->in_shape[i].dtype = dtype;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (outputs >> o & 1) call->out_shape[o].dtype = dtype;
}

static size_t take(gpu_call *call, const be_shape *shape)
{
    size_t at = (call->scratch_bytes + ALIGN - 1) / ALIGN * ALIGN;
    call->scratch_bytes = at + (size_t)shape_elements(shape) * sizeof(float);
    return at;
}

be_status gpu_kernel_prepare(const gpu_kernel *kernel, gpu_call *call, be_error *err)
{
    unsigned inputs = widened_inputs(kernel, call), outputs = widened_outputs(kernel, call);
    if (!(inputs | outputs)) return kernel->prepare(call, err);
    set_types(call, inputs, outputs, BE_F32);
    be_status status = kernel->prepare(call, err);
    set_types(call, inputs, outputs, BE_BF16);
    TRY(status);
    for (int i = 0; i < OP_MAX_IN; i++)
        if (inputs >> i & 1) call->wide_in[i] = take(call, &call->in_shape[i]);
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (outputs >> o & 1) call->wide_out[o] = take(call, &call->out_shape[o]);
    call->widen_unit = call->unit_count;
    return gpu_use(call, GPU_SOURCES(&gpu_source_widen), GROUP_WANTED, err, "%s", "");
}

static be_status convert(const gpu_call *call, gpu_recorder *recorder, const char *kernel,
                         const be_shape *shape, const gpu_span spans[2], be_error *err)
{
    int64_t count = shape_elements(shape);
    int group = call->units[call->widen_unit].group;
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){
                          call->widen_unit, kernel,
                          gpu_groups(call, (count + 7) / 8, group, GROUPS_PER_UNIT),
                          GPU_ARGUMENTS(gpu_reads(spans[0]), gpu_writes(spans[1]), gpu_int(count))},
                      err);
}

static gpu_span wide_part(const gpu_call *call, size_t at, const be_shape *shape)
{
    return gpu_part(call->scratch, at, (size_t)shape_elements(shape) * sizeof(float));
}

be_status gpu_kernel_record(const gpu_kernel *kernel, const gpu_call *call, gpu_recorder *recorder,
                            be_error *err)
{
    unsigned inputs = widened_inputs(kernel, call), outputs = widened_outputs(kernel, call);
    gpu_call wide = *call;
    if (!(inputs | outputs)) return kernel->record(call, recorder, err);
    set_types(&wide, inputs, outputs, BE_F32);
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (!(inputs >> i & 1)) continue;
        wide.in[i] = wide_part(call, call->wide_in[i], &call->in_shape[i]);
        TRY(convert(call, recorder, "widen", &call->in_shape[i],
                    (gpu_span[]){call->in[i], wide.in[i]}, err));
    }
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (outputs >> o & 1) wide.out[o] = wide_part(call, call->wide_out[o], &call->out_shape[o]);
    TRY(kernel->record(&wide, recorder, err));
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (outputs >> o & 1)
            TRY(convert(call, recorder, "narrow", &call->out_shape[o],
                        (gpu_span[]){wide.out[o], call->out[o]}, err));
    return BE_OK;
}
