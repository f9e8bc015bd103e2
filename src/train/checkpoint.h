/* Checkpoints: a training at one step, as a safetensors file with the weights by name, the
 * optimizer's state ("optimizer.NAME") and metadata: what is trained on what, and how far.
 *
 * A file is NAME-STEP.safetensors in a folder, or NAME-best.safetensors, that of the best
 * validation; it is written to a new file, synced and renamed, and
 * carries a checksum of its tensors, so a kill or a full disk leaves the older ones, and damage is
 * found.  The last two are kept, and the best. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "breakeven/plan.h"
#include "data/safetensors.h"
#include "workloads/workload.h"

#define CHECKPOINT_KEPT 2

typedef struct checkpoint_state {
    /* What must be the same for a training to go on. */
    char workload[40], data[40];
    int64_t count; /* of training samples */
    uint64_t seed;
    int64_t batch;
    workload_variant variant; /* workload_complete */
    be_optimizer optimizer;
    /* Where it is. */
    int64_t step;    /* done, over all epochs */
    double loss_sum; /* over the steps of the epoch in which it stands */
    int64_t correct; /* … and the right answers */
    int64_t back;    /* … and those of captions to pictures, where there are such */
    /* The best validation so far (train_epoch.best): its evaluation_accuracy and loss; −1 and 0
     * before the first. */
    double best, best_loss;
    int64_t best_epoch; /* 0 before the first */
} checkpoint_state;

typedef struct checkpoint {
    safetensors *file;
    checkpoint_state state;
    char path[FILE_PATH_BYTES];
    char note[1200]; /* "", or what was damaged and set aside */
} checkpoint;

typedef enum checkpoint_role {
    CHECKPOINT_LAST, /* NAME-STEP, one of the last CHECKPOINT_KEPT, which --resume goes on from */
    CHECKPOINT_BEST, /* NAME-best, in the place of the one before */
} checkpoint_role;

/* Write the plan's weights and states to FOLDER (made if it is not there), then remove all but the
 * last CHECKPOINT_KEPT of this workload and the best.  BE_NUMERIC, and nothing written, if a weight
 * is not finite. */
BE_CHECKED be_status checkpoint_save(be_plan *plan, const char *folder,
                                     const checkpoint_state *state, checkpoint_role role,
                                     char path[FILE_PATH_BYTES], be_error *err);

/* Open a checkpoint file, or the newest good one of `workload` in a folder; damaged newer ones are
 * renamed to NAME.damaged, which the note says.  BE_IO if there is none. */
BE_CHECKED be_status checkpoint_open(checkpoint *out, const char *path, const char *workload,
                                     be_error *err);
void checkpoint_close(checkpoint *c); /* twice is fine */

/* Put it into a plan of the same network and optimizer, its steps included. */
BE_CHECKED be_status checkpoint_restore(const checkpoint *c, be_plan *plan, be_error *err);

/* Fill the dimensions of `variant` that are 0 with those of a checkpoint file, or of the newest
 * readable one of the workload in a folder; what is the workload's own stays 0.  Nothing where
 * there is none: checkpoint_open says why. */
BE_CHECKED be_status checkpoint_variant(const char *path, const workload *w,
                                        workload_variant *variant, be_error *err);

/* BE_USAGE with the difference unless the training that `state` describes is the one of the
 * checkpoint. */
BE_CHECKED be_status checkpoint_match(const checkpoint *c, const checkpoint_state *state,
                                      be_error *err);

/* Does the folder hold checkpoints of this workload?  One that is not there holds none. */
BE_CHECKED be_status checkpoint_any(const char *folder, const char *workload, bool *any,
                                    be_error *err);

/* BE_USAGE if the folder holds checkpoints of this workload beyond `step`: another training, which
 * this one would overwrite. */
BE_CHECKED be_status checkpoint_check_folder(const char *folder, const char *workload, int64_t step,
                                             be_error *err);

#endif
