/* Trainings by several workers as programs of their own, and what two ranks add up by. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/topology.h"
#include "group/group.h"
#include "study/workers.h"

extern char **environ;

#define WORDS_MOST 64
#define WORD_BYTES 512
#define LOOK_NS 5000000

/* ---------------------------------------------------------------- a program */

typedef struct command {
    char text[WORDS_MOST][WORD_BYTES];
    char *words[WORDS_MOST + 1];
    int count;
} command;

static void add_word(command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_word(command *c, const char *format, ...)
{
    va_list arguments;
    MUST(c->count < WORDS_MOST);
    va_start(arguments, format);
    vsnprintf(c->text[c->count], WORD_BYTES, format, arguments);
    va_end(arguments);
    c->words[c->count] = c->text[c->count];
    c->count++;
}

static void add_option(command *c, const char *name, const char *value)
{
    if (!value) return;
    add_word(c, "--%s", name);
    add_word(c, "%s", value);
}

static void add_number(command *c, const char *name, int64_t value)
{
    if (!value) return;
    add_word(c, "--%s", name);
    add_word(c, "%" PRId64, value);
}

bool workers_on_gpus(const study_request *request)
{
    return request->devices.count && strcmp(request->devices.name[0], "cuda") == 0;
}

static be_status make_command(const study_request *r, const workers_job *job, command *c,
                              be_error *err)
{
    char program[FILE_PATH_BYTES];
    *c = (command){0};
    TRY(file_own_program(program, err));
    add_word(c, "%s", program);
    add_word(c, "train");
    add_word(c, "%s", r->workloads[0]->name);
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++)
        add_number(c, workload_dimension_names[d],
                   workload_variant_get(&r->variant, (workload_dimension)d));
    add_option(c, "precision", r->precision);
    add_option(c, "device", !workers_on_gpus(r) ? "cpu" : job->workers > 1 ? "cuda" : "cuda:0");
    add_option(c, "data", r->data.synthetic ? NULL : r->data.data_dir);
    if (r->data.synthetic) add_word(c, "--synthetic");
    add_number(c, "seed", (int64_t)r->seed);
    add_number(c, "batch", job->batch);
    add_number(c, "epochs", 2);
    add_number(c, "limit", job->steps * job->batch);
    add_number(c, "threads", job->threads);
    if (job->workers > 1) add_number(c, "workers", job->workers);
    add_option(c, "format", "jsonl");
    add_word(c, "--no-store");
    return BE_OK;
}

/* A signal to us is one to it, which then ends in order. */
static be_status wait_for(pid_t child, const study_watch *watch, int *exit_status, be_error *err)
{
    bool is_told = false;
    for (;;) {
        pid_t pid = waitpid(child, exit_status, WNOHANG);
        if (pid == child) break;
        if (pid < 0 && errno != EINTR)
            FAIL(err, BE_FAILED, "a training could not be waited for: %s", strerror(errno));
        if (watch->stop && *watch->stop && !is_told) kill(child, SIGTERM);
        is_told |= watch->stop && *watch->stop;
        clock_sleep_ns(LOOK_NS);
    }
    if (is_told) FAIL(err, BE_INTERRUPTED, "stopped by a signal");
    return BE_OK;
}

/* Its last line, which is the reason. */
static be_status tell_failure(FILE *log, int exit_status, be_error *err)
{
    static const be_status codes[] = {BE_USAGE, BE_UNAVAILABLE, BE_NUMERIC, BE_NO_MEMORY};
    char line[sizeof((be_error *)0)->text] = "", last[sizeof line] = "it said nothing";
    be_status status = BE_FAILED;
    rewind(log);
    while (fgets(line, sizeof line, log)) snprintf(last, sizeof last, "%s", line);
    last[strcspn(last, "\n")] = 0;
    const char *text = strncmp(last, "breakeven: ", 11) == 0 ? last + 11 : last;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == be_status_exit_code(codes[i]))
            status = codes[i];
    FAIL(err, status, "%s", text);
}

static be_status run(const command *c, const study_watch *watch, FILE *out, FILE *log,
                     be_error *err)
{
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int exit_status = 0;
    if (posix_spawn_file_actions_init(&actions) != 0)
        FAIL(err, BE_NO_MEMORY, "no memory to start a training");
    posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(log), STDERR_FILENO);
    topology_unbind(); /* OpenMP may have pinned this thread, and the training would inherit that */
    int problem = posix_spawn(&child, c->words[0], &actions, NULL, c->words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (problem) FAIL(err, BE_FAILED, "a training could not be started: %s", strerror(problem));
    TRY(wait_for(child, watch, &exit_status, err));
    return WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0
               ? BE_OK
               : tell_failure(log, exit_status, err);
}

static be_status read_times(FILE *out, const workers_job *job, workers_time *time, be_error *err)
{
    json_t *record = NULL, *last = NULL;
    rewind(out);
    while ((record = json_loadf(out, JSON_DISABLE_EOF_CHECK, NULL))) {
        json_decref(last);
        last = record;
    }
    double rate = json_real_at(last, "samples_per_s");
    *time = (workers_time){.step_s = (double)job->batch / rate,
                           .reduce_s = json_real_at(last, "all_reduce_s"),
                           .bytes = json_real_at(last, "all_reduce_bytes")};
    json_decref(last);
    if (!(rate > 0)) FAIL(err, BE_FAILED, "a training by workers told no speed");
    return BE_OK;
}

be_status workers_train(const study_request *request, const study_watch *watch,
                        const workers_job *job, workers_time *out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(command), "the words of a training", err));
    FILE *results = tmpfile(), *log = tmpfile();
    be_status status = results && log
                           ? make_command(request, job, memory, err)
                           : status_fail(err, __FILE__, __LINE__, BE_IO,
                                         "no file for what a training says: %s", strerror(errno));
    if (status == BE_OK) status = run(memory, watch, results, log, err);
    if (status == BE_OK) status = read_times(results, job, out, err);
    if (results) fclose(results);
    if (log) fclose(log);
    memory_free(memory);
    return status;
}

/* ---------------------------------------------------------------- the link */

#define LINK_TIMES 9
#define SMALL 1 /* floats */

typedef struct link_rank {
    be_group *group;
    float *x;
    int64_t count;
    double small_s, whole_s; /* the least of all times: nothing else was in the way then */
    be_status status;
    be_error err;
} link_rank;

static be_status time_means(link_rank *r, int64_t count, double *least_s, be_error *err)
{
    *least_s = (double)INFINITY;
    for (int i = 0; i < LINK_TIMES; i++) {
        TRY(group_wait(r->group, GROUP_LIMIT_NS, err));
        int64_t start_ns = clock_now_ns();
        TRY(group_mean(r->group, r->x, count, err));
        *least_s = fmin(*least_s, (double)(clock_now_ns() - start_ns) * 1e-9);
    }
    return BE_OK;
}

static void *run_rank(void *rank)
{
    link_rank *r = rank;
    r->status = time_means(r, SMALL, &r->small_s, &r->err);
    if (r->status == BE_OK) r->status = time_means(r, r->count, &r->whole_s, &r->err);
    if (r->status != BE_OK) group_end(r->group, &r->err);
    return NULL;
}

static be_status run_both(link_rank ranks[2], be_error *err)
{
    pthread_t other;
    if (pthread_create(&other, NULL, run_rank, &ranks[1]) != 0)
        FAIL(err, BE_UNAVAILABLE, "no thread to measure the link between workers with");
    run_rank(&ranks[0]);
    pthread_join(other, NULL);
    for (int r = 0; r < 2; r++)
        if (ranks[r].status != BE_OK) {
            if (err) *err = ranks[r].err;
            return ranks[r].status;
        }
    return BE_OK;
}

/* By the model of measure/scaling.h a sum on two takes 2 (latency + bytes / 2 / rate). */
be_status workers_link(double bytes, scaling_link *out, be_error *err)
{
    be_group *groups[2];
    void *memory[2] = {NULL, NULL};
    link_rank ranks[2] = {{0}};
    TRY(group_of_threads(2, groups, err));
    be_status status = BE_OK;
    for (int r = 0; r < 2 && status == BE_OK; r++) {
        status = memory_alloc(&memory[r], (size_t)bytes, "gradients to measure a link with", err);
        ranks[r] = (link_rank){
            .group = groups[r], .x = memory[r], .count = (int64_t)(bytes / sizeof(float))};
    }
    if (status == BE_OK) status = run_both(ranks, err);
    double more_s = ranks[0].whole_s - ranks[0].small_s;
    *out = (scaling_link){.bytes_per_s = bytes / fmax(more_s, 1e-9),
                          .latency_s = ranks[0].small_s / 2};
    for (int r = 0; r < 2; r++) {
        be_group_close(groups[r]);
        memory_free(memory[r]);
    }
    return status;
}
