/* A whole short training, from the start of the process to its last step, as a user would wait for
 * it.  Owns its runner while it runs. */
#ifndef RUN_WHOLE_H
#define RUN_WHOLE_H

#include "run/conductor.h"

/* Start, prepare, run `steps` steps, by our own clock. */
BE_CHECKED be_status whole_run(const conductor_contender *contender, int64_t steps, double limit_s,
                               const volatile sig_atomic_t *interrupted, double *seconds,
                               be_error *err);

#endif
