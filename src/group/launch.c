/* Launchers of ranks, found by their variables, and the plugins by which their ranks meet. */
#include "group/launch.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "group/board.h"
#include "group/mpi_plugin.h"
#include "group/worker.h"

static const struct {
    const char *id, *name, *size, *rank, *packages;
} families[MPI_FAMILIES] = {
#define X(id, name, size, rank, packages) {#id, name, size, rank, packages},
    MPI_FAMILY_LIST(X)
#undef X
};

/* ---------------------------------------------------------------- variables */

/* A whole number above 0 in a variable, or 0. */
static int number_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    long number = text ? strtol(text, &end, 10) : 0;
    return text && end != text && !*end && number > 0 && number <= 1000000 ? (int)number : 0;
}

/* srun's own variables say how many there are; how they meet is what its --mpi gave. */
static be_status check_srun(int found, be_error *err)
{
    int tasks = getenv("SLURM_PROCID") ? number_in("SLURM_STEP_NUM_TASKS") : 0;
    if (found > 1 || tasks < 2 || getenv("PMIX_RANK")) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "srun started %d ranks and gave them no way to meet: expected the variables of PMIx or "
         "PMI, found none; use srun --mpi=pmix with Open MPI, or --mpi=pmi2 with MPICH",
         tasks);
}

be_status launch_find(launch *out, be_error *err)
{
    int sizes[MPI_FAMILIES], torch = getenv("RANK") ? number_in("WORLD_SIZE") : 0;
    *out = (launch){.size = 1};
    if (worker_find(out)) return BE_OK;
    for (int f = 0; f < MPI_FAMILIES; f++) {
        sizes[f] = getenv(families[f].rank) ? number_in(families[f].size) : 0;
        if (sizes[f] > out->size)
            *out = (launch){(mpi_family)f, sizes[f], number_in(families[f].rank), -1};
    }
    if (out->size == 1) out->rank = number_in(torch > 1 ? "RANK" : "SLURM_PROCID");
    if (sizes[MPI_openmpi] && sizes[MPI_mpich])
        FAIL(err, BE_USAGE,
             "expected the variables of one launcher, found those of Open MPI (%s=%d) and of MPICH "
             "(%s=%d); start mpirun of one of them, outside of the other's ranks",
             families[MPI_openmpi].size, sizes[MPI_openmpi], families[MPI_mpich].size,
             sizes[MPI_mpich]);
    if (out->size == 1 && torch > 1)
        FAIL(err, BE_USAGE,
             "torchrun started %d ranks (WORLD_SIZE), which have nothing to share gradients by on "
             "the CPU; start them by mpirun, or by --workers %d",
             torch, torch);
    TRY(check_srun(out->size, err));
    /* Its processes know PMIx, which Open MPI speaks. */
    int tasks = getenv("SLURM_PROCID") ? number_in("SLURM_STEP_NUM_TASKS") : 0;
    if (out->size == 1 && tasks > 1) *out = (launch){MPI_openmpi, tasks, out->rank, -1};
    return BE_OK;
}

/* ---------------------------------------------------------------- plugins */

/* Where the plugin of a family is: beside the program's library when installed, or in the build. */
static bool find_plugin(mpi_family family, char path[FILE_PATH_BYTES])
{
    static const char *const folders[] = {"../lib/breakeven", "src/group"};
    char program[FILE_PATH_BYTES];
    if (file_own_program(program, NULL) != BE_OK) return false;
    char *end = strrchr(program, '/');
    if (end) *end = 0;
    for (int f = 0; f < 2; f++)
        if (file_format_path(path, NULL, "%s/%s/breakeven_%s.so", program, folders[f],
                             families[family].id) == BE_OK &&
            file_exists(path))
            return true;
    return false;
}

static be_status open_plugin(mpi_family family, const mpi_plugin **out, be_error *err)
{
    char path[FILE_PATH_BYTES];
    if (!find_plugin(family, path))
        FAIL(err, BE_UNAVAILABLE,
             "this program was built without %s: expected breakeven_%s.so in ../lib/breakeven "
             "beside it, found none; install %s and build it anew (make clean, then make)",
             families[family].name, families[family].id, families[family].packages);
    /* Global: the parts that Open MPI loads later look for its symbols there. */
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    const mpi_plugin *plugin = library ? dlsym(library, MPI_PLUGIN_SYMBOL) : NULL;
    if (!plugin)
        FAIL(err, BE_UNAVAILABLE, "%s could not be opened: %s; install %s", path, dlerror(),
             families[family].packages);
    if (plugin->version != MPI_PLUGIN_VERSION)
        FAIL(err, BE_UNAVAILABLE,
             "%s: expected version %d of the plugin, found %d; build and install it together with "
             "the program",
             path, MPI_PLUGIN_VERSION, plugin->version);
    *out = plugin;
    return BE_OK;
}

/* ---------------------------------------------------------------- joining */

/* Of a group that has ended nobody waits for the others: the process ends, and its launcher sees.
 */
static void close_plugin(void *context, bool in_order)
{
    if (in_order) ((const mpi_plugin *)context)->close();
}

be_status launch_join(const launch *from, be_group **out, be_error *err)
{
    const char *name = NULL;
    const mpi_plugin *plugin = NULL;
    char reason[MPI_REASON_BYTES] = "";
    int rank = 0, size = 1, near = 1;
    void *block = NULL;
    *out = NULL;
    if (from->size == 1) return BE_OK;
    if (from->family == MPI_FAMILIES) return worker_join(from, out, err);
    if (from->size > GROUP_MOST)
        FAIL(err, BE_USAGE, "expected at most %d ranks, found %d", GROUP_MOST, from->size);
    name = families[from->family].name;
    TRY(open_plugin(from->family, &plugin, err));
    if (plugin->open(&rank, &size, &near, reason)) FAIL(err, BE_DRIVER, "%s: %s", name, reason);
    if (size != from->size)
        FAIL(err, BE_USAGE,
             "%s's library counts %d rank%s where its launcher started %d: expected both of one "
             "installation; start it by the mpirun of the library that breakeven was built with",
             name, size, size == 1 ? "" : "s", from->size);
    if (near != size)
        FAIL(err, BE_USAGE,
             "expected all %d ranks on one machine, found %d of them on this one; start them on "
             "one, by mpirun -n %d",
             size, near, size);
    if (plugin->share(board_bytes(size), &block, reason))
        FAIL(err, BE_NO_MEMORY,
             "%s gave no memory that all ranks see, %zu bytes: %s; is /dev/shm, or the folder of "
             "temporary files, full?",
             name, board_bytes(size), reason);
    return board_join(block, &(board_seat){rank, size, close_plugin, (void *)(uintptr_t)plugin},
                      out, err);
}

be_status be_group_join(be_group **out, be_error *err)
{
    launch from;
    *out = NULL;
    TRY(launch_find(&from, err));
    return launch_join(&from, out, err);
}
