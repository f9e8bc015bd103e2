/* See record_decode.h. */
#include "run/record_decode.h"

#include <math.h>

#include "core/json.h"

#define ROUNDING 1e-6 /* of numbers written with nine digits */
#define BLOCK_LEAST_S 1e-9
#define BLOCK_MOST_S 1e6

/* Bounds lie around the median, and the speed follows from it. */
static be_status check_times(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *step = json_object_get(json, "step_s");
    if (isnan(r->step_s.median))
        return record_refuse(r, "step_s.median", "a time beside the status OK",
                             json_object_get(step, "median"), err);
    if (r->step_s.low > r->step_s.median || r->step_s.high < r->step_s.median)
        return record_refuse(r, "step_s", "low, median and high in this order", step, err);
    double speed = (double)r->batch / r->step_s.median;
    if (fabs(r->samples_per_s - speed) > ROUNDING * speed)
        return record_refuse(r, "samples_per_s", "the batch by the median of step_s",
                             json_object_get(json, "samples_per_s"), err);
    return BE_OK;
}

/* Every block is a time. */
static be_status check_blocks(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *blocks = json_object_get(json, "blocks");
    double least = INFINITY, most = 0;
    size_t i;
    json_t *block;
    if (!blocks || json_is_null(blocks)) return BE_OK;
    if (!json_is_array(blocks)) return record_refuse(r, "blocks", "a list of times", blocks, err);
    json_array_foreach(blocks, i, block)
    {
        double seconds = json_is_number(block) ? json_number_value(block) : (double)NAN;
        if (!(seconds >= BLOCK_LEAST_S && seconds <= BLOCK_MOST_S))
            return record_refuse(r, "blocks", "times of 1e-09 to 1e+06 seconds alone", block, err);
        least = fmin(least, seconds);
        most = fmax(most, seconds);
    }
    bool outside =
        r->step_s.median < least * (1 - ROUNDING) || r->step_s.median > most * (1 + ROUNDING);
    if (json_array_size(blocks) && outside)
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
    if (out->status == BE_OK && !out->computes_nothing) {
        TRY(check_times(json, out, err));
        return check_blocks(json, out, err);
    }
    out->step_s.median = out->step_s.low = out->step_s.high = NAN;
    return BE_OK;
}
