/* See upstream_gpu.h. */
#include "ops/reduce/upstream_gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8

extern const gpu_source gpu_source_upstream, gpu_source_sum_rows;

static bool is_tall(const gpu_upstream *u)
{
    return u->shape.rank == 2 && u->shape.dim[0] > SUM_COLUMNS_ROWS;
}

static size_t bytes_of(const gpu_upstream *u)
{
    return (size_t)shape_elements(&u->shape) * dtype_bytes(u->shape.dtype);
}

be_status gpu_upstream_prepare(gpu_call *call, gpu_upstream *u, size_t *scratch_bytes,
                               be_error *err)
{
    char words[64];
    gpu_type_words("X", u->shape.dtype, words);
    if (u->masked) {
        u->dz_at = gpu_scratch_take(scratch_bytes, bytes_of(u));
        u->mask_unit = call->unit_count;
        TRY(gpu_use(call, GPU_SOURCES(&gpu_source_upstream), GROUP_WANTED, err, "NAN_STOPS=%d %s",
                    u->nan_stops, words));
    }
    if (!u->summed) return BE_OK;
    if (is_tall(u)) {
        u->columns = (gpu_column_sum){
            .rows = u->shape.dim[0], .columns = u->shape.dim[1], .type = u->shape.dtype};
        return gpu_column_sum_prepare(call, &u->columns, scratch_bytes, err);
    }
    u->sum_unit = call->unit_count;
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_rows), GROUP_WANTED, err, "%s", words);
}

be_status gpu_upstream_record(const gpu_call *call, gpu_recorder *recorder, const gpu_upstream *u,
                              gpu_span *dz, be_error *err)
{
    gpu_span y = call->in[2], dy = *dz, db = call->out[2];
    int64_t count = shape_elements(&u->shape), rows = u->shape.dim[0], channels = u->shape.dim[1];
    if (u->masked) {
        int groups = gpu_groups(call, count, call->units[u->mask_unit].group, GROUPS_PER_UNIT);
        *dz = gpu_part(call->scratch, u->dz_at, bytes_of(u));
        TRY(gpu_record(recorder, call,
                       &(gpu_unit_launch){u->mask_unit, "upstream", groups,
                                          GPU_ARGUMENTS(gpu_reads(y), gpu_reads(dy),
                                                        gpu_writes(*dz), gpu_int(count))},
                       err));
    }
    if (!u->summed) return BE_OK;
    if (is_tall(u)) return gpu_column_sum_record(call, recorder, &u->columns, *dz, db, err);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){u->sum_unit, "sum_rows", gpu_groups(call, channels, 1, GROUPS_PER_UNIT),
                           GPU_ARGUMENTS(gpu_reads(*dz), gpu_writes(db), gpu_int(rows),
                                         gpu_int(channels), gpu_int(count / (rows * channels)))},
        err);
}
