/* Workers: ranks that this program starts itself, as processes of one machine that share a board.
 *
 * They need no MPI.  Whoever starts them waits for all, and none outlives it. */
#ifndef GROUP_WORKER_H
#define GROUP_WORKER_H

#include <signal.h>

#include "group/launch.h"

/* Is this process a worker? */
bool worker_find(launch *out);

BE_CHECKED be_status worker_join(const launch *from, be_group **out, be_error *err);

/* Start `size` workers with these words, a command line of this program without its name, ended by
 * NULL, and wait for their end: *code is the exit code of the first that failed, 1 for one that was
 * killed, or 0.  Once *stop is a signal, rank 0 gets one, and stops them all in order. */
BE_CHECKED be_status workers_run(int size, char *const *words, const volatile sig_atomic_t *stop,
                                 int *code, be_error *err);

#endif
