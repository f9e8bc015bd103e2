/* A training by several workers: --workers starts them, and each of those that a launcher has
 * started is made one rank of a group.
 *
 * Rank 0 alone prints, keeps and writes; the others have options that make them silent.  On GPUs
 * each rank has its own. */
#ifndef CLI_WORKERS_H
#define CLI_WORKERS_H

#include <jansson.h>

#include "cli/cli.h"
#include "group/group.h"

typedef struct workers {
    be_group *group;            /* NULL: one worker, this process, or not joined */
    int rank;                   /* as the launcher says; 0 without one */
    bool is_left;               /* rank 0, which else tells, never came */
    bool started;               /* they have been started, and have ended */
    const cli_options *options; /* of this rank */
    cli_options own;            /* what they are in a group */
    char device[16];            /* a GPU's */
} workers;

/* Start the workers that --workers asks for and wait for their end, or join those that a launcher
 * has started, with this rank's share of the cores.  `given` outlives it. */
BE_CHECKED be_status workers_open(workers *w, const cli_options *options, be_error *err);

/* What adding up gradients took of each of the steps, as members of a record; null where the
 * devices did it among themselves. */
void workers_record(be_group *group, double steps, json_t **record);

/* The end of this rank's command, which had this status: the others learn of a failure, and one
 * rank of all tells it; the text is empty on those that do not. */
be_status workers_close(workers *w, be_status status, be_error *err);

#endif
