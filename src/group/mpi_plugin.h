/* What a plugin for one family of MPI (Open MPI, MPICH) gives the program, which itself is linked
 * to none: mpi_plugin.c, built by that family's own compiler, opened where its launcher started us.
 * Knows nothing of the program, so that any mpicc can build it.
 *
 * Every function returns 0, or else a text of the family's own stands in `reason`. */
#ifndef GROUP_MPI_PLUGIN_H
#define GROUP_MPI_PLUGIN_H

#include <stddef.h>

#define MPI_PLUGIN_SYMBOL "breakeven_mpi_plugin"
#define MPI_PLUGIN_VERSION 1
#define MPI_REASON_BYTES 300

typedef struct mpi_plugin {
    int version;
    /* Start MPI.  `near`: the ranks on this machine, itself included. */
    int (*open)(int *rank, int *size, int *near, char reason[MPI_REASON_BYTES]);
    /* A block of zeroed memory that all ranks see, on one machine. */
    int (*share)(size_t bytes, void **block, char reason[MPI_REASON_BYTES]);
    /* All ranks are in order: wait for all of them, and end MPI.  Without it a process just ends.
     */
    void (*close)(void);
} mpi_plugin;

#endif
