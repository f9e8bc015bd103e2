/* Layer normalisation on GPUs: a launch forward; back one that makes dx and parts of the sums over
 * rows, and two that join these in a fixed order. */
#include <inttypes.h>

#include "backend/gpu/gpu.h"
#include "ops/norm/layer_norm.h"

#define GROUPS_A_UNIT 8

extern const gpu_source gpu_source_group_sum, gpu_source_layer_norm, gpu_source_sum_parts;

/* Work items for a row: no more than it has elements, rounded up to a warp. */
static int group_for(const gpu_call *call, int64_t width)
{
    return gpu_group(call, width >= 256 ? 256 : (int)(width + 31) / 32 * 32);
}

static be_status layer_norm_prepare(gpu_call *call, be_error *err)
{
    int64_t width = layer_norm_width(&call->in_shape[0]);
    int group = group_for(call, width);
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_layer_norm), group, err,
                   "WIDTH=%" PRId64 " RESIDUAL=%d PARTS=1 ROWS_A_PART=1 NEED_DX=0 HAS_DSUM=0",
                   width, call->in_shape[LAYER_NORM_RESIDUAL].rank >= 0);
}

static be_status layer_norm_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int64_t rows = layer_norm_rows(&call->in_shape[0]);
    float epsilon = ((const layer_norm_attrs *)call->attrs)->epsilon;
    return gpu_record(
        recorder, call,
        &(gpu_step){0, "layer_norm", gpu_groups(call, rows, 1, GROUPS_A_UNIT),
                    GPU_ARGUMENTS(gpu_reads(in[LAYER_NORM_X]), gpu_reads(in[LAYER_NORM_WEIGHT]),
                                  gpu_reads(in[LAYER_NORM_BIAS]),
                                  gpu_reads(in[LAYER_NORM_RESIDUAL]), gpu_writes(out[LAYER_NORM_Y]),
                                  gpu_writes(out[LAYER_NORM_SUM]), gpu_writes(out[LAYER_NORM_MEAN]),
                                  gpu_writes(out[LAYER_NORM_RSTD]), gpu_int(rows),
                                  gpu_float((double)epsilon))},
        err);
}

/* The rows of a part: enough parts to keep the device busy, and no more, since they are joined. */
static int64_t rows_a_part(const gpu_call *call)
{
    int64_t rows = layer_norm_rows(&call->in_shape[0]), most = (int64_t)call->facts->units * 4;
    return (rows + most - 1) / most;
}

static int64_t parts_of(const gpu_call *call)
{
    return (layer_norm_rows(&call->in_shape[0]) + rows_a_part(call) - 1) / rows_a_part(call);
}

static int lanes_of(const gpu_call *call)
{
    int64_t parts = parts_of(call);
    return parts >= 64 ? 16 : parts >= 16 ? 4 : 1;
}

static be_status layer_norm_backward_prepare(gpu_call *call, be_error *err)
{
    int64_t width = layer_norm_width(&call->in_shape[0]), parts = parts_of(call);
    int group = group_for(call, width), lanes = lanes_of(call);
    call->scratch_bytes = (size_t)(2 * parts * width) * sizeof(float);
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_layer_norm), group, err,
                "WIDTH=%" PRId64 " RESIDUAL=0 PARTS=%" PRId64 " ROWS_A_PART=%" PRId64
                " NEED_DX=%d HAS_DSUM=%d",
                width, parts, rows_a_part(call), call->out_shape[LAYER_NORM_BACK_DX].rank >= 0,
                call->in_shape[LAYER_NORM_BACK_DSUM].rank >= 0));
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_parts), 256, err,
                   "PARTS=%" PRId64 " WIDTH=%" PRId64
                   " LANES=%d OUTS=%d ONES=0 BIAS=0 ADD=0 RELU=0 FORMULA=0"
                   " ROWS=1 ACROSS=0",
                   parts, width, lanes, 256 / lanes);
}

static be_status record_join(const gpu_call *call, gpu_recorder *recorder, gpu_span parts,
                             gpu_span out, be_error *err)
{
    const gpu_span none = {0};
    int64_t width = layer_norm_width(&call->in_shape[0]);
    return gpu_record(recorder, call,
                      &(gpu_step){1, "sum_parts",
                                  gpu_groups(call, width, 256 / lanes_of(call), GROUPS_A_UNIT),
                                  GPU_ARGUMENTS(gpu_reads(parts), gpu_reads(none), gpu_writes(out),
                                                gpu_writes(none), gpu_int(width))},
                      err);
}

static be_status layer_norm_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int64_t rows = layer_norm_rows(&call->in_shape[0]), parts = parts_of(call);
    size_t half = (size_t)(parts * layer_norm_width(&call->in_shape[0])) * sizeof(float);
    gpu_span dweights = gpu_part(call->scratch, 0, half);
    gpu_span dbiases = gpu_part(call->scratch, half, half);
    TRY(gpu_record(
        recorder, call,
        &(gpu_step){
            0, "layer_norm_backward", gpu_groups(call, parts, 1, GROUPS_A_UNIT),
            GPU_ARGUMENTS(gpu_reads(in[LAYER_NORM_BACK_X]), gpu_reads(in[LAYER_NORM_BACK_WEIGHT]),
                          gpu_reads(in[LAYER_NORM_BACK_DY]), gpu_reads(in[LAYER_NORM_BACK_MEAN]),
                          gpu_reads(in[LAYER_NORM_BACK_RSTD]), gpu_reads(in[LAYER_NORM_BACK_DSUM]),
                          gpu_writes(out[LAYER_NORM_BACK_DX]), gpu_writes(dweights),
                          gpu_writes(dbiases), gpu_int(rows))},
        err));
    TRY(record_join(call, recorder, dweights, out[LAYER_NORM_BACK_DWEIGHT], err));
    return record_join(call, recorder, dbiases, out[LAYER_NORM_BACK_DBIAS], err);
}

const gpu_kernel GPU_KERNEL(layer_norm) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = layer_norm_prepare,
                                           .record = layer_norm_record};
const gpu_kernel GPU_KERNEL(layer_norm_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = layer_norm_backward_prepare,
                                                    .record = layer_norm_backward_record};
