/* See sum_columns_gpu.h. */
#include "ops/reduce/sum_columns_gpu.h"

#include <inttypes.h>

#include "ops/reduce/upstream_gpu.h"

#define GROUP_WANTED 256
#define GROUPS_A_UNIT 8
#define ROWS_A_PART_LEAST 16 /* fewer, and the parts are as many bytes as the matrix */
#define PARTS_MOST 1024
#define ITEMS_A_UNIT 256 /* enough for the loads that keep the memory busy */

extern const gpu_source gpu_source_sum_columns, gpu_source_sum_parts, gpu_source_words;

static int64_t rounded_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t words_of(int64_t columns)
{
    return columns % 8 == 0 ? columns / 8 : columns;
}

static int64_t rows_a_part(const gpu_call *call, const gpu_column_sum *sum)
{
    int64_t parts = rounded_up((int64_t)call->facts->units * ITEMS_A_UNIT, words_of(sum->columns));
    if (parts > PARTS_MOST) parts = PARTS_MOST;
    int64_t rows = rounded_up(sum->rows, parts);
    return rows < ROWS_A_PART_LEAST ? ROWS_A_PART_LEAST : rows;
}

/* Items that share the parts of one result. */
static int lanes_of(int64_t parts)
{
    return parts >= 256 ? 32 : parts >= 64 ? 16 : parts >= 16 ? 4 : 1;
}

be_status gpu_sum_parts_prepare(gpu_call *call, int64_t parts, int64_t width, be_error *err)
{
    int lanes = lanes_of(parts);
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_parts), GROUP_WANTED, err,
                   "PARTS=%" PRId64 " WIDTH=%" PRId64
                   " LANES=%d OUTS=%d ONES=0 BIAS=0 ADD=0 RELU=0 FORMULA=0 KEEP=0 ROWS=1 ACROSS=0",
                   parts, width, lanes, GROUP_WANTED / lanes);
}

be_status gpu_sum_parts_record(const gpu_call *call, gpu_recorder *recorder, int unit,
                               const int64_t size[2], const gpu_span spans[2], be_error *err)
{
    const gpu_span none = {0};
    int64_t outs = GROUP_WANTED / lanes_of(size[0]);
    return gpu_record(
        recorder, call,
        &(gpu_step){unit, "sum_parts", gpu_groups(call, size[1], outs, GROUPS_A_UNIT),
                    GPU_ARGUMENTS(gpu_reads(spans[0]), gpu_reads(none), gpu_writes(spans[1]),
                                  gpu_writes(none), gpu_int(size[1]))},
        err);
}

static size_t parts_bytes(const gpu_column_sum *sum)
{
    return (size_t)(sum->parts * sum->columns) * sizeof(float);
}

int64_t gpu_column_parts(const gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes)
{
    int64_t each = rows_a_part(call, sum);
    sum->parts = rounded_up(sum->rows, each);
    sum->at = gpu_scratch_take(scratch_bytes, parts_bytes(sum));
    return each;
}

gpu_span gpu_column_parts_span(const gpu_call *call, const gpu_column_sum *sum)
{
    return gpu_part(call->scratch, sum->at, parts_bytes(sum));
}

int gpu_column_groups(const gpu_call *call, const gpu_column_sum *sum)
{
    int64_t items = sum->parts * words_of(sum->columns);
    return gpu_groups(call, items, call->units[sum->unit].group, GROUPS_A_UNIT);
}

be_status gpu_column_sum_prepare(gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes,
                                 be_error *err)
{
    char words[64];
    int64_t each = gpu_column_parts(call, sum, scratch_bytes);
    sum->unit = call->unit_count;
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_words, &gpu_source_sum_columns), GROUP_WANTED, err,
                "WIDTH=%" PRId64 " PARTS=%" PRId64 " ROWS_A_PART=%" PRId64 " %s", sum->columns,
                sum->parts, each, gpu_type_words("X", sum->type, words)));
    sum->join_unit = call->unit_count;
    return gpu_sum_parts_prepare(call, sum->parts, sum->columns, err);
}

be_status gpu_column_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                const gpu_column_sum *sum, gpu_span x, gpu_span y, be_error *err)
{
    const int64_t size[2] = {sum->parts, sum->columns};
    gpu_span parts = gpu_column_parts_span(call, sum);
    TRY(gpu_record(recorder, call,
                   &(gpu_step){sum->unit, "sum_columns", gpu_column_groups(call, sum),
                               GPU_ARGUMENTS(gpu_reads(x), gpu_writes(parts), gpu_int(sum->rows))},
                   err));
    return gpu_sum_parts_record(call, recorder, sum->join_unit, size, (gpu_span[]){parts, y}, err);
}
