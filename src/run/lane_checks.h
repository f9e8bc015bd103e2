/* What a lane is held against beside its clock.  Inner part of lane.c. */
#ifndef RUN_LANE_CHECKS_H
#define RUN_LANE_CHECKS_H

#include "run/lane_run.h"

/* Hold what the runner computes against the reference, then prepare it again for the real job. */
BE_CHECKED be_status lane_gate(lane *l, be_error *err);

/* Whether its training has been diverging, by the loss of the block just done. */
BE_CHECKED be_status lane_check_loss(lane *l, be_error *err);

/* A first reading of the reference kernel, if its runner has one; one more; one before a block,
 * which waits while the device is slow, within limits.  NAN where there is none. */
BE_CHECKED be_status lane_feel_first(lane *l, be_error *err);
BE_CHECKED be_status lane_feel(lane *l, double *reading_s, be_error *err);
BE_CHECKED be_status lane_cool(lane *l, double *reading_s, be_error *err);
void lane_warn_of_heat(lane *l);
void lane_warn_of_rise(lane *l);

/* After the last block: ask for the phases of a step, and check that it worked where it says and no
 * faster than is possible.  result->step is filled already. */
BE_CHECKED be_status lane_prove(lane *l, be_error *err);

#endif
