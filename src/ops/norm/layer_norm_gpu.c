/* Layer normalisation on GPUs: a launch forward; back one that makes dx and parts of the sums over
 * rows, and two that join these in a fixed order. */
#include <inttypes.h>
#include <stdio.h>

#include "ops/norm/layer_norm.h"
#include "ops/reduce/sum_columns_gpu.h"

#define GROUPS_A_UNIT 16
#define ROUND 4 /* rows whose sums join in one tree */

extern const gpu_source gpu_source_group_sum, gpu_source_layer_norm, gpu_source_words;

/* Work items for a row: no more than it has words, rounded up to a warp. */
static int group_for(const gpu_call *call, int64_t width)
{
    int64_t words = width % 8 == 0 ? width / 8 : width;
    return gpu_group(call, words >= 256 ? 256 : (int)(words + 31) / 32 * 32);
}

static be_dtype type_or_f32(const be_shape *shape)
{
    return shape->rank < 0 ? BE_F32 : shape->dtype;
}

/* What both directions say to the kernels; `more` of their own. */
static be_status use_kernels(gpu_call *call, be_dtype y, be_dtype residual, be_dtype dy,
                             const char *more, be_error *err)
{
    char words[3][64];
    int64_t width = layer_norm_width(&call->in_shape[0]);
    return gpu_use(
        call, GPU_SOURCES(&gpu_source_words, &gpu_source_group_sum, &gpu_source_layer_norm),
        group_for(call, width), err, "WIDTH=%" PRId64 " ROUND=%d COPY=%d %s %s %s %s", width, ROUND,
        call->out_shape[call->node->op->beside - 1].rank >= 0, gpu_type_words("Y", y, words[0]),
        gpu_type_words("R", residual, words[1]), gpu_type_words("DY", dy, words[2]), more);
}

static be_status layer_norm_prepare(gpu_call *call, be_error *err)
{
    bool has_residual = call->in_shape[LAYER_NORM_RESIDUAL].rank >= 0;
    return use_kernels(call, call->out_shape[LAYER_NORM_Y].dtype,
                       type_or_f32(&call->in_shape[LAYER_NORM_RESIDUAL]), BE_F32,
                       has_residual ? "RESIDUAL=1 PARTS=1 ROWS_A_PART=1 NEED_DX=0 HAS_DSUM=0"
                                    : "RESIDUAL=0 PARTS=1 ROWS_A_PART=1 NEED_DX=0 HAS_DSUM=0",
                       err);
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
                                  gpu_writes(out[LAYER_NORM_RSTD]),
                                  gpu_writes(out[LAYER_NORM_COPY]), gpu_int(rows),
                                  gpu_float((double)epsilon))},
        err);
}

/* The rows of a part: enough parts to keep the device busy, and no more, since they are joined. */
static int64_t rows_a_part(const gpu_call *call)
{
    int64_t rows = layer_norm_rows(&call->in_shape[0]), most = (int64_t)call->facts->units * 4;
    int64_t each = (rows + most - 1) / most;
    return each < ROUND ? ROUND : each;
}

static int64_t parts_of(const gpu_call *call)
{
    return (layer_norm_rows(&call->in_shape[0]) + rows_a_part(call) - 1) / rows_a_part(call);
}

static be_status layer_norm_backward_prepare(gpu_call *call, be_error *err)
{
    char more[128];
    int64_t width = layer_norm_width(&call->in_shape[0]), parts = parts_of(call);
    call->scratch_bytes = (size_t)(2 * parts * width) * sizeof(float);
    snprintf(more, sizeof more,
             "RESIDUAL=0 PARTS=%" PRId64 " ROWS_A_PART=%" PRId64 " NEED_DX=%d HAS_DSUM=%d", parts,
             rows_a_part(call), call->out_shape[LAYER_NORM_BACK_DX].rank >= 0,
             call->in_shape[LAYER_NORM_BACK_DSUM].rank >= 0);
    TRY(use_kernels(call, BE_F32, BE_F32, call->in_shape[LAYER_NORM_BACK_DY].dtype, more, err));
    return gpu_sum_parts_prepare(call, parts, width, err);
}

static be_status layer_norm_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int64_t rows = layer_norm_rows(&call->in_shape[0]), parts = parts_of(call);
    const int64_t size[2] = {parts, layer_norm_width(&call->in_shape[0])};
    size_t half = (size_t)(parts * size[1]) * sizeof(float);
    gpu_span dweights = gpu_part(call->scratch, 0, half);
    gpu_span dbiases = gpu_part(call->scratch, half, half);
    TRY(gpu_record(
        recorder, call,
        &(gpu_step){0, "layer_norm_backward", gpu_groups(call, parts, 1, GROUPS_A_UNIT),
                    GPU_ARGUMENTS(
                        gpu_reads(in[LAYER_NORM_BACK_X]), gpu_reads(in[LAYER_NORM_BACK_WEIGHT]),
                        gpu_reads(in[LAYER_NORM_BACK_DY]), gpu_reads(in[LAYER_NORM_BACK_MEAN]),
                        gpu_reads(in[LAYER_NORM_BACK_RSTD]), gpu_reads(in[LAYER_NORM_BACK_DSUM]),
                        gpu_writes(out[LAYER_NORM_BACK_DX]), gpu_writes(dweights),
                        gpu_writes(dbiases), gpu_writes(out[LAYER_NORM_BACK_COPY]), gpu_int(rows))},
        err));
    TRY(gpu_sum_parts_record(call, recorder, 1, size,
                             (gpu_span[]){dweights, out[LAYER_NORM_BACK_DWEIGHT]}, err));
    return gpu_sum_parts_record(call, recorder, 1, size,
                                (gpu_span[]){dbiases, out[LAYER_NORM_BACK_DBIAS]}, err);
}

const gpu_kernel GPU_KERNEL(layer_norm) = {.implementation = GPU_IMPLEMENTATION,
                                           .narrows = true,
                                           .prepare = layer_norm_prepare,
                                           .record = layer_norm_record};
const gpu_kernel GPU_KERNEL(layer_norm_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .narrows = true,
                                                    .prepare = layer_norm_backward_prepare,
                                                    .record = layer_norm_backward_record};
