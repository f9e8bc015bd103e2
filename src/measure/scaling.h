/* What more workers would make of a training: the model of data-parallel steps, from a measured
 * step, the bytes of the gradients and a link.
 *
 * Each worker computes its part of the batch, then all add up their gradients (all-reduce), then
 * all take the same optimizer step.  Nothing is hidden behind the backward pass, each worker has a
 * link of its own, nobody waits for a slower one: the first makes it too slow, the others too fast.
 * Workers of one machine share its cores and the way to its memory (scaling_share).
 *
 * Pure functions of numbers: owns nothing, knows no transport, prints nothing. */
#ifndef MEASURE_SCALING_H
#define MEASURE_SCALING_H

#include <stdbool.h>

#include "measure/stats.h"

typedef struct scaling_link {
    double bytes_per_s; /* that a worker sends while it receives as many */
    double latency_s;   /* until the first byte of a message is there */
} scaling_link;

typedef struct scaling_reduce {
    double seconds;
    bool by_ring; /* else by a tree */
} scaling_reduce;

/* The faster one of two ways to add up `bytes` on that many workers (Thakur, Rabenseifner, Gropp
 * 2005, "Optimization of Collective Communication Operations in MPICH"; time of the additions left
 * out): ring: 2 (N − 1) messages of bytes / N, one after the other, tree: 2 ⌈log2 N⌉ messages of
 * all bytes, up a binary tree and down again. */
scaling_reduce scaling_all_reduce(const scaling_link *link, double bytes, double workers);

/* How many times as long a step takes where so many workers share the cores of one machine, as the
 * same step alone by `threads` threads: as long as the steps of all of them one after another on
 * all cores; once where there are cores enough for all.  Too long by what the threads of a step
 * lose to one another, for workers have fewer threads each. */
double scaling_share(double workers, double threads, double cores);

/* One worker's step of `whole` against the step of `part` and the all-reduce after it: how many
 * times as fast the workers are.  With part = whole it is the efficiency of workers with a batch
 * each.  The bounds are those of two independent intervals. */
stats_interval scaling_speed_up(const stats_interval *whole, const stats_interval *part,
                                double reduce_s);

#endif
