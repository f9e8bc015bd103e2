/* A board: one block of memory that all ranks see, by which they exchange bytes and learn how a
 * rank ended.  Of the threads of a process, or of processes that share the block.
 *
 * A round: each rank writes into its slot, counts itself in, and waits until all others have. There
 * are two sets of slots in turn, so that a slot is written again only when everybody has been in
 * the round after it, and so has read it.
 *
 * Means have rounds and slots of their own.  Each rank adds up one of as many equal segments of a
 * chunk as there are ranks, and the others take over what it found.  Three chunks are under way at
 * once: in a round a rank puts down one, adds up its segment of the one before, which all have put
 * down, and takes over what was added up in the last round; so nobody waits for one that is less
 * than a round behind. */
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

/* ---- boards that processes share, by a file without a name of which each has a descriptor */

/* Of zeros, which children inherit; *b is where the caller sees it. */
BE_CHECKED be_status board_file_new(int size, int *fd, board **b, be_error *err);
void board_file_free(int fd, board *b, int size); /* −1 and NULL are fine */

/* As board_join; the descriptor may be closed after. */
BE_CHECKED be_status board_file_join(int fd, int rank, int size, be_group **out, be_error *err);

#endif
