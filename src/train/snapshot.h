/* A copy of a plan's weights and optimizer states, so that steps can be done again. */
#ifndef TRAIN_SNAPSHOT_H
#define TRAIN_SNAPSHOT_H

#include "breakeven/plan.h"

/* Free with memory_free. */
BE_CHECKED be_status snapshot_new(void **out, const be_plan *plan, be_error *err);
BE_CHECKED be_status snapshot_take(void *snapshot, be_plan *plan, be_error *err);
BE_CHECKED be_status snapshot_restore(const void *snapshot, be_plan *plan, be_error *err);

/* Without a snapshot: the plan as be_plan_new made it, with the weights that it drew. */
BE_CHECKED be_status snapshot_restart(be_plan *plan, be_error *err);

#endif
