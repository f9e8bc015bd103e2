/* Whether a step finds room in this machine's memory, told before it is begun: systems promise more
 * than they have, and end whoever takes them at their word.  Numbers in, a sentence out. */
#ifndef CORE_ROOM_H
#define CORE_ROOM_H

#include <stdint.h>

#include "core/status.h"

/* Bytes of the machine, or of its control group where that has fewer; -1: not known. */
int64_t room_here(void);

typedef struct room_need {
    const char *what;   /* "gpt2" */
    int64_t batch;      /* samples per step */
    double fixed_bytes; /* whatever the batch: weights, gradients, the optimizer's state */
    double batch_bytes; /* what grows with it */
    /* In how many turns a step computes its batch, each of which has `batch` samples; 0: it cannot
     * be cut into turns. */
    int64_t turns;
} room_need;

/* The fewest turns, more than one, into which a batch can be cut equally so that each has at most
 * `fits` samples, at least 1. */
int64_t room_turns(int64_t batch, int64_t fits);

/* BE_NO_MEMORY, with the largest batch that fits, where the need is larger than `room`. */
BE_CHECKED be_status room_check(const room_need *need, int64_t room, be_error *err);

#endif
