/* A plugin for one family of MPI: see mpi_plugin.h.
 *
 * MPI 3.1 (MPI: A Message-Passing Interface Standard, 2015): shared memory is that of section
 * 11.2.3, MPI_Win_allocate_shared; what ranks on several machines exchange, the collectives of
 * section 5.12 that do not block. */
#include "group/mpi_plugin.h"

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE 64 /* bytes of a cache line */

static MPI_Win window = MPI_WIN_NULL;
static MPI_Comm here = MPI_COMM_NULL; /* the ranks on this machine */

/* Of messages: a communicator for each kind of call, whose order is its own, and one for notes. */
enum { OF_EXCHANGES, OF_SWAPS, OF_GATHERS, OF_NOTES, COMMUNICATORS };
static MPI_Comm comms[COMMUNICATORS] = {MPI_COMM_NULL, MPI_COMM_NULL, MPI_COMM_NULL, MPI_COMM_NULL};
static MPI_Request calls[MPI_CALLS];
static int world_rank, world_size;
/* What the calls under way read until they are over. */
static int send_counts[2][MPI_RANKS_MOST], send_at[2][MPI_RANKS_MOST];
static int own_counts[2][MPI_RANKS_MOST], own_at[2][MPI_RANKS_MOST];
static int gather_counts[MPI_RANKS_MOST], gather_at[MPI_RANKS_MOST];
static MPI_Request notes[MPI_NOTES][MPI_RANKS_MOST];
static char note_bytes[MPI_NOTES][MPI_RANKS_MOST][MPI_NOTE_BYTES];

static int fail(int code, const char *what, char reason[MPI_REASON_BYTES])
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return 0;
    MPI_Error_string(code, text, &length);
    snprintf(reason, MPI_REASON_BYTES, "%s: %.200s", what, text);
    return 1;
}

static int plugin_open(int *rank, int *size, int *near, char reason[MPI_REASON_BYTES])
{
    int level = 0;
    if (fail(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level), "MPI_Init_thread", reason))
        return 1;
    if (level < MPI_THREAD_SERIALIZED) {
        snprintf(reason, MPI_REASON_BYTES,
                 "this library was built for processes with one thread: expected one built with "
                 "threads");
        return 1;
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, size);
    /* By rank, so that rank r of the world is rank r here where all are on one machine. */
    if (fail(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &here),
             "MPI_Comm_split_type", reason))
        return 1;
    MPI_Comm_set_errhandler(here, MPI_ERRORS_RETURN);
    MPI_Comm_size(here, near);
    return 0;
}

/* Rank 0 gives all of the memory; the others find where it lies for them. */
static int plugin_share(size_t bytes, void **block, char reason[MPI_REASON_BYTES])
{
    int rank = 0, unit = 0;
    MPI_Aint size = 0, needs = 0;
    char *own = NULL, *others = NULL;
    MPI_Comm_rank(here, &rank);
    if (rank == 0) needs = (MPI_Aint)(bytes + LINE);
    if (fail(MPI_Win_allocate_shared(needs, 1, MPI_INFO_NULL, here, &own, &window),
             "MPI_Win_allocate_shared", reason) ||
        fail(MPI_Win_shared_query(window, 0, &size, &unit, &others), "MPI_Win_shared_query",
             reason))
        return 1;
    if (rank == 0) memset(others, 0, (size_t)needs);
    *block = (void *)(((uintptr_t)others + LINE - 1) / LINE * LINE);
    return fail(MPI_Barrier(here), "MPI_Barrier", reason);
}

/* ---------------------------------------------------------------- messages */

static int plugin_prepare(char reason[MPI_REASON_BYTES])
{
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    for (int c = 0; c < COMMUNICATORS; c++) {
        if (fail(MPI_Comm_dup(MPI_COMM_WORLD, &comms[c]), "MPI_Comm_dup", reason)) return 1;
        MPI_Comm_set_errhandler(comms[c], MPI_ERRORS_RETURN);
    }
    for (int c = 0; c < MPI_CALLS; c++) calls[c] = MPI_REQUEST_NULL;
    for (int k = 0; k < MPI_NOTES; k++)
        for (int r = 0; r < MPI_RANKS_MOST; r++) notes[k][r] = MPI_REQUEST_NULL;
    return 0;
}

static int plugin_exchange(const void *mine, void *all, size_t bytes, char reason[MPI_REASON_BYTES])
{
    return fail(MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE,
                               comms[OF_EXCHANGES], &calls[MPI_EXCHANGE]),
                "MPI_Iallgather", reason);
}

static int plugin_swap(int call, const float *x, const int64_t *at, float *all,
                       char reason[MPI_REASON_BYTES])
{
    int s = call - MPI_SWAP, own = (int)(at[world_rank + 1] - at[world_rank]);
    for (int r = 0; r < world_size; r++) {
        send_counts[s][r] = (int)(at[r + 1] - at[r]);
        send_at[s][r] = (int)at[r];
        own_counts[s][r] = own;
        own_at[s][r] = r * own;
    }
    return fail(MPI_Ialltoallv(x, send_counts[s], send_at[s], MPI_FLOAT, all, own_counts[s],
                               own_at[s], MPI_FLOAT, comms[OF_SWAPS], &calls[call]),
                "MPI_Ialltoallv", reason);
}

static int plugin_gather(float *x, const int64_t *at, char reason[MPI_REASON_BYTES])
{
    for (int r = 0; r < world_size; r++) {
        gather_counts[r] = (int)(at[r + 1] - at[r]);
        gather_at[r] = (int)at[r];
    }
    return fail(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_FLOAT, x, gather_counts, gather_at, MPI_FLOAT,
                                comms[OF_GATHERS], &calls[MPI_GATHER]),
                "MPI_Iallgatherv", reason);
}

static int plugin_look(int call, int *is_over, char reason[MPI_REASON_BYTES])
{
    return fail(MPI_Test(&calls[call], is_over, MPI_STATUS_IGNORE), "MPI_Test", reason);
}

static int plugin_send(int kind, int rank, const void *note, size_t bytes,
                       char reason[MPI_REASON_BYTES])
{
    int is_over = 0;
    MPI_Request *last = &notes[kind][rank];
    if (fail(MPI_Test(last, &is_over, MPI_STATUS_IGNORE), "MPI_Test", reason)) return 1;
    if (!is_over) return 0;
    memcpy(note_bytes[kind][rank], note, bytes);
    return fail(
        MPI_Isend(note_bytes[kind][rank], (int)bytes, MPI_BYTE, rank, kind, comms[OF_NOTES], last),
        "MPI_Isend", reason);
}

static int plugin_take(int *kind, int *rank, void *note, char reason[MPI_REASON_BYTES])
{
    int there = 0;
    MPI_Status status;
    *rank = -1;
    if (fail(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comms[OF_NOTES], &there, &status),
             "MPI_Iprobe", reason))
        return 1;
    if (!there) return 0;
    *kind = status.MPI_TAG;
    *rank = status.MPI_SOURCE;
    return fail(
        MPI_Recv(note, MPI_NOTE_BYTES, MPI_BYTE, *rank, *kind, comms[OF_NOTES], MPI_STATUS_IGNORE),
        "MPI_Recv", reason);
}

/* Notes that have been sent are taken: once all ranks are here, none is left to be sent. */
static void end_messages(void)
{
    char note[MPI_NOTE_BYTES], reason[MPI_REASON_BYTES];
    int kind = 0, rank = 0;
    if (comms[OF_NOTES] == MPI_COMM_NULL) return;
    for (int k = 0; k < MPI_NOTES; k++)
        for (int r = 0; r < world_size; r++) MPI_Wait(&notes[k][r], MPI_STATUS_IGNORE);
    MPI_Barrier(comms[OF_EXCHANGES]);
    while (!plugin_take(&kind, &rank, note, reason) && rank >= 0) continue;
    for (int c = 0; c < COMMUNICATORS; c++) MPI_Comm_free(&comms[c]);
}

static void plugin_close(void)
{
    end_messages();
    if (window != MPI_WIN_NULL) MPI_Win_free(&window);
    if (here != MPI_COMM_NULL) MPI_Comm_free(&here);
    MPI_Finalize();
}

extern const mpi_plugin breakeven_mpi_plugin;
const mpi_plugin breakeven_mpi_plugin = {.version = MPI_PLUGIN_VERSION,
                                         .open = plugin_open,
                                         .share = plugin_share,
                                         .close = plugin_close,
                                         .prepare = plugin_prepare,
                                         .exchange = plugin_exchange,
                                         .swap = plugin_swap,
                                         .gather = plugin_gather,
                                         .look = plugin_look,
                                         .send = plugin_send,
                                         .take = plugin_take};
