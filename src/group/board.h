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

/* By the process that starts the ranks: who rank will be, so that it is missed if it never joins;
 * and whether one of them has told how the group ended. */
void board_expect(board *b, int rank, int64_t pid);
bool board_is_told(const board *b);

/* A handle for one rank, of zeroed memory of board_bytes(size), aligned to a cache line.  When it
 * is closed, release(context, in_order) is called; `in_order`: the group has not ended. */
typedef struct board_seat {
    int rank, size;
    void (*release)(void *context, bool in_order);
    void *context;
} board_seat;

/* BE_USAGE where another process has this rank already. */
BE_CHECKED be_status board_join(board *b, const board_seat *seat, be_group **out, be_error *err);

#endif
