/* A group whose ranks exchange messages by an MPI, on any machines: the transport for those that
 * share no memory.
 *
 * A mean: the ranks swap segments of a chunk, so that each has one of all ranks, adds it up in
 * their order, and all gather what the others have added up.  Each sends and receives as many bytes
 * as in a ring, 2 (N − 1) / N of them, and the bits are those of a board.  Nothing of it blocks: it
 * goes on at each sign of life, so that means which have begun go on beside the backward pass.
 *
 * Each rank tells the others four times a second that it lives, while it works and while it waits;
 * one that is silent for too long has ended, as has one that said so. */
#ifndef GROUP_MESSAGES_H
#define GROUP_MESSAGES_H

#include "group/mpi_plugin.h"
#include "group/transport.h"

/* After plugin->open.  When the group is closed in order, so is the plugin. */
BE_CHECKED be_status messages_join(const mpi_plugin *plugin, int rank, int size, be_group **out,
                                   be_error *err);

#endif
