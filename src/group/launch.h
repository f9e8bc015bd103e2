/* Who started this process as one rank of several: a launcher, known by its environment variables
 * (mpirun, srun, torchrun), or --workers (group/worker.h).
 *
 * Knows no MPI itself: what a launcher belongs to is one of two families, each with a plugin. */
#ifndef GROUP_LAUNCH_H
#define GROUP_LAUNCH_H

#include "core/status.h"
#include "group/group.h"
#include "group/meet.h"

/* id, name for people, a variable with the number of ranks and one with the rank, the packages of
 * Debian that bring launcher and library. */
#define MPI_FAMILY_LIST(X)                                                 \
    X(openmpi, "Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", \
      "openmpi-bin libopenmpi-dev")                                        \
    X(mpich, "MPICH", "PMI_SIZE", "PMI_RANK", "mpich libmpich-dev")

typedef enum mpi_family {
#define X(id, ...) MPI_##id,
    MPI_FAMILY_LIST(X)
#undef X
        MPI_FAMILIES /* none: started by --workers, or by a launcher whose ranks meet by `meeting`
                      */
} mpi_family;

typedef struct launch {
    mpi_family family;
    int size;                      /* 1: no launcher, or one that started one rank */
    int rank;                      /* 0 without a launcher */
    int board;                     /* of --workers: the descriptor of its memory */
    const char *launcher;          /* for people; NULL: --workers, or an mpirun */
    char meeting[MEET_NAME_BYTES]; /* where the ranks meet (group/meet.h); "": not so */
} launch;

/* Fills the rank on failures too.  BE_USAGE where variables of both families stand side by side, or
 * those of torchrun say that there are ranks on other machines, or lack the port; BE_UNAVAILABLE
 * where srun has ranks on several machines and gives them no way for MPI. */
BE_CHECKED be_status launch_find(launch *out, be_error *err);

/* Join the others: NULL for one rank.  BE_UNAVAILABLE with what to install where the plugin of the
 * family is not there; BE_USAGE where library and launcher do not count the same ranks. */
BE_CHECKED be_status launch_join(const launch *from, be_group **out, be_error *err);

#endif
