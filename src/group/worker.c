/* Workers: starting, watching and joining them. */
#include "group/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "core/clock.h"
#include "core/file.h"
#include "core/topology.h"
#include "group/board.h"

/* What a worker is told: its rank, how many there are, the descriptor of the board. */
#define VARIABLE "BREAKEVEN_WORKER"
#define LOOK_NS INT64_C(10000000) /* between two looks at the workers */
/* How long the others have to end once one has failed.  They learn of it at once; together with the
 * limit of their waiting this is less than 10 s.  For a signal all stop in order and take their
 * time.
 */
#define GRACE_NS INT64_C(1500000000)

/* ---------------------------------------------------------------- a worker */

bool worker_find(launch *out)
{
    const char *text = getenv(VARIABLE);
    launch l = {.family = MPI_FAMILIES};
    if (!text || sscanf(text, "%d/%d/%d", &l.rank, &l.size, &l.board) != 3) return false;
    *out = l;
    return true;
}

be_status worker_join(const launch *from, be_group **out, be_error *err)
{
    if (from->size < 1 || from->size > GROUP_MOST || from->rank < 0 || from->rank >= from->size)
        FAIL(err, BE_USAGE, VARIABLE ": expected a rank of at most %d, found \"%s\"; unset it",
             GROUP_MOST, getenv(VARIABLE));
    be_status status = board_file_join(from->board, from->rank, from->size, out, err);
    if (status != BE_OK) status_prefix(err, VARIABLE);
    return status;
}

/* ---------------------------------------------------------------- starting */

typedef struct crew {
    int size, running;
    pid_t pid[GROUP_MOST]; /* 0: it has ended */
    int code;              /* of the first that failed */
    int64_t failed_ns;     /* when it did */
    int killed, by;        /* the first that was killed, and the signal that did it; 0: none */
    pid_t killed_pid;
} crew;

static _Noreturn void become_worker(const char *program, char *const *words)
{
    char *line[256] = {"breakeven"};
    int count = 1;
    for (; *words && count < 255; words++) line[count++] = *words;
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it saves, and ends with us */
#endif
    if (!*words) execv(program, line);
    fprintf(stderr, "breakeven: %s could not be started as a worker: %s\n", program,
            *words ? "too many words" : strerror(errno));
    _exit(be_status_exit_code(BE_FAILED));
}

static be_status start_workers(crew *c, int fd, board *b, char *const *words, be_error *err)
{
    char program[FILE_PATH_BYTES], text[64];
    TRY(file_own_program(program, err));
    topology_unbind(); /* OpenMP may have pinned this thread, and the workers would inherit that */
    for (int r = 0; r < c->size; r++) {
        snprintf(text, sizeof text, "%d/%d/%d", r, c->size, fd);
        if (setenv(VARIABLE, text, 1) != 0) FAIL(err, BE_NO_MEMORY, "no memory for " VARIABLE);
        pid_t child = fork();
        if (child == 0) become_worker(program, words);
        if (child < 0)
            FAIL(err, BE_UNAVAILABLE,
                 "expected %d workers, but the system gives %d (%s); ask for fewer, or raise the "
                 "limit: ulimit -u, or pids.max of the control group",
                 c->size, r, strerror(errno));
        board_expect(b, r, child);
        c->pid[r] = child;
        c->running++;
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- watching */

static void look_at(crew *c, int r)
{
    int exit_status = 0;
    pid_t pid = waitpid(c->pid[r], &exit_status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) return;
    int code = pid > 0 && WIFEXITED(exit_status) ? WEXITSTATUS(exit_status)
                                                 : be_status_exit_code(BE_FAILED);
    if (pid > 0 && WIFSIGNALED(exit_status) && !c->by) {
        c->killed = r;
        c->by = WTERMSIG(exit_status);
        c->killed_pid = pid;
    }
    c->pid[r] = 0;
    c->running--;
    if (!code || c->code) return;
    c->code = code;
    c->failed_ns = clock_now_ns();
}

static void send_all(const crew *c, int number)
{
    for (int r = 0; r < c->size; r++)
        if (c->pid[r]) kill(c->pid[r], number);
}

/* The terminal's Ctrl-C goes to the workers too, whose second signal of a kind ends them at once:
 * so rank 0 gets one of another kind. */
static void watch_crew(crew *c, const volatile sig_atomic_t *stop)
{
    bool is_told = false;
    while (c->running) {
        for (int r = 0; r < c->size; r++)
            if (c->pid[r]) look_at(c, r);
        if (*stop && !is_told && c->pid[0]) kill(c->pid[0], *stop == SIGTERM ? SIGINT : SIGTERM);
        is_told |= *stop != 0;
        if (c->code && c->code < 128 && clock_now_ns() - c->failed_ns > GRACE_NS)
            send_all(c, SIGKILL);
        if (c->running) clock_sleep_ns(LOOK_NS);
    }
}

/* A worker that is killed cannot say so, and the others only notice when they wait for it. */
static be_status tell_killed(const crew *c, const board *b, be_error *err)
{
    if (!c->by || board_is_told(b)) return BE_OK;
    FAIL(err, BE_FAILED,
         "rank %d of %d (process %ld) was killed by signal %d; checkpoints are whole, and --resume "
         "goes on from the last",
         c->killed, c->size, (long)c->killed_pid, c->by);
}

static be_status run_crew(crew *c, int fd, board *b, char *const *words,
                          const volatile sig_atomic_t *stop, be_error *err)
{
    be_status status = start_workers(c, fd, b, words, err);
    unsetenv(VARIABLE);
    if (status != BE_OK) send_all(c, SIGKILL);
    watch_crew(c, stop);
    return status == BE_OK ? tell_killed(c, b, err) : status;
}

be_status workers_run(int size, char *const *words, const volatile sig_atomic_t *stop, int *code,
                      be_error *err)
{
    crew c = {.size = size};
    int fd = -1;
    board *b = NULL;
    be_status status = board_file_new(size, &fd, &b, err);
    if (status == BE_OK) status = run_crew(&c, fd, b, words, stop, err);
    board_file_free(fd, b, size);
    *code = c.code;
    return status;
}
