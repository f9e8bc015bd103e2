/* How long each node of a replayed step takes.  Private to the shared runtime.
 *
 * A node that is launched and waited for alone shows a launch and a wait, not what it adds to a
 * step that is replayed as a whole.  So the first k nodes are replayed, for each k, and a node is
 * what it adds: T(k) - T(k - 1).  Nodes that overlap with others count only what they make longer;
 * all together add up to the step. */
#ifndef BACKEND_GPU_GPU_PHASES_H
#define BACKEND_GPU_GPU_PHASES_H

#include "backend/gpu/gpu_driver.h"
#include "graph/device.h"

typedef struct gpu_phases_job {
    gpu_driver *driver;
    const gpu_launch *launches;
    const size_t *first_launch; /* of each node, and the end */
    size_t nodes;
    int turns;           /* how often a step computes these nodes */
    gpu_sequence *whole; /* all launches, once */
    bool is_streamed;    /* a run of whole steps copies batches to the device too */
    be_status (*run)(program *, int64_t steps, bool checked, be_error *err);
    program *program;
    int64_t steps;
} gpu_phases_job;

/* All of *times but the counts.  Does steps, and parts of steps, which leave rubbish behind. */
be_status gpu_phases_measure(const gpu_phases_job *job, device_times *times, be_error *err);

#endif
