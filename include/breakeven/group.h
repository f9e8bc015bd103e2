/* Groups: processes that train one network together, each a part of every batch
 * (be_plan_options.group).  The program cuts its batches itself: the samples that rank r gathers
 * are the r-th of as many equal parts as there are ranks, with as many targets each, so that the
 * mean of the parts' losses is that of the batch. */
#ifndef BREAKEVEN_GROUP_H
#define BREAKEVEN_GROUP_H

#include "breakeven/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Join the other ranks that mpirun, srun or `breakeven train --workers` has started together with
 * this process; *out is NULL where it was started alone, which is a group of one for the functions
 * below.  Once a process, before it starts threads.  BE_USAGE where the variables of two launchers
 * stand side by side, or a rank is there twice; BE_UNAVAILABLE, with what to install, without the
 * plugin for the launcher's MPI. */
BE_CHECKED be_status be_group_join(be_group **out, be_error *err);

int be_group_rank(const be_group *group); /* 0 … size − 1 */
int be_group_size(const be_group *group);

/* x [R, ...] of all ranks, by rank -> [size * R, ...], for a loss that compares the samples of a
 * batch with one another: each rank then has that of the whole batch.  All plans of the graph are
 * of this group (be_plan_options.group).  x itself for a group of one. */
be_value be_all_gather(be_graph *g, be_value x, be_group *group);

/* After the last plan that uses it was freed.  Where a step has failed nobody waits for the others,
 * and the process should end. */
void be_group_close(be_group *group);

#ifdef __cplusplus
}
#endif

#endif
