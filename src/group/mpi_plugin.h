/* What a plugin for one family of MPI (Open MPI, MPICH) gives the program, which itself is linked
 * to none: mpi_plugin.c, built by that family's own compiler, opened where its launcher started us.
 * Knows nothing of the program, so that any mpicc can build it.
 *
 * Every function returns 0, or else a text of the family's own stands in `reason`.  One thread at a
 * time calls them. */
#ifndef GROUP_MPI_PLUGIN_H
#define GROUP_MPI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define MPI_PLUGIN_SYMBOL "breakeven_mpi_plugin"
#define MPI_PLUGIN_VERSION 2
#define MPI_REASON_BYTES 300
#define MPI_RANKS_MOST 256 /* of those that exchange messages */
#define MPI_NOTE_BYTES 1024

/* What may be under way at once: of each one call.  Each has an order of its own, which is the same
 * on all ranks: what one rank begins first of a kind is what all others begin first of it.  The two
 * swaps take turns, and are one kind. */
enum { MPI_EXCHANGE, MPI_SWAP, MPI_SWAP_NEXT, MPI_GATHER, MPI_CALLS };

/* Kinds of notes: of each, one to a rank may be under way. */
enum { MPI_SIGN, MPI_END, MPI_NOTES };

typedef struct mpi_plugin {
    int version;
    /* Start MPI.  `near`: the ranks on this machine, itself included. */
    int (*open)(int *rank, int *size, int *near, char reason[MPI_REASON_BYTES]);
    /* A block of zeroed memory that all ranks see, on one machine. */
    int (*share)(size_t bytes, void **block, char reason[MPI_REASON_BYTES]);
    /* All ranks are in order: wait for all of them, and end MPI.  Without it a process just ends.
     */
    void (*close)(void);

    /* ---- between ranks on any machines, after `prepare` */
    int (*prepare)(char reason[MPI_REASON_BYTES]);
    /* all[size · bytes]: what each has, by rank. */
    int (*exchange)(const void *mine, void *all, size_t bytes, char reason[MPI_REASON_BYTES]);
    /* The floats of x from at[r] to at[r + 1] go to rank r, and all[r · own] becomes what rank r
     * has of those that are this rank's own, of which there are `own`. */
    int (*swap)(int call, const float *x, const int64_t *at, float *all,
                char reason[MPI_REASON_BYTES]);
    /* The floats of x from at[r] to at[r + 1] become those that rank r has there. */
    int (*gather)(float *x, const int64_t *at, char reason[MPI_REASON_BYTES]);
    /* Is the call over?  Yes where none is under way.  What it was given stays as it is until then.
     */
    int (*look)(int call, int *is_over, char reason[MPI_REASON_BYTES]);
    /* A note of at most MPI_NOTE_BYTES, which is copied.  Left out while the last one of its kind
     * to this rank is under way. */
    int (*send)(int kind, int rank, const void *note, size_t bytes, char reason[MPI_REASON_BYTES]);
    /* A note that has come: from whom, or −1. */
    int (*take)(int *kind, int *rank, void *note, char reason[MPI_REASON_BYTES]);
} mpi_plugin;

#endif
