/* Layer normalisation on GPUs: a launch forward; back one that makes dx and parts of the sums over
 * rows, and one that joins these in a fixed order. */
#include <inttypes.h>
#include <stdio.h>

#include "backend/gpu/gpu.h"
#include "ops/norm/layer_norm.h"

/* Forward a row each, of which as many are busy at once as the device holds. */
#define GROUPS_PER_UNIT 64
/* Back a group has as many rows at once as there is room for, ROUND of each loaded together. */
#define BACK_ITEMS 256
#define ROUND 2
#define JOIN_COLUMNS 8 /* as in layer_norm.gpu.c */

extern const gpu_source gpu_source_group_sum, gpu_source_layer_norm, gpu_source_words;

static int64_t words_of(const gpu_call *call)
{
    int64_t width = layer_norm_width(&call->in_shape[0]);
    return width % 8 == 0 ? width / 8 : width;
}

/* A group of an item a word, rounded up to a warp. */
static int group_for(int64_t words)
{
    return words >= BACK_ITEMS ? BACK_ITEMS : (int)(words + 31) / 32 * 32;
}

/* Rows that a group has at once, back. */
static int64_t lanes_of(const gpu_call *call)
{
    int64_t lanes = BACK_ITEMS / words_of(call);
    return lanes < 1 ? 1 : lanes;
}

static be_dtype type_or_f32(const be_shape *shape)
{
    return shape->rank < 0 ? BE_F32 : shape->dtype;
}

/* What both directions say to the kernels; `more` of their own. */
static be_status use_kernels(gpu_call *call, int group, const be_dtype types[3], const char *more,
                             be_error *err)
{
    char words[3][64];
    int64_t width = layer_norm_width(&call->in_shape[0]);
    return gpu_use(call,
                   GPU_SOURCES(&gpu_source_words, &gpu_source_group_sum, &gpu_source_layer_norm),
                   group, err, "WIDTH=%" PRId64 " ROUND=%d COPY=%d %s %s %s %s", width, ROUND,
                   call->out_shape[call->node->op->narrow_copy - 1].rank >= 0,
                   gpu_type_words("Y", types[0], words[0]), gpu_type_words("R", types[1], words[1]),
                   gpu_type_words("DY", types[2], words[2]), more);
}

static be_status layer_norm_prepare(gpu_call *call, be_error *err)
{
    bool has_residual = call->in_shape[LAYER_NORM_RESIDUAL].rank >= 0;
    const be_dtype types[] = {call->out_shape[LAYER_NORM_Y].dtype,
                              type_or_f32(&call->in_shape[LAYER_NORM_RESIDUAL]), BE_F32};
    return use_kernels(call, group_for(words_of(call)), types,
                       has_residual
                           ? "RESIDUAL=1 PARTS=1 ROWS_PER_PART=1 NEED_DX=0 HAS_DSUM=0 DX_SUMS=0"
                           : "RESIDUAL=0 PARTS=1 ROWS_PER_PART=1 NEED_DX=0 HAS_DSUM=0 DX_SUMS=0",
                       err);
}

static be_status layer_norm_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int64_t rows = layer_norm_rows(&call->in_shape[0]);
    float epsilon = ((const layer_norm_attrs *)call->attrs)->epsilon;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "layer_norm", gpu_groups(call, rows, 1, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(in[LAYER_NORM_X]), gpu_reads(in[LAYER_NORM_WEIGHT]),
                          gpu_reads(in[LAYER_NORM_BIAS]), gpu_reads(in[LAYER_NORM_RESIDUAL]),
                          gpu_writes(out[LAYER_NORM_Y]), gpu_writes(out[LAYER_NORM_SUM]),
                          gpu_writes(out[LAYER_NORM_MEAN]), gpu_writes(out[LAYER_NORM_RSTD]),
                          gpu_writes(out[LAYER_NORM_COPY]), gpu_int(rows),
                          gpu_float((double)epsilon))},
        err);
}

/* The rows of a part: enough parts to keep the device busy, and no more, since they are joined. */
static int64_t rows_per_part(const gpu_call *call)
{
    int64_t rows = layer_norm_rows(&call->in_shape[0]), parts = (int64_t)call->facts->units * 2;
    int64_t lanes = lanes_of(call), each = (rows + parts - 1) / parts;
    return (each + lanes - 1) / lanes * lanes;
}

static int64_t parts_of(const gpu_call *call)
{
    return (layer_norm_rows(&call->in_shape[0]) + rows_per_part(call) - 1) / rows_per_part(call);
}

static bool has_sums(const gpu_call *call)
{
    return call->out_shape[LAYER_NORM_BACK_SUMS].rank >= 0;
}

/* Of a part: those of dweight, dbias and the sums of dx. */
static int64_t columns_of(const gpu_call *call)
{
    return (has_sums(call) ? 3 : 2) * layer_norm_width(&call->in_shape[0]);
}

static be_status layer_norm_backward_prepare(gpu_call *call, be_error *err)
{
    char more[128];
    call->scratch_bytes = (size_t)(parts_of(call) * columns_of(call)) * sizeof(float);
    snprintf(more, sizeof more,
             "RESIDUAL=0 PARTS=%" PRId64 " ROWS_PER_PART=%" PRId64
             " NEED_DX=%d HAS_DSUM=%d DX_SUMS=%d",
             parts_of(call), rows_per_part(call), call->out_shape[LAYER_NORM_BACK_DX].rank >= 0,
             call->in_shape[LAYER_NORM_BACK_DSUM].rank >= 0, has_sums(call));
    const be_dtype types[] = {BE_F32, BE_F32, call->in_shape[LAYER_NORM_BACK_DY].dtype};
    return use_kernels(call, group_for(lanes_of(call) * words_of(call)), types, more, err);
}

static be_status layer_norm_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const gpu_span *in = call->in, *out = call->out;
    int64_t rows = layer_norm_rows(&call->in_shape[0]), parts = parts_of(call);
    int64_t columns = columns_of(call);
    gpu_span all = gpu_part(call->scratch, 0, (size_t)(parts * columns) * sizeof(float));
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "layer_norm_backward", gpu_groups(call, parts, 1, GROUPS_PER_UNIT),
            GPU_ARGUMENTS(gpu_reads(in[LAYER_NORM_BACK_X]), gpu_reads(in[LAYER_NORM_BACK_WEIGHT]),
                          gpu_reads(in[LAYER_NORM_BACK_DY]), gpu_reads(in[LAYER_NORM_BACK_MEAN]),
                          gpu_reads(in[LAYER_NORM_BACK_RSTD]), gpu_reads(in[LAYER_NORM_BACK_DSUM]),
                          gpu_writes(out[LAYER_NORM_BACK_DX]), gpu_writes(all),
                          gpu_writes(out[LAYER_NORM_BACK_COPY]), gpu_int(rows))},
        err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "layer_norm_join",
                           gpu_groups(call, columns, JOIN_COLUMNS, GROUPS_PER_UNIT),
                           GPU_ARGUMENTS(gpu_reads(all), gpu_writes(out[LAYER_NORM_BACK_DWEIGHT]),
                                         gpu_writes(out[LAYER_NORM_BACK_DBIAS]),
                                         gpu_writes(out[LAYER_NORM_BACK_SUMS]))},
        err);
}

const gpu_kernel GPU_KERNEL(layer_norm) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = layer_norm_prepare,
                                           .record = layer_norm_record};
const gpu_kernel GPU_KERNEL(layer_norm_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = layer_norm_backward_prepare,
                                                    .record = layer_norm_backward_record};
