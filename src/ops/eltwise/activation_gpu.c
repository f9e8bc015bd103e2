/* Activations by formula on GPUs. */
#include "ops/eltwise/activation_gpu.h"

#include <inttypes.h>
#include <stdio.h>

#include "ops/reduce/sum_columns_gpu.h"

extern const gpu_source gpu_source_activation, gpu_source_activation_list;
extern const gpu_source gpu_source_activation_sums, gpu_source_column_tile, gpu_source_words;

static const char *formula_name(be_activation kind)
{
#define X(id, name) \
    if (kind == BE_##id) return #name;
    ACTIVATION_LIST(X)
#undef X
    MUST(!"be_activate makes no other kind");
    return NULL;
}

const char *activation_words(be_activation kind, char out[ACTIVATION_WORDS])
{
    const char *name = formula_name(kind);
    snprintf(out, ACTIVATION_WORDS, "NUMBER=float CONSTANT(c)=c##f FLOATS=1 F=%s_f DF=%s_df", name,
             name);
    return out;
}

const char *activation_end_words(be_activation kind, bool keep, char out[ACTIVATION_END_WORDS])
{
    char formula[ACTIVATION_WORDS] = "";
    bool has_formula = activation_needs_x(kind);
    if (has_formula) activation_words(kind, formula);
    snprintf(out, ACTIVATION_END_WORDS, "RELU=%d KEEP=%d FORMULA=%d %s", kind == BE_RELU, keep,
             has_formula, formula);
    return out;
}

static be_status use_kernels(gpu_call *call, be_activation kind, be_dtype x, be_dtype dy,
                             be_error *err)
{
    char words[ACTIVATION_WORDS], types[3][64];
    return gpu_use(call, GPU_SOURCES(&gpu_source_activation_list, &gpu_source_activation), 256, err,
                   "%s %s %s %s", activation_words(kind, words), gpu_type_words("X", x, types[0]),
                   gpu_type_words("DY", dy, types[1]),
                   gpu_type_words("Y", call->out_shape[0].dtype, types[2]));
}

be_status gpu_activation_prepare(gpu_call *call, be_activation kind, be_dtype x, be_error *err)
{
    return use_kernels(call, kind, x, BE_F32, err);
}

be_status gpu_activation_record(const gpu_call *call, gpu_recorder *recorder, int unit, gpu_span x,
                                gpu_span y, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){unit, "activation",
                           gpu_groups(call, (count + 15) / 16, call->units[unit].group, 8),
                           GPU_ARGUMENTS(gpu_reads(x), gpu_writes(y), gpu_int(count))},
        err);
}

static be_status activation_prepare(gpu_call *call, be_error *err)
{
    const activation_attrs *attrs = call->attrs;
    be_dtype dy = call->in_shape[1].rank >= 0 ? call->in_shape[1].dtype : BE_F32;
    return use_kernels(call, attrs->kind, call->in_shape[0].dtype, dy, err);
}

static be_status activation_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_activation_record(call, recorder, 0, call->in[0], call->out[0], err);
}

/* With the sums of columns on the way.  An item works so much on an element that few rows of a lane
 * leave no time for groups without a tile: but for these a second launch joins parts. */
#define ROWS_ONCE 4
#define FLIGHT_BYTES 128 /* that an item loads before it uses the first */

static be_status sums_prepare(gpu_call *call, be_error *err)
{
    const activation_attrs *attrs = call->attrs;
    char words[ACTIVATION_WORDS], types[3][64], tile[TILE_WORDS];
    TRY(arena_alloc(call->memory, &call->state, sizeof(gpu_column_sum), err));
    gpu_column_sum *sum = call->state;
    int64_t columns = call->out_shape[1].dim[0];
    *sum =
        (gpu_column_sum){.rows = shape_elements(&call->out_shape[0]) / columns, .columns = columns};
    gpu_column_cut(call, sum, ROWS_ONCE, &call->scratch_bytes, tile);
    const be_shape *in = call->in_shape;
    size_t pair = 8 * (dtype_bytes(in[0].dtype) + dtype_bytes(in[1].dtype));
    TRY(gpu_use(call,
                GPU_SOURCES(&gpu_source_activation_list, &gpu_source_words, &gpu_source_column_tile,
                            &gpu_source_activation_sums),
                gpu_column_items(sum), err, "FLIGHT=%d %s %s %s %s %s", (int)(FLIGHT_BYTES / pair),
                tile, activation_words(attrs->kind, words),
                gpu_type_words("X", in[0].dtype, types[0]),
                gpu_type_words("DY", in[1].dtype, types[1]),
                gpu_type_words("Y", call->out_shape[0].dtype, types[2])));
    return gpu_column_join_prepare(call, sum, err);
}

static be_status sums_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_column_sum *sum = call->state;
    gpu_span parts = gpu_column_parts(call, sum, call->out[1]);
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){0, "activation_backward_sums", gpu_column_groups(call, sum),
                                      GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                                    gpu_writes(call->out[0]), gpu_writes(parts),
                                                    gpu_int(sum->rows))},
                   err));
    return gpu_column_join_record(call, recorder, sum, call->out[1], err);
}

static be_status activation_backward_prepare(gpu_call *call, be_error *err)
{
    bool has_sums = ((const activation_attrs *)call->attrs)->has_sums != 0;
    return has_sums ? sums_prepare(call, err) : activation_prepare(call, err);
}

static be_status activation_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    if (((const activation_attrs *)call->attrs)->has_sums) return sums_record(call, recorder, err);
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "activation_backward",
                           gpu_groups(call, (count + 15) / 16, call->units[0].group, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

const gpu_kernel GPU_KERNEL(activation) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = activation_prepare,
                                           .record = activation_record};
const gpu_kernel GPU_KERNEL(activation_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = activation_backward_prepare,
                                                    .record = activation_backward_record};
