/* See sum_columns_gpu.h. */
#include "ops/reduce/sum_columns_gpu.h"

#include <inttypes.h>
#include <stdio.h>

#include "ops/reduce/upstream_gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8
/* In one launch a group has a narrow strip of all rows, which many lanes share: a strip of 32 bytes
 * is read as fast as a wide one, and 32 rows of a lane take less time than another launch. */
#define ITEMS_ONCE 512
#define ROWS_ONCE 32
/* In parts, the tiles fill the device once, and a part has rows enough for its sums to be few. */
#define TILES_A_UNIT 4
#define STRIP_MOST 32
#define LANE_ROWS_LEAST 4
#define FLIGHT_BYTES 128 /* that an item of sum_columns loads before it adds the first */

extern const gpu_source gpu_source_column_tile, gpu_source_sum_columns, gpu_source_sum_parts;
extern const gpu_source gpu_source_words;

static int64_t divided_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int word_of(int64_t columns)
{
    return columns % 8 == 0 ? 8 : 1;
}

static int strip_for(int64_t words, int limit)
{
    int strip = 1;
    while (strip < words && strip < limit) strip *= 2;
    return strip;
}

const char *gpu_column_cut(const gpu_call *call, gpu_column_sum *sum, int limit,
                           size_t *scratch_bytes, char words[TILE_WORDS])
{
    int64_t row_words = sum->columns / word_of(sum->columns), each = sum->rows;
    sum->strip = strip_for(row_words, 16 / word_of(sum->columns));
    sum->lanes = ITEMS_ONCE / sum->strip;
    if (divided_up(sum->rows, sum->lanes) > limit) {
        sum->strip = strip_for(row_words, STRIP_MOST);
        sum->lanes = GROUP_WANTED / sum->strip;
        int64_t tiles = (int64_t)call->facts->units * TILES_A_UNIT;
        int64_t parts = tiles / divided_up(row_words, sum->strip);
        int64_t lane_rows = divided_up(divided_up(sum->rows, parts < 1 ? 1 : parts), sum->lanes);
        each = (lane_rows < LANE_ROWS_LEAST ? LANE_ROWS_LEAST : lane_rows) * sum->lanes;
    }
    sum->parts = divided_up(sum->rows, each);
    if (sum->parts > 1) {
        sum->at =
            gpu_scratch_take(scratch_bytes, (size_t)(sum->parts * sum->columns) * sizeof(float));
    }
    snprintf(words, TILE_WORDS,
             "WIDTH=%" PRId64 " PARTS=%" PRId64 " ROWS_PER_PART=%" PRId64 " STRIP=%d LANES=%d",
             sum->columns, sum->parts, each, sum->strip, sum->lanes);
    return words;
}

int gpu_column_items(const gpu_column_sum *sum)
{
    return sum->strip * sum->lanes;
}

int gpu_column_groups(const gpu_call *call, const gpu_column_sum *sum)
{
    int64_t strips = divided_up(sum->columns / word_of(sum->columns), sum->strip);
    return gpu_groups(call, sum->parts * strips, 1, GROUPS_PER_UNIT);
}

gpu_span gpu_column_parts(const gpu_call *call, const gpu_column_sum *sum, gpu_span y)
{
    if (sum->parts == 1) return y;
    return gpu_part(call->scratch, sum->at, (size_t)(sum->parts * sum->columns) * sizeof(float));
}

/* Items that share the parts of one result. */
static int lanes_of(int64_t parts)
{
    return parts >= 256 ? 32 : parts >= 32 ? 16 : parts >= 16 ? 4 : 1;
}

be_status gpu_column_join_prepare(gpu_call *call, gpu_column_sum *sum, be_error *err)
{
    int lanes = lanes_of(sum->parts);
    if (sum->parts == 1) return BE_OK;
    sum->join_unit = call->unit_count;
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_parts), GROUP_WANTED, err,
                   "PARTS=%" PRId64 " WIDTH=%" PRId64
                   " ONES=0 LANES=%d OUTS=%d BIAS=0 ADD=0 RELU=0 FORMULA=0 KEEP=0 ROWS=1 ACROSS=0",
                   sum->parts, sum->columns, lanes, GROUP_WANTED / lanes);
}

be_status gpu_column_join_record(const gpu_call *call, gpu_recorder *recorder,
                                 const gpu_column_sum *sum, gpu_span y, be_error *err)
{
    const gpu_span none = {0};
    int64_t outs = GROUP_WANTED / lanes_of(sum->parts);
    if (sum->parts == 1) return BE_OK;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){sum->join_unit, "sum_parts",
                           gpu_groups(call, sum->columns, outs, GROUPS_PER_UNIT),
                           GPU_ARGUMENTS(gpu_reads(gpu_column_parts(call, sum, y)), gpu_reads(none),
                                         gpu_writes(y), gpu_writes(none), gpu_int(sum->columns))},
        err);
}

be_status gpu_column_sum_prepare(gpu_call *call, gpu_column_sum *sum, size_t *scratch_bytes,
                                 be_error *err)
{
    char types[64], tile[TILE_WORDS];
    gpu_column_cut(call, sum, ROWS_ONCE, scratch_bytes, tile);
    sum->unit = call->unit_count;
    size_t word_bytes = dtype_bytes(sum->type) * (size_t)word_of(sum->columns);
    TRY(gpu_use(call,
                GPU_SOURCES(&gpu_source_words, &gpu_source_column_tile, &gpu_source_sum_columns),
                gpu_column_items(sum), err, "FLIGHT=%d %s %s",
                word_bytes < 16 ? 8 : (int)(FLIGHT_BYTES / word_bytes), tile,
                gpu_type_words("X", sum->type, types)));
    return gpu_column_join_prepare(call, sum, err);
}

be_status gpu_column_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                const gpu_column_sum *sum, gpu_span x, gpu_span y, be_error *err)
{
    gpu_span parts = gpu_column_parts(call, sum, y);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){sum->unit, "sum_columns", gpu_column_groups(call, sum),
                           GPU_ARGUMENTS(gpu_reads(x), gpu_writes(parts), gpu_int(sum->rows))},
        err));
    return gpu_column_join_record(call, recorder, sum, y, err);
}
