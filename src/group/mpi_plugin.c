/* A plugin for one family of MPI: see mpi_plugin.h.
 *
 * MPI 3.1 (MPI: A Message-Passing Interface Standard, 2015): shared memory is that of section
 * 11.2.3, MPI_Win_allocate_shared. */
#include "group/mpi_plugin.h"

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LINE 64 /* bytes of a cache line */

static MPI_Win window = MPI_WIN_NULL;
static MPI_Comm here = MPI_COMM_NULL; /* the ranks on this machine */

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
    int given = 0;
    if (fail(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given), "MPI_Init_thread", reason))
        return 1;
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
    MPI_Aint given = 0, wanted = 0;
    char *own = NULL, *found = NULL;
    MPI_Comm_rank(here, &rank);
    if (rank == 0) wanted = (MPI_Aint)(bytes + LINE);
    if (fail(MPI_Win_allocate_shared(wanted, 1, MPI_INFO_NULL, here, &own, &window),
             "MPI_Win_allocate_shared", reason) ||
        fail(MPI_Win_shared_query(window, 0, &given, &unit, &found), "MPI_Win_shared_query",
             reason))
        return 1;
    if (rank == 0) memset(found, 0, (size_t)wanted);
    *block = (void *)(((uintptr_t)found + LINE - 1) / LINE * LINE);
    return fail(MPI_Barrier(here), "MPI_Barrier", reason);
}

static void plugin_close(void)
{
    if (window != MPI_WIN_NULL) MPI_Win_free(&window);
    if (here != MPI_COMM_NULL) MPI_Comm_free(&here);
    MPI_Finalize();
}

extern const mpi_plugin breakeven_mpi_plugin;
const mpi_plugin breakeven_mpi_plugin = {.version = MPI_PLUGIN_VERSION,
                                         .open = plugin_open,
                                         .share = plugin_share,
                                         .close = plugin_close};
