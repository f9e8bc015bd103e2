/* A board: one block of memory that all ranks see, by which they exchange bytes and learn how a
 * rank ended.  Of the threads of a process, or of processes that share the block.
 *
 * A round: each rank writes into its slot, counts itself in, and waits until all others have. There
 * are two sets of slots in turn, so that a slot is written again only when everybody has been in
 * the round after it, and so has read it. */
#ifndef GROUP_BOARD_H
#define GROUP_BOARD_H

#include "group/transport.h"

typedef struct board board;

size_t board_bytes(int size);

/* Of zeroed memory of board_bytes(size), aligned to a cache line; by one rank, before the others
 * join. */
void board_init(board *b, int size);

/* A handle for one rank.  When it is closed, release(context) is called. */
BE_CHECKED be_status board_join(board *b, int rank, void (*release)(void *context), void *context,
                                be_group **out, be_error *err);

#endif
