/* A training on two devices of this process at once, the processor and an accelerator: two ranks of
 * a group, each a thread, with parts of each batch that fit their speeds (train/shares.h).
 * Gradients are added up in the memory of the host.
 *
 * Before it, a few steps on the accelerator alone are timed and thrown away, to say what the
 * processor adds to it. */
#ifndef TRAIN_MIXED_H
#define TRAIN_MIXED_H

#include <pthread.h>

#include "train/loop.h"

typedef struct mixed {
    be_group *groups[SHARES_RANKS]; /* the first is the caller's */
    train_options other;            /* of the accelerator's rank */
    pthread_t thread;
    bool runs;
    be_status status; /* how it ended */
    be_error err;
    double alone_s; /* a step of the accelerator alone, with the whole batch */
} mixed;

/* Starts the accelerator's rank, which from then on goes through the same steps as the trainer that
 * the caller opens with `options`, whose group this sets.  The options' device is the processor. */
BE_CHECKED be_status mixed_begin(mixed *m, train_options *options, be_device *accelerator,
                                 be_error *err);

/* After the caller's trainer was closed, with the status of its training: the other one has ended,
 * too.  Returns the status of both, with the error of the one that failed first. */
BE_CHECKED be_status mixed_end(mixed *m, be_status status, be_error *err);

#endif
