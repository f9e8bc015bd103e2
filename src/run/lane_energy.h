/* The energy of a lane's measured blocks.  Inner part of lane.c. */
#ifndef RUN_LANE_ENERGY_H
#define RUN_LANE_ENERGY_H

#include "run/lane_run.h"

/* Look for a counter of the device's energy; before and after each measured block. */
BE_CHECKED be_status lane_energy_find(lane *l, be_error *err);
void lane_energy_before(lane *l);
void lane_energy_after(lane *l, int64_t steps);

#endif
