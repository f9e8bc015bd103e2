/* Ranks of one machine that a launcher has started and given no way to meet, as torchrun does and
 * srun without MPI: they meet at a socket of this machine, whose name follows from the launcher's
 * variables, and share a board.
 *
 * The socket is rank 0's and has no file, so that nothing is left of a meeting that failed. */
#ifndef GROUP_MEET_H
#define GROUP_MEET_H

#include "group/group.h"

#define MEET_NAME_BYTES 100
#define MEET_LIMIT_NS INT64_C(60000000000) /* how long all wait for the last one */

typedef struct meeting {
    const char *launcher, *name; /* for people; of one training, whose ranks all know it */
    int rank, size;
} meeting;

/* BE_USAGE where two ranks have one number, or other sizes, and on a system without such sockets;
 * BE_FAILED with the rank that did not come within the limit; BE_UNAVAILABLE without rank 0, which
 * else tells people. */
BE_CHECKED be_status meet_join(const meeting *m, be_group **out, be_error *err);

#endif
