/* Workers of a training: starting, joining, silence, cores, and the end. */
#include "cli/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/topology.h"
#include "group/worker.h"

/* ---------------------------------------------------------------- cores */

typedef struct rank_cores {
    char machine[64], cores[256];
} rank_cores;

/* Ranks that may use the same cores share them in equal parts; those that a launcher has pinned to
 * cores of their own keep them. */
static be_status share_cores(const workers *w, be_error *err)
{
    rank_cores mine = {{0}, {0}}, all[GROUP_MOST];
    int rank = be_group_rank(w->group), part = 0, parts = 0;
    if (gethostname(mine.machine, sizeof mine.machine - 1) != 0)
        FAIL(err, BE_FAILED, "the machine has no name to tell the other ranks: %s",
             strerror(errno));
    topology_allowed(mine.cores, sizeof mine.cores);
    TRY(group_gather(w->group, &mine, all, sizeof mine, err));
    for (int r = 0; r < be_group_size(w->group); r++) {
        if (memcmp(&all[r], &mine, sizeof mine) != 0) continue;
        part += r < rank;
        parts++;
    }
    int cores = topology_get()->cores;
    if (parts > cores)
        cli_note(w->options, "%d workers share %d core%s and take turns", parts, cores,
                 cores == 1 ? "" : "s");
    topology_share(part, parts);
    return BE_OK;
}

/* ---------------------------------------------------------------- joining */

static bool on_gpus(const cli_options *options)
{
    const option_value *devices = &options->value[OPTION_DEVICE];
    return devices->is_given && strcmp(devices->text, "cuda") == 0;
}

static be_status check_device(const cli_options *options, int size, be_error *err)
{
    const option_value *devices = &options->value[OPTION_DEVICE];
    if (!devices->is_given || strcmp(devices->text, "cpu") == 0 || on_gpus(options)) return BE_OK;
    FAIL(err, BE_USAGE,
         "--device: expected cpu, or cuda, of which each worker takes a GPU of its own, found %s "
         "for %d workers; use one of these, or train with one worker",
         devices->text, size);
}

/* Rank N has the GPU N, as CUDA_VISIBLE_DEVICES counts. */
static be_status take_gpu(workers *w, be_error *err)
{
    if (group_is_apart(w->group))
        FAIL(err, BE_USAGE,
             "--device cuda: expected all %d ranks on one machine, whose GPUs NCCL joins; start "
             "them on one, or train on the processors of several",
             be_group_size(w->group));
    option_value *devices = &w->own.value[OPTION_DEVICE];
    snprintf(w->device, sizeof w->device, "cuda:%d", be_group_rank(w->group));
    devices->text = w->device;
    snprintf(devices->words[0], sizeof devices->words[0], "%s", w->device);
    return BE_OK;
}

static be_status silence(workers *w, be_error *err)
{
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere) FAIL(err, BE_IO, "/dev/null could not be opened");
    fclose(cli_results);
    cli_results = nowhere;
    w->own.value[OPTION_QUIET].is_given = true;
    w->own.value[OPTION_NO_STORE].is_given = true;
    w->own.value[OPTION_EXPORT] = (option_value){0};
    return BE_OK;
}

static be_status check_size(int64_t size, be_error *err)
{
    if (size <= GROUP_MOST) return BE_OK;
    FAIL(err, BE_USAGE, "--workers: expected at most %d for a training, found %" PRId64, GROUP_MOST,
         size);
}

/* A status with this exit code, of which the ranks have told the reason. */
static be_status status_of(int code)
{
    static const be_status codes[] = {BE_OK,      BE_FAILED,    BE_USAGE,      BE_UNAVAILABLE,
                                      BE_NUMERIC, BE_NO_MEMORY, BE_INTERRUPTED};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (be_status_exit_code(codes[i]) == code) return codes[i];
    return code > 128 ? BE_INTERRUPTED : BE_FAILED;
}

/* The workers get the standard output that we were started with, not what stands there since. */
static be_status start(workers *w, int size, be_error *err)
{
    int code = 0;
    if (dup2(fileno(cli_results), STDOUT_FILENO) < 0)
        FAIL(err, BE_IO, "standard output could not be given to workers: %s", strerror(errno));
    w->started = true;
    TRY(workers_run(size, w->options->words, &cli_signal, &code, err));
    if (err) err->text[0] = 0;
    return code && cli_signal ? BE_INTERRUPTED : status_of(code);
}

be_status workers_open(workers *w, const cli_options *options, be_error *err)
{
    int64_t size = 1;
    launch from;
    *w = (workers){.options = options};
    TRY(option_single(options, OPTION_WORKERS, 1, &size, err));
    TRY(check_size(size, err));
    be_status status = launch_find(&from, err);
    w->rank = from.rank;
    TRY(status);
    if (from.size == 1 && size == 1) return BE_OK;
    TRY(check_device(options, from.size > 1 ? from.size : (int)size, err));
    if (from.size == 1) return start(w, (int)size, err);
    if (size > 1 && size != from.size)
        FAIL(err, BE_USAGE,
             "--workers: expected the %d ranks that the launcher has started, found %" PRId64
             "; leave it out",
             from.size, size);
    be_status joined = launch_join(&from, &w->group, err);
    w->is_left = from.meeting[0] && joined == BE_UNAVAILABLE && from.rank == 1;
    TRY(joined);
    w->own = *options;
    w->options = &w->own;
    if (be_group_rank(w->group)) TRY(silence(w, err));
    if (on_gpus(options)) TRY(take_gpu(w, err));
    return share_cores(w, err);
}

void workers_record(be_group *group, double steps, json_t **record)
{
    group_spent time = group_take_spent(group);
    bool is_known = time.bytes > 0 && steps > 0;
    json_put(record, "workers", json_integer(be_group_size(group)));
    json_put(record, "all_reduce_s", is_known ? json_real(time.seconds / steps) : json_null());
    json_put(record, "all_reduce_hidden_s",
             is_known ? json_real(time.hidden / steps) : json_null());
    json_put(record, "all_reduce_bytes", is_known ? json_real(time.bytes / steps) : json_null());
}

/* All ranks stop together for a signal, and have the same to say before they have met; any other
 * failure is one rank's, of which the others learn. */
be_status workers_close(workers *w, be_status status, be_error *err)
{
    bool tells = w->rank == 0 || w->is_left;
    if (status != BE_OK && status != BE_INTERRUPTED) {
        group_end(w->group, err);
        tells = w->group ? group_tells(w->group) : tells;
    }
    be_group_close(w->group);
    if (status != BE_OK && !tells) err->text[0] = 0;
    return status;
}
