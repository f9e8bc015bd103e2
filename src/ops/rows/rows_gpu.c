/* Choosing, joining and averaging rows on GPUs.  All sizes are arguments, so that the kernels are
 * compiled once. */
#include "ops/rows/rows.h"

#include "backend/gpu/gpu.h"

#define STRIP 32 /* as in rows.gpu.c */

extern const gpu_source gpu_source_rows;

static be_status rows_prepare(gpu_call *call, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_rows), 256, err, "%s", "");
}

static int groups_for(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, 8);
}

static be_status slice_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    int64_t first = ((const slice_attrs *)call->attrs)->first;
    int64_t at = first * (count / call->out_shape[0].dim[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "slice", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_int(at))},
        err);
}

static be_status slice_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    int64_t first = ((const slice_backward_attrs *)call->attrs)->first;
    int64_t at = first * (count / call->out_shape[0].dim[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "slice_backward", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(count), gpu_int(at),
                                         gpu_int(shape_elements(&call->in_shape[0])))},
        err);
}

static be_status concat_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]), wide[2], step[2];
    for (int k = 0; k < 2; k++) {
        wide[k] = call->in_shape[k].dim[1] * call->in_shape[k].dim[2];
        step[k] = call->in_shape[k].dim[0] == 1 ? 0 : wide[k];
    }
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "concat", groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count), gpu_int(wide[0]),
                                         gpu_int(wide[1]), gpu_int(step[0]), gpu_int(step[1]))},
        err);
}

static be_status concat_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const concat_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in_shape[0];
    int64_t at = 0, whole = dy->dim[1] * dy->dim[2], samples = dy->dim[0];
    for (int k = 0; k < 2; k++) {
        const be_shape *shape = &attrs->shape[k];
        int64_t count = shape_elements(shape), wide = shape->dim[1] * shape->dim[2];
        gpu_unit_launch launch = {0, "concat_part", groups_for(call, count),
                                  GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[k]),
                                                gpu_int(count), gpu_int(samples), gpu_int(wide),
                                                gpu_int(whole), gpu_int(at),
                                                gpu_int(shape->dim[0]))};
        if (call->out_shape[k].rank >= 0) TRY(gpu_record(recorder, call, &launch, err));
        at += wide;
    }
    return BE_OK;
}

/* `wide` is x, or dx. */
static be_status record_rows(const gpu_call *call, const char *kernel, const be_shape *wide,
                             int64_t position, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, kernel, groups_for(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count),
                                         gpu_int(wide->dim[1]), gpu_int(wide->dim[2]),
                                         gpu_int(position), gpu_int(call->in_shape[1].rank >= 0))},
        err);
}

static be_status gather_rows_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t position = ((const gather_rows_attrs *)call->attrs)->position;
    return record_rows(call, "gather_rows", &call->in_shape[0], position, recorder, err);
}

static be_status gather_rows_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                             be_error *err)
{
    int64_t position = ((const gather_rows_backward_attrs *)call->attrs)->position;
    return record_rows(call, "gather_rows_backward", &call->out_shape[0], position, recorder, err);
}

static be_status find_token_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *tokens = &call->in_shape[0];
    int32_t token = ((const find_token_attrs *)call->attrs)->token;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "find_token", groups_for(call, tokens->dim[0]),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(tokens->dim[0]), gpu_int(tokens->dim[1]),
                                         gpu_int(token))},
        err);
}

/* `wide` is x, or dx; `jobs` are shared by the groups. */
static be_status record_mean(const gpu_call *call, const char *kernel, const be_shape *wide,
                             int64_t jobs, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, kernel, gpu_groups(call, jobs, 1, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(wide->dim[0]),
                                         gpu_int(wide->dim[1]), gpu_int(wide->dim[2]))},
        err);
}

static be_status mean_tokens_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    int64_t jobs = x->dim[0] * ((x->dim[2] + STRIP - 1) / STRIP);
    return record_mean(call, "mean_tokens", x, jobs, recorder, err);
}

static be_status mean_tokens_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                             be_error *err)
{
    const be_shape *dx = &call->out_shape[0];
    return record_mean(call, "mean_tokens_backward", dx, dx->dim[0] * dx->dim[1], recorder, err);
}

#define ROWS_KERNEL(name)                 \
    const gpu_kernel GPU_KERNEL(name) = { \
        .implementation = GPU_IMPLEMENTATION, .prepare = rows_prepare, .record = name##_record};

ROWS_KERNEL(slice)
ROWS_KERNEL(slice_backward)
ROWS_KERNEL(concat)
ROWS_KERNEL(concat_backward)
ROWS_KERNEL(gather_rows)
ROWS_KERNEL(gather_rows_backward)
ROWS_KERNEL(find_token)
ROWS_KERNEL(mean_tokens)
ROWS_KERNEL(mean_tokens_backward)
