/* Heat: what the readings of a fixed piece of work say about the speed of its device.
 *
 * A reading is the time of the same arithmetic, taken before and after each block.  A device that
 * needs more than 10 % longer than it once did is throttled, or shared with somebody; systems' own
 * flags for that are not reliable.  Owns the readings until heat_free; reads no clock, waits for
 * nothing. */
#ifndef MEASURE_HEAT_H
#define MEASURE_HEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define HEAT_SLOW 1.10 /* times the best reading: beyond it the device is slowed down */

typedef struct heat {
    double *readings_s;
    size_t count, capacity;
    double best_s;       /* INFINITY before the first */
    double slow_sum_s;   /* of the blocks that were slowed down, their slower reading */
    int32_t slow_blocks; /* blocks before or after which it was slow */
    double waited_s;     /* for its recovery, altogether */
} heat;

typedef struct heat_summary {
    double best_s, median_s, worst_s; /* of the readings */
    double slow_speed;       /* share of its best speed in the slow blocks; NAN without any */
    double burst_step_s;     /* median of the first blocks */
    double sustained_step_s; /* median of the last third */
} heat_summary;

void heat_begin(heat *h);
void heat_free(heat *h);

/* Add a reading, which must be above 0. */
BE_CHECKED be_status heat_add(heat *h, double reading_s, be_error *err);

bool heat_is_slow(const heat *h, double reading_s);

/* Count a block with the readings before and after it.  Returns whether it was slowed down. */
bool heat_count_block(heat *h, double before_s, double after_s);

/* Seconds that may still be waited now: `each_s` at a time, `total_s` altogether; 0: none. */
double heat_patience_s(const heat *h, double each_s, double total_s);

/* Of the readings and of the `count` blocks' times of a step; all NAN without a reading or a
 * block. */
BE_CHECKED be_status heat_summarize(const heat *h, const double *steps_s, int32_t count,
                                    heat_summary *out, be_error *err);

#endif
