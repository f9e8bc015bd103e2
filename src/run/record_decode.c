/* See record_decode.h. */
#include "run/record_decode.h"

#include <math.h>
#include <string.h>

#include "core/json.h"

#define ROUNDING 1e-6 /* of numbers written with nine digits */
#define BLOCK_LEAST_S 1e-9
#define BLOCK_MOST_S 1e6

/* ---------------------------------------------------------------- how they fit together */

static bool is_ordered(const record_measured *r)
{
    return !(r->step_s.low > r->step_s.median || r->step_s.high < r->step_s.median);
}

static bool is_speed_of_time(const record_measured *r)
{
    double speed = (double)r->batch / r->step_s.median;
    return !(fabs(r->samples_per_s - speed) > ROUNDING * speed);
}

/* The blocks so far. */
typedef struct block_range {
    double least, most;
    size_t count;
} block_range;

static bool take_block(block_range *range, const json_scalar *block)
{
    bool number = block->type == JSON_REAL || block->type == JSON_INTEGER;
    if (!number || !(block->real >= BLOCK_LEAST_S && block->real <= BLOCK_MOST_S)) return false;
    range->least = range->count ? fmin(range->least, block->real) : block->real;
    range->most = range->count ? fmax(range->most, block->real) : block->real;
    range->count++;
    return true;
}

static bool are_around_median(const block_range *range, const record_measured *r)
{
    return !range->count || (r->step_s.median >= range->least * (1 - ROUNDING) &&
                             r->step_s.median <= range->most * (1 + ROUNDING));
}

/* A time that none relies on is none. */
static void forget_time(record_measured *r)
{
    r->step_s.median = r->step_s.low = r->step_s.high = NAN;
}

static bool has_time(const record_measured *r)
{
    return r->status == BE_OK && !r->computes_nothing;
}

/* ---------------------------------------------------------------- of JSON */

/* Bounds lie around the median, and the speed follows from it. */
static be_status check_times(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *step = json_object_get(json, "step_s");
    if (isnan(r->step_s.median))
        return record_refuse(r, "step_s.median", "a time beside the status OK",
                             json_object_get(step, "median"), err);
    if (!is_ordered(r))
        return record_refuse(r, "step_s", "low, median and high in this order", step, err);
    if (!is_speed_of_time(r))
        return record_refuse(r, "samples_per_s", "the batch by the median of step_s",
                             json_object_get(json, "samples_per_s"), err);
    return BE_OK;
}

/* Every block is a time. */
static be_status check_blocks(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *blocks = json_object_get(json, "blocks");
    block_range range = {0};
    size_t i;
    json_t *block;
    if (!blocks || json_is_null(blocks)) return BE_OK;
    if (!json_is_array(blocks)) return record_refuse(r, "blocks", "a list of times", blocks, err);
    json_array_foreach(blocks, i, block)
    {
        json_scalar value = json_scalar_of(block);
        if (!take_block(&range, &value))
            return record_refuse(r, "blocks", "times of 1e-09 to 1e+06 seconds alone", block, err);
    }
    if (!are_around_median(&range, r))
        return record_refuse(r, "blocks", "times around the median of step_s", blocks, err);
    return BE_OK;
}

be_status record_decode(const json_t *json, const json_t *environment, const record_place *place,
                        record_measured *out, be_error *err)
{
    record_clear(out);
    out->json = json;
    out->place = *place;
    if (!json_is_object(json)) return record_refuse(out, "", "a record (an object)", json, err);
    TRY(record_read_fields(json, environment, out, err));
    if (out->status == BE_OK && *out->error)
        return record_refuse(out, "error", "none beside the status OK",
                             json_object_get(json, "error"), err);
    if (has_time(out)) {
        TRY(check_times(json, out, err));
        return check_blocks(json, out, err);
    }
    forget_time(out);
    return BE_OK;
}

/* ---------------------------------------------------------------- of a text */

typedef struct scanned {
    const record_index *index;
    record_measured *record;
    block_range blocks;
    size_t known;
    bool has_environment;
} scanned;

static bool is_path(const json_path *path, const char *text)
{
    return strcmp(path->text, text) == 0;
}

static bool take_value(void *context, const json_path *path, const json_scalar *value)
{
    scanned *s = context;
    json_type type = value->type;
    if (is_path(path, "blocks[]") && !take_block(&s->blocks, value)) return false;
    if (is_path(path, "blocks") && type != JSON_ARRAY && type != JSON_NULL) return false;
    if (is_path(path, "contenders")) return false; /* a point's, not a record's */
    s->has_environment |= type == JSON_OBJECT && is_path(path, "environment");
    return record_take_scanned(s->index, path, value, s->record, &s->known);
}

bool record_scan(const record_index *index, char *text, size_t length, record_measured *out)
{
    scanned s = {.index = index, .record = out};
    record_clear(out);
    if (!json_scan(text, length, take_value, &s)) return false;
    if (!s.has_environment || s.known < index->known) return false;
    if (out->status == BE_OK && *out->error) return false;
    if (!has_time(out)) {
        forget_time(out);
        return true;
    }
    return !isnan(out->step_s.median) && is_ordered(out) && is_speed_of_time(out) &&
           are_around_median(&s.blocks, out);
}
