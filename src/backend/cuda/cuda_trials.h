/* Which form of a step's graph is the fastest, found while it is replayed.
 *
 * All forms compute the same bits, so the first replays take them in turn, between two events; when
 * the last of these has passed, the form of the least time stays.  Nobody waits for it. */
#ifndef BACKEND_CUDA_CUDA_TRIALS_H
#define BACKEND_CUDA_CUDA_TRIALS_H

#include "backend/cuda/cuda_driver.h"

#define CUDA_FORMS 4  /* at most */
#define CUDA_ROUNDS 4 /* of which the first is not counted: a graph is slow when it is new */

typedef struct cuda_trials {
    int forms, given; /* trials given to the stream: forms * CUDA_ROUNDS in the end */
    cuda_event begin[CUDA_FORMS * CUDA_ROUNDS], end[CUDA_FORMS * CUDA_ROUNDS];
} cuda_trials;

BE_CHECKED be_status cuda_trials_new(const cuda_driver *driver, int forms, cuda_trials *out,
                                     be_error *err);
void cuda_trials_free(const cuda_driver *driver, cuda_trials *trials);

/* Launch one of the forms: the next trial, or the first form where no trial is left. */
BE_CHECKED be_status cuda_trials_launch(const cuda_driver *driver, cuda_trials *trials,
                                        const cuda_exec *forms, be_error *err);

/* The fastest form, or −1 as long as it is not known. */
BE_CHECKED be_status cuda_trials_decide(const cuda_driver *driver, const cuda_trials *trials,
                                        int *out, be_error *err);

#endif
