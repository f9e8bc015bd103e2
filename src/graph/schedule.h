/* The table of learning rates that a device looks its rate up in. */
#ifndef GRAPH_SCHEDULE_H
#define GRAPH_SCHEDULE_H

#include "breakeven/graph.h"

#define SCHEDULE_STEPS_MAX (INT64_C(1) << 24) /* a table of 64 MiB */

/* "cosine"; NULL for what is none of be_schedule_kind. */
const char *schedule_name(be_schedule_kind kind);

/* The be_schedule_kind of that name, or -1. */
int schedule_find(const char *name);

/* The rate no longer changes from this step on; 0: it never does. */
int64_t schedule_last_step(const be_schedule *s);

/* The rates of the steps 0 … schedule_last_step, as devices keep them. */
void schedule_fill(const be_schedule *s, double rate, float *out);

#endif
