/* The launches of a step in a few lanes, in each of which one follows the other.
 *
 * Launches without an order may run beside one another, but each that really does costs the device
 * a wait across its queues, and products that run at once take one another's caches and units.  So
 * what may overlap is laid into as many lanes as bring something. */
#ifndef BACKEND_CUDA_CUDA_LANES_H
#define BACKEND_CUDA_CUDA_LANES_H

#include <stdint.h>

#include "core/status.h"

typedef struct cuda_lanes_job {
    int nodes, lanes;
    /* [nodes]²: behind[k * nodes + j] where node k comes after node j, directly or not; then j < k
     */
    const unsigned char *behind;
    const int64_t *cost; /* of each node: about how long it takes, in any unit */
} cuda_lanes_job;

/* The nodes in an order in which all come after those that they wait for, and for each node the one
 * that is before it in its lane (−1: none).  Each goes where it can begin earliest; of several that
 * can, the one with the longest way to the end. */
BE_CHECKED be_status cuda_lanes_plan(const cuda_lanes_job *job, int *order, int *before,
                                     be_error *err);

#endif
