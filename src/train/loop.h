/* Training: epochs of steps over a data set, a validation after each, checkpoints, resuming.
 *
 * Owns plan, graph and orders until trainer_close; borrows device and data sets.  Prints nothing:
 * who wants to see something gets calls.  Of a group rank 0 alone reads and writes checkpoints and
 * weights; all of its ranks see the same losses and validations (train/ranks.h).  The steps, their
 * batches and so every weight depend on the options alone, not on how often the loop looks up,
 * saves, or is stopped and resumed.  A group that is cut (group_cut) is cut anew after its first
 * steps, so that all ranks end a step at once; how, is found by the clock, so that the roundings of
 * such a training are not the same twice. */
#ifndef TRAIN_LOOP_H
#define TRAIN_LOOP_H

#include <signal.h>

#include "core/folder.h"
#include "data/order.h"
#include "data/table.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/shares.h"
#include "workloads/workload.h"

typedef struct train_progress {
    int64_t epoch, epochs; /* from 1 */
    int64_t step, steps;   /* of this epoch */
    double loss, accuracy; /* over this epoch so far */
    double back;           /* as accuracy, of captions to pictures; NAN: no such direction */
    double samples_per_s, units_per_s; /* units: of the data's */
    double left_s;                     /* to the end of the training */
} train_progress;

typedef struct train_epoch {
    int64_t epoch, step;               /* step: done over all epochs */
    double loss, accuracy;             /* over the steps of the epoch */
    double back;                       /* as accuracy, of captions to pictures; NAN: none */
    double learning_rate;              /* of its last step */
    double gradient_norm;              /* of its last step, before clipping; NAN: not clipped */
    double seconds;                    /* of training, those of this process */
    double samples_per_s, units_per_s; /* units: of the data's */
    evaluation validation;             /* count 0: there is no validation set */
    bool best; /* the lowest validation loss so far where the workload tells a perplexity, else the
                  highest evaluation_accuracy */
} train_epoch;

/* Calls to whoever watches; any may be NULL. */
typedef struct train_watcher {
    void *context;
    void (*progress)(void *context, const train_progress *progress);
    void (*epoch)(void *context, const train_epoch *epoch);
    void (*saved)(void *context, const char *path, int64_t step); /* not that of the best */
    void (*note)(void *context, const char *text);
} train_watcher;

typedef struct train_options {
    const workload *workload;
    be_device *device;
    be_group *group; /* all of whose ranks train with the same options; NULL: this process alone */
    const data_table *data, *validation; /* validation NULL: none */
    uint64_t seed;
    int batch;             /* of all ranks together, which have equal parts of it */
    int accumulate;        /* turns in which a rank computes its part of a batch; 0: one */
    int64_t epochs, steps; /* steps 0: by epochs, else it ends there */
    be_optimizer optimizer;
    be_precision precision;
    bool data_on_host;    /* see be_plan_options */
    bool sync_batch_norm; /* likewise */
    bool own_pairs; /* where samples are compared with one another: each rank's among themselves */
    const char *folder;        /* of checkpoints; NULL: none */
    const char *rescue_folder; /* where an interrupt saves if there is no folder */
    int64_t save_every;        /* steps; 0: after each epoch */
    const char *resume;        /* a checkpoint or a folder of them; NULL: from the start */
    bool resume_if_any;        /* from the start too where the folder has none of this workload */
    const char *weights;       /* a file of weights to start with; NULL: drawn by the seed */
    bool new_head;             /* the layer that tells the classes is drawn in any case */
    train_watcher watch;
    const volatile sig_atomic_t *interrupted; /* may be NULL */
} train_options;

/* The steps that a training has from its start to its end. */
static inline int64_t train_last_step(const train_options *o)
{
    return o->steps ? o->steps
                    : o->epochs * order_steps_per_epoch((int32_t)o->data->count, o->batch);
}

static inline int train_turns(const train_options *o)
{
    return o->accumulate ? o->accumulate : 1;
}

typedef struct trainer {
    const train_options *options;
    workload_model model;
    be_plan *plan;
    evaluator validation;
    checkpoint_state state;
    bool is_compared; /* samples are compared with one another */
    int batch;        /* of a turn of this rank */
    int32_t *order;   /* of an epoch, over all ranks; then of this rank's parts */
    int64_t entries;  /* of the order that the plan has */
    int64_t steps_per_epoch, last_step;
    int64_t epoch_first_step;   /* where this process entered the epoch */
    int64_t epoch_ns, total_ns; /* spent in steps */
    int64_t total_steps;        /* done by this process */
    int64_t busy_ns;            /* of a step of the last block, without waiting for other ranks */
    shares shares;              /* of ranks that are cut */
    int64_t blocks;             /* done with these shares */
    int64_t shares_ns, shares_steps; /* of total_ns and total_steps, since they stay */
    double first_step_s; /* from trainer_open to the end of the first step; NAN before */
    int64_t open_ns;
    /* Weights and states as they were after snapshot_step steps: of the last few seconds, so that a
     * bad loss can be looked at again.  `snapshot` NULL: as the plan was made. */
    void *snapshot;
    int64_t snapshot_step, snapshot_cost_ns;
    int64_t snapshot_next_ns; /* when the next one is due */
    bool has_snapshot;
    folder_lock lock; /* of the folder of checkpoints */
} trainer;

/* Plan and resume.  BE_USAGE for options that do not fit the data or the checkpoint, BE_FAILED
 * where another training of this workload saves to the folder.  The options outlive the trainer. */
BE_CHECKED be_status trainer_open(trainer *t, const train_options *options, be_error *err);

/* Train to the end.  BE_INTERRUPTED after a signal, a checkpoint being saved; BE_NUMERIC with the
 * step and the first bad op when a loss is not finite. */
BE_CHECKED be_status trainer_run(trainer *t, be_error *err);

void trainer_close(trainer *t); /* twice is fine */

#endif
