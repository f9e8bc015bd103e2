/* The linear layer on CLBlast: each product is the library's; the bias, activations and what
 * flows back through them are our own kernels'. */
#include "ops/eltwise/activation_gpu.h"
#include "ops/matmul/linear.h"
#include "ops/matmul/product_clblast.h"
#include "ops/reduce/upstream_gpu.h"

extern const gpu_source gpu_source_eltwise;

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

/* y [rows, out] = x [rows, in] · wᵀ */
static be_status forward_prepare(gpu_call *call, be_error *err)
{
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    clblast_product product = {
        .rows = s.rows, .columns = s.out, .depth = s.in, .transpose_b = !s.input_first};
    be_activation kind = ((const linear_attrs *)call->attrs)->activation;
    TRY(arena_alloc(call->memory, &call->state, sizeof(clblast_task), err));
    if (kind == BE_RELU || call->in_shape[2].rank >= 0)
        TRY(gpu_use(call, GPU_SOURCES(&gpu_source_eltwise), GROUP_WANTED, err, "%s", ""));
    if (activation_needs_x(kind)) TRY(gpu_activation_prepare(call, kind, BE_F32, err));
    return clblast_task_prepare(call, &product, call->state, err);
}

static be_status forward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    be_activation kind = ((const linear_attrs *)call->attrs)->activation;
    gpu_span z = call->out_shape[1].rank >= 0 ? call->out[1] : call->out[0], b = call->in[2];
    const be_shape *shape = &call->out_shape[0];
    int64_t count = shape_elements(shape), columns = shape->dim[shape->rank - 1];
    clblast_operands operands = {.a = call->in[0], .b = call->in[1], .y = z};
    TRY(clblast_task_record(call, recorder, call->state, &operands, err));
    if (!call->unit_count) return BE_OK;
    int groups = gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT);
    gpu_unit_launch bias = {0, "bias_in_place", groups,
                            GPU_ARGUMENTS(gpu_reads(b), gpu_writes(z), gpu_int(count),
                                          gpu_int(columns), gpu_int(kind == BE_RELU))};
    gpu_unit_launch plain = {0, "relu_in_place", groups,
                             GPU_ARGUMENTS(gpu_writes(z), gpu_int(count))};
    bool has_bias = call->in_shape[2].rank >= 0;
    if (has_bias || kind == BE_RELU)
        TRY(gpu_record(recorder, call, has_bias ? &bias : &plain, err));
    if (!activation_needs_x(kind)) return BE_OK;
    return gpu_activation_record(call, recorder, call->unit_count - 1, z, call->out[0], err);
}

typedef struct backward_plan {
    gpu_upstream upstream;
    clblast_task dx, dw;
} backward_plan;

/* dx [rows, in] = dz [rows, out] · w, dw [out, in] = dzᵀ · x, or as [in, out] xᵀ · dz */
static be_status backward_prepare(gpu_call *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    clblast_product dx = {.rows = s.rows,
                          .columns = s.in,
                          .depth = s.out,
                          .transpose_b = s.input_first,
                          .add = call->in_shape[LINEAR_BACK_SUM].rank >= 0};
    clblast_product dw = {.rows = s.input_first ? s.in : s.out,
                          .columns = s.input_first ? s.out : s.in,
                          .depth = s.rows,
                          .transpose_a = true};
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    plan->upstream =
        (gpu_upstream){.shape = shape_make(call->in_shape[3].dtype, 2, s.rows, s.out, 0, 0),
                       .masked = call->in_shape[2].rank >= 0,
                       .nan_stops = true,
                       .summed = attrs->has_bias != 0};
    if (attrs->need_dx) TRY(clblast_task_prepare(call, &dx, &plan->dx, err));
    TRY(clblast_task_prepare(call, &dw, &plan->dw, err));
    return gpu_upstream_prepare(call, &plan->upstream, &call->scratch_bytes, err);
}

static be_status backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    backward_plan *plan = call->state;
    gpu_span dz = call->in[3];
    TRY(gpu_upstream_record(call, recorder, &plan->upstream, &dz, err));
    clblast_operands dx = {.a = dz, .b = call->in[1], .y = call->out[0]};
    clblast_operands dw = {.a = dz, .b = call->in[0], .y = call->out[1]};
    if (attrs->input_first) dw = (clblast_operands){.a = dw.b, .b = dz, .y = dw.y};
    if (attrs->need_dx) TRY(clblast_task_record(call, recorder, &plan->dx, &dx, err));
    return clblast_task_record(call, recorder, &plan->dw, &dw, err);
}

const gpu_kernel CLBLAST_KERNEL(linear) = {.implementation = "CLBlast",
                                           .is_wide = true,
                                           .prepare = forward_prepare,
                                           .record = forward_record};
const gpu_kernel CLBLAST_KERNEL(linear_backward) = {.implementation = "CLBlast",
                                                    .is_wide = true,
                                                    .prepare = backward_prepare,
                                                    .record = backward_record};
