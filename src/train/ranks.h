/* What the ranks of a group tell one another in a training, so that they all do the same.
 *
 * Rank 0 reads and writes the files, and its clock says how long a block is; the others get from it
 * where the training stands.  Without a group (NULL) all of this is the process's own and no call.
 */
#ifndef TRAIN_RANKS_H
#define TRAIN_RANKS_H

#include "train/loop.h"

/* BE_USAGE where the batch or the validation set cannot be cut into equal parts, or where a part is
 * not trained as it would be in the whole. */
BE_CHECKED be_status ranks_check(const train_options *options, be_error *err);

/* BE_USAGE where this many turns of each of the workers cannot cut the batch. */
BE_CHECKED be_status ranks_check_turns(const workload *w, int64_t batch, int turns, int workers,
                                       be_error *err);

/* This rank's part of a set to be evaluated, of as many samples as there are ranks or more. */
void ranks_cut(const be_group *group, int64_t samples, int64_t *first, int64_t *count);

/* What must be the same on all ranks, as texts, so that a difference can be shown. */
#define RANK_JOB_BYTES 400
typedef struct rank_job {
    char build[RANK_JOB_BYTES], job[RANK_JOB_BYTES], data[RANK_JOB_BYTES];
} rank_job;

/* BE_USAGE with the rank, what rank 0 has and what it has itself, unless both are the same. */
BE_CHECKED be_status ranks_compare(const rank_job *first, const rank_job *other, int rank,
                                   be_error *err);

/* The same for all ranks of a training: build, job and data. */
BE_CHECKED be_status ranks_check_same(const train_options *options, be_error *err);

/* Weights, states and the training's place, as rank 0 has them. */
BE_CHECKED be_status ranks_copy_start(trainer *t, be_error *err);

/* The buffers, which each rank updates by its own part of the batches, as rank 0 has them. */
BE_CHECKED be_status ranks_copy_buffers(trainer *t, be_error *err);

/* The losses become their means over the ranks, the right answers their sums. */
BE_CHECKED be_status ranks_join_losses(be_group *group, int64_t steps, float *losses,
                                       int32_t *correct, be_error *err);

/* Of the whole validation set, from those of its parts. */
BE_CHECKED be_status ranks_join_evaluations(be_group *group, evaluation *e, be_error *err);

/* A count becomes its sum over the ranks. */
BE_CHECKED be_status ranks_sum(be_group *group, int64_t *count, be_error *err);

/* Whether one of the ranks is asked to stop. */
BE_CHECKED be_status ranks_any(be_group *group, bool mine, bool *any, be_error *err);

#endif
