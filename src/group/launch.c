/* Launchers of ranks, found by their variables, and the plugins by which their ranks meet. */
#include "group/launch.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "group/board.h"
#include "group/messages.h"
#include "group/mpi_plugin.h"
#include "group/worker.h"

/* Set to 1: an MPI's ranks of one machine, too, exchange messages as those of several do. */
#define APART "BREAKEVEN_APART"

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

static const char *word_in(const char *variable)
{
    const char *text = getenv(variable);
    return text ? text : "";
}

/* torchrun's variables; processes of one machine, as LOCAL_WORLD_SIZE says where it is there. */
static be_status find_torchrun(launch *out, be_error *err)
{
    int size = getenv("RANK") ? number_in("WORLD_SIZE") : 0, here = number_in("LOCAL_WORLD_SIZE");
    if (size < 2) return BE_OK;
    *out = (launch){.family = MPI_FAMILIES,
                    .size = size,
                    .rank = number_in("RANK"),
                    .board = -1,
                    .launcher = "torchrun"};
    if (here && here != size)
        FAIL(err, BE_USAGE,
             "expected all %d ranks of torchrun on one machine, found %d of them on this one "
             "(LOCAL_WORLD_SIZE); start them on one, or on several by mpirun",
             size, here);
    if (!number_in("MASTER_PORT"))
        FAIL(err, BE_USAGE,
             "RANK=%d and WORLD_SIZE=%d: expected MASTER_PORT beside them, as torchrun sets it, "
             "found \"%s\"; start the ranks by torchrun, or by --workers %d",
             out->rank, size, word_in("MASTER_PORT"), size);
    snprintf(out->meeting, sizeof out->meeting, "torchrun/%s/%d/%s/%s", word_in("MASTER_ADDR"),
             number_in("MASTER_PORT"), word_in("TORCHELASTIC_RUN_ID"),
             word_in("TORCHELASTIC_RESTART_COUNT"));
    return BE_OK;
}

/* srun's own variables say how many there are.  On one machine they need no MPI; on several they
 * meet by what its --mpi gave: its processes then know PMIx, which Open MPI speaks. */
static be_status find_srun(launch *out, be_error *err)
{
    int tasks = getenv("SLURM_PROCID") ? number_in("SLURM_STEP_NUM_TASKS") : 0;
    int machines = number_in("SLURM_STEP_NUM_NODES");
    if (tasks < 2) return BE_OK;
    *out = (launch){.family = MPI_FAMILIES,
                    .size = tasks,
                    .rank = number_in("SLURM_PROCID"),
                    .board = -1,
                    .launcher = "srun"};
    if (machines == 1) {
        snprintf(out->meeting, sizeof out->meeting, "srun/%s/%s", word_in("SLURM_JOB_ID"),
                 word_in("SLURM_STEP_ID"));
        return BE_OK;
    }
    if (!getenv("PMIX_RANK"))
        FAIL(err, BE_UNAVAILABLE,
             "srun started %d ranks on several machines and gave them no way to meet: expected the "
             "variables of PMIx or PMI, found none; use srun --mpi=pmix with Open MPI, or "
             "--mpi=pmi2 with MPICH, or --nodes=1",
             tasks);
    *out = (launch){MPI_openmpi, tasks, out->rank, -1, "srun", ""};
    return BE_OK;
}

be_status launch_find(launch *out, be_error *err)
{
    int sizes[MPI_FAMILIES];
    *out = (launch){.size = 1};
    if (worker_find(out)) return BE_OK;
    for (int f = 0; f < MPI_FAMILIES; f++) {
        sizes[f] = getenv(families[f].rank) ? number_in(families[f].size) : 0;
        if (sizes[f] > out->size)
            *out = (launch){
                .family = (mpi_family)f, .size = sizes[f], .rank = number_in(families[f].rank)};
    }
    if (sizes[MPI_openmpi] && sizes[MPI_mpich])
        FAIL(err, BE_USAGE,
             "expected the variables of one launcher, found those of Open MPI (%s=%d) and of MPICH "
             "(%s=%d); start mpirun of one of them, outside of the other's ranks",
             families[MPI_openmpi].size, sizes[MPI_openmpi], families[MPI_mpich].size,
             sizes[MPI_mpich]);
    if (out->size == 1) TRY(find_torchrun(out, err));
    return out->size == 1 ? find_srun(out, err) : BE_OK;
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
    if (from->size > GROUP_MOST)
        FAIL(err, BE_USAGE, "expected at most %d ranks, found %d", GROUP_MOST, from->size);
    if (from->meeting[0])
        return meet_join(&(meeting){from->launcher, from->meeting, from->rank, from->size}, out,
                         err);
    if (from->family == MPI_FAMILIES) return worker_join(from, out, err);
    name = families[from->family].name;
    TRY(open_plugin(from->family, &plugin, err));
    if (plugin->open(&rank, &size, &near, reason)) FAIL(err, BE_DRIVER, "%s: %s", name, reason);
    if (size != from->size)
        FAIL(err, BE_USAGE,
             "%s's library counts %d rank%s where its launcher started %d: expected both of one "
             "installation; start it by the mpirun of the library that breakeven was built with",
             name, size, size == 1 ? "" : "s", from->size);
    if (near != size || number_in(APART)) return messages_join(plugin, rank, size, out, err);
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
