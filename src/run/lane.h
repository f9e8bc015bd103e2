/* One contender's way through a measurement: open, blocks, close.  Inner part of the conductor.
 *
 * Owns its runner and fills its result; knows nothing of the other lanes. */
#ifndef RUN_LANE_H
#define RUN_LANE_H

#include "run/lane_run.h"

/* Start the runner, prepare, first step, gate, warm-up, checks.  On an error call lane_fail. */
BE_CHECKED be_status lane_open(lane *l, be_error *err);

/* One measured block of result->block_steps steps, its device's speed looked at before and after.
 */
BE_CHECKED be_status lane_block(lane *l, be_error *err);

/* End it without a speed: the status, text and stop reason go to the result. */
void lane_fail(lane *l, const be_error *err);

/* Stop the runner; memory, threads at work, last words and warnings go to the result. */
void lane_close(lane *l);

#endif
