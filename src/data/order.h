/* The order in which a training sees its samples: a fresh permutation each epoch, from the seed and
 * the epoch's number alone, so that a resumed or repeated run sees the same batches. */
#ifndef DATA_ORDER_H
#define DATA_ORDER_H

#include <stdint.h>

#include "core/status.h"

/* The permutation of 0 … count - 1 for epoch 0, 1, …: rng_permutation with the key
 * {seed, RNG_ORDER, epoch}. */
void order_epoch(uint64_t seed, uint32_t epoch, int32_t *order, int32_t count);

/* Full batches of an epoch; what does not fill one is left out, for a plan has one batch size. */
int64_t order_steps_per_epoch(int32_t count, int32_t batch);

/* A part of each full batch: `each` samples, with `before` others before them. */
typedef struct order_cut {
    int64_t before, each;
} order_cut;

/* That part of each full batch of an order, one behind the other at the start of the same memory:
 * how many entries these are. */
int64_t order_part(int32_t *order, int32_t count, int32_t batch, order_cut part);

typedef struct order_run {
    uint64_t seed;
    int32_t count, batch;
    int64_t first_step, steps; /* counted over all epochs from 0 */
} order_run;

/* The sample indices of these steps: indices[steps × batch].  A batch larger than the set is
 * BE_USAGE. */
BE_CHECKED be_status order_fill(const order_run *run, int32_t *indices, be_error *err);

#endif
