/* The sum over all dimensions but the second, on GPUs. */
#include "ops/reduce/sum_columns_gpu.h"

extern const gpu_source gpu_source_sum_rows;

static gpu_column_sum columns_of(const be_shape *x)
{
    return (gpu_column_sum){.rows = x->dim[0], .columns = x->dim[1], .type = x->dtype};
}

static bool is_tall(const be_shape *x)
{
    return x->rank == 2 && x->dim[0] > SUM_COLUMNS_ROWS;
}

static be_status sum_rows_prepare(gpu_call *call, be_error *err)
{
    char words[64];
    if (is_tall(&call->in_shape[0])) {
        TRY(arena_alloc(call->memory, &call->state, sizeof(gpu_column_sum), err));
        gpu_column_sum *sum = call->state;
        *sum = columns_of(&call->in_shape[0]);
        return gpu_column_sum_prepare(call, sum, &call->scratch_bytes, err);
    }
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_rows), 256, err, "%s",
                   gpu_type_words("X", call->in_shape[0].dtype, words));
}

static be_status sum_rows_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const be_shape *x = &call->in_shape[0];
    if (is_tall(x))
        return gpu_column_sum_record(call, recorder, call->state, call->in[0], call->out[0], err);
    int64_t rows = x->dim[0], channels = x->dim[1], pixels = shape_elements(x) / (rows * channels);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "sum_rows", gpu_groups(call, channels, 1, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(rows), gpu_int(channels), gpu_int(pixels))},
        err);
}

const gpu_kernel GPU_KERNEL(sum_rows) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = sum_rows_prepare, .record = sum_rows_record};
