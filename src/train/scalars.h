/* What TensorBoard is told of a training (train --tensorboard): loss, the share of right answers,
 * the learning rate and the speed, by steps. */
#ifndef TRAIN_SCALARS_H
#define TRAIN_SCALARS_H

#include "train/events.h"
#include "train/loop.h"

typedef struct scalars {
    events_file file;
    const char *measure; /* what right answers are called: "accuracy"; NULL: closed */
    be_error reason;     /* why nothing is written any more */
} scalars;

/* A new file in the folder; the name of what is counted stays the caller's. */
BE_CHECKED be_status scalars_open(scalars *s, const char *folder, const char *measure,
                                  be_error *err);

/* The loss over the epoch so far, within an epoch.  The reason, once, if that cannot be written:
 * the training goes on without; else NULL, also where it is closed. */
const char *scalars_add_progress(scalars *s, const train_progress *progress);

/* All that is known at its end. */
const char *scalars_add_epoch(scalars *s, const train_epoch *epoch);

void scalars_close(scalars *s); /* also one that is all zero */

#endif
