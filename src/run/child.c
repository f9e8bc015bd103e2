/* Starting, writing to, reading from and ending a child process. */
#include "run/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "protocol/protocol.h"

#define CHILD_LOG_BYTES 16384
#define CHILD_LOG_READ 65536 /* bytes read of a log at a time, so that no flood holds a wait up */
#define CHILD_SLICE_NS 200000000 /* a wait looks for an interruption this often */
#define CHILD_DEATH_NS 2000000000
#define CHILD_END_NS 2000000 /* between two looks whether it has ended */
#define CHILD_LOOK_NS 300000 /* between two looks at the states of its threads */
/* Where these are not told: the kernel adds up a running process' time at its ticks, 10 ms apart at
 * most, and a shorter look could take a busy process for a sleeping one. */
#define CHILD_TICK_NS 12000000
#define CHILD_SHOWN_LOG 500 /* bytes of the log in an error text, which has room for 1,000 */

#define TEXT_OF(number) TEXT_OF_TOKEN(number)
#define TEXT_OF_TOKEN(token) #token

extern char **environ;

struct child {
    pid_t pid;
    int in, out, log; /* our ends; in is a socket, so that writing to the dead is no signal */
    bool reaped, killed_by_us;
    int wait_status;
    struct rusage usage;
    const volatile sig_atomic_t *interrupted;
    size_t line_max;
    bool (*is_astray)(const char *line, size_t length); /* NULL once an answer has come */
    void *buffer; /* bytes read and not yet handed out: [start, end) */
    size_t capacity, start, end, searched;
    size_t log_used;
    char log_text[CHILD_LOG_BYTES];
    char name[256];
};

/* ------------------------------------------------------------------- start */

/* These descriptors are what the child's are made of, so ours must lie above them. */
static int child_lift(int fd)
{
    if (fd < 0) return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, PROTOCOL_ANSWERS_FD + 1);
    close(fd);
    return lifted;
}

static void child_close(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* in, out, log: [0] the parent's end, [1] the child's. */
typedef struct child_pipes {
    int in[2], out[2], log[2];
} child_pipes;

static be_status child_open_pipes(child_pipes *p, be_error *err)
{
    *p = (child_pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    bool open =
        socketpair(AF_UNIX, SOCK_STREAM, 0, p->in) == 0 && pipe(p->out) == 0 && pipe(p->log) == 0;
    int *ends[] = {p->in, p->in + 1, p->out, p->out + 1, p->log, p->log + 1};
    for (int i = 0; i < 6; i++) open = (*ends[i] = child_lift(*ends[i])) >= 0 && open;
    if (open && fcntl(p->in[0], F_SETFL, O_NONBLOCK) == 0 &&
        fcntl(p->out[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(p->log[0], F_SETFL, O_NONBLOCK) == 0) {
#ifdef SO_NOSIGPIPE
        setsockopt(p->in[0], SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
        return BE_OK;
    }
    int problem = errno;
    for (int i = 0; i < 6; i++) child_close(ends[i]);
    FAIL(err, BE_IO, "starting a runner: expected three pipes, found '%s'; raise `ulimit -n`",
         strerror(problem));
}

static bool child_overridden(const char *variable, const char *const *env)
{
    const char *equals = strchr(variable, '=');
    size_t length = equals ? (size_t)(equals - variable) + 1 : strlen(variable);
    for (; env && *env; env++)
        if (!strncmp(variable, *env, length)) return true;
    return false;
}

/* The parent's environment with `env` laid over it, in one block of memory. */
static be_status child_environment(const child_options *options, void **out, be_error *err)
{
    const char *const *env = options->env;
    static const char *const answers = PROTOCOL_ANSWERS_VARIABLE "=" TEXT_OF(PROTOCOL_ANSWERS_FD);
    size_t count = 2;
    for (char **v = environ; *v; v++) count++;
    for (const char *const *v = env; v && *v; v++) count++;
    TRY(memory_alloc(out, count * sizeof(char *), "environment of a runner", err));
    const char **merged = *out;
    for (char **v = environ; *v; v++)
        if (!child_overridden(*v, env) && !child_overridden(*v, (const char *[]){answers, NULL}))
            *merged++ = *v;
    for (const char *const *v = env; v && *v; v++) *merged++ = *v;
    if (!options->plain) *merged++ = answers;
    *merged = NULL;
    return BE_OK;
}

static int child_spawn(pid_t *pid, const child_options *options, char **env, child_pipes *pipes)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    int problem = posix_spawn_file_actions_init(&actions);
    if (problem) return problem;
    problem = posix_spawnattr_init(&attributes);
    if (!problem) {
        posix_spawn_file_actions_adddup2(&actions, pipes->in[1], STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, pipes->log[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, pipes->log[1], STDERR_FILENO);
        posix_spawn_file_actions_adddup2(&actions, pipes->out[1],
                                         options->plain ? STDOUT_FILENO : PROTOCOL_ANSWERS_FD);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                  POSIX_SPAWN_SETSIGDEF);
        problem = posix_spawnp(pid, options->argv[0], &actions, &attributes,
                               (char *const *)options->argv, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return problem;
}

static const char *child_start_advice(int problem)
{
    switch (problem) {
    case ENOMEM:
        return "free memory, or raise `ulimit -v`";
    case EAGAIN:
        return "end other programs, or raise `ulimit -u`";
    case EMFILE:
    case ENFILE:
        return "raise `ulimit -n`";
    case E2BIG:
        return "take out of the environment what is not needed";
    default:
        return "install it or give its path";
    }
}

be_status child_start(child **out, const child_options *options, be_error *err)
{
    void *memory = NULL, *env = NULL;
    child_pipes pipes;
    *out = NULL;
    MUST(options->argv && options->argv[0]);
    TRY(child_environment(options, &env, err));
    be_status status = memory_alloc(&memory, sizeof(child), "runner", err);
    if (status == BE_OK) status = child_open_pipes(&pipes, err);
    if (status != BE_OK) {
        memory_free(memory);
        memory_free(env);
        return status;
    }
    child *c = memory;
    int problem = child_spawn(&c->pid, options, env, &pipes);
    memory_free(env);
    child_close(&pipes.in[1]);
    child_close(&pipes.out[1]);
    child_close(&pipes.log[1]);
    if (problem) {
        child_close(&pipes.in[0]);
        child_close(&pipes.out[0]);
        child_close(&pipes.log[0]);
        memory_free(memory);
        FAIL(err, problem == ENOENT || problem == EACCES ? BE_UNAVAILABLE : BE_IO,
             "starting '%s': expected a program that can be run, found '%s'; %s", options->argv[0],
             strerror(problem), child_start_advice(problem));
    }
    c->in = pipes.in[0];
    c->out = pipes.out[0];
    c->log = pipes.log[0];
    c->interrupted = options->interrupted;
    c->line_max = options->line_max;
    c->is_astray = options->is_astray;
    snprintf(c->name, sizeof c->name, "%s", options->argv[0]);
    *out = c;
    return BE_OK;
}

/* --------------------------------------------------------------------- end */

/* Read of the log what there is, but no more than a wait can afford; its end stays. */
static void child_read_log(child *c)
{
    for (size_t all = 0; c->log >= 0 && all < CHILD_LOG_READ;) {
        if (c->log_used == CHILD_LOG_BYTES) {
            c->log_used = CHILD_LOG_BYTES / 2;
            memmove(c->log_text, c->log_text + CHILD_LOG_BYTES / 2, c->log_used);
        }
        ssize_t got = read(c->log, c->log_text + c->log_used, CHILD_LOG_BYTES - c->log_used);
        if (got > 0) {
            c->log_used += (size_t)got;
            all += (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            child_close(&c->log);
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

/* Whether it has ended; if so, what is left of its group goes too, before the id can be reused. */
static bool child_has_ended(child *c)
{
    if (c->reaped) return true;
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0)
        return false;
    kill(-c->pid, SIGKILL);
    while (wait4(c->pid, &c->wait_status, 0, &c->usage) < 0 && errno == EINTR) continue;
    c->reaped = true;
    return true;
}

/* What it still says is read meanwhile: one whose log is full would wait for us. */
static void child_await_end(child *c, int64_t deadline_ns)
{
    while (!child_has_ended(c)) {
        child_read_log(c);
        if (clock_now_ns() >= deadline_ns) {
            c->killed_by_us = true;
            kill(-c->pid, SIGKILL);
        }
        clock_sleep_ns(CHILD_END_NS);
    }
}

static const char *child_signal_hint(int signal)
{
    switch (signal) {
    case SIGKILL:
        return "; the system may have run out of memory: use a smaller batch or free memory";
    case SIGILL:
        return "; it may have been built for another processor";
    case SIGSEGV:
    case SIGBUS:
    case SIGABRT:
    case SIGFPE:
        return "; this is a bug of the runner or its libraries";
    default:
        return "";
    }
}

static void child_describe_end(const child *c, char *out, size_t size)
{
    if (c->killed_by_us)
        snprintf(out, size, "was killed because it did not end");
    else if (WIFSIGNALED(c->wait_status))
        snprintf(out, size, "was killed by signal %d (%s)%s", WTERMSIG(c->wait_status),
                 strsignal(WTERMSIG(c->wait_status)), child_signal_hint(WTERMSIG(c->wait_status)));
    else
        snprintf(out, size, "exited with %d", WEXITSTATUS(c->wait_status));
}

/* --------------------------------------------------------------- log, read */

/* Copy the last `lines` lines, and of them what fits with its end. */
static char *child_log_tail(child *c, int lines, char *out, size_t size)
{
    child_read_log(c);
    size_t end = c->log_used, start;
    while (end > 0 && c->log_text[end - 1] == '\n') end--;
    for (start = end; start > 0; start--)
        if (c->log_text[start - 1] == '\n' && --lines == 0) break;
    if (end - start >= size) start = end - (size - 1);
    return text_clean(c->log_text + start, end - start, true, out, size);
}

char *child_log(child *c, char *out, size_t size)
{
    return child_log_tail(c, CHILD_LOG_LINES, out, size);
}

/* BE_BAD_DATA if the log has a whole line that was meant as an answer: none would ever come. */
static be_status child_look_astray(const child *c, be_error *err)
{
    const char *line = c->log_text, *end = c->log_text + c->log_used, *newline;
    for (; c->is_astray && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1)
        if (c->is_astray(line, (size_t)(newline - line)))
            FAIL(err, BE_BAD_DATA,
                 "expected the answer on descriptor %d, found it on standard output: it speaks "
                 "version 1 of the protocol; answers go to " PROTOCOL_ANSWERS_VARIABLE
                 " since version 2 (docs/runner-protocol.md)",
                 PROTOCOL_ANSWERS_FD);
    return BE_OK;
}

/* The error of a child that has gone: how it ended and its last words. */
static be_status child_gone(child *c, be_error *err)
{
    char ending[200], words[CHILD_SHOWN_LOG];
    child_await_end(c, clock_now_ns() + CHILD_DEATH_NS);
    child_describe_end(c, ending, sizeof ending);
    child_log_tail(c, CHILD_LOG_LINES, words, sizeof words);
    TRY(child_look_astray(c, err));
    FAIL(err, BE_IO, "expected an answer, found that the runner %s; its last words: %s", ending,
         *words ? words : "none");
}

static be_status child_hung(child *c, double waited_s, be_error *err)
{
    char words[CHILD_SHOWN_LOG];
    child_await_end(c, 0);
    child_log_tail(c, CHILD_LOG_LINES, words, sizeof words);
    FAIL(err, BE_FAILED,
         "expected an answer within %.3g s, found none; the runner hung and was killed (or was too "
         "slow: stop other programs, or ask for a smaller batch); its last words: %s",
         waited_s, *words ? words : "none");
}

/* Wait until `fd` is ready for `events`, the log is drained meanwhile.  BE_OK, BE_INTERRUPTED,
 * BE_BAD_DATA for an answer astray, or BE_FAILED without a text at the deadline. */
static be_status child_wait(child *c, int fd, short events, int64_t deadline_ns, be_error *err)
{
    for (;;) {
        if (c->interrupted && *c->interrupted) FAIL(err, BE_INTERRUPTED, "stopped by a signal");
        int64_t rest_ns = deadline_ns - clock_now_ns();
        if (rest_ns <= 0) return BE_FAILED;
        if (rest_ns > CHILD_SLICE_NS) rest_ns = CHILD_SLICE_NS;
        struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = c->log, .events = POLLIN}};
        int ready = clock_wait_ready(fds, 2, rest_ns);
        if (ready > 0 && fds[1].revents) child_read_log(c);
        if (ready > 0 && fds[0].revents) return BE_OK;
        TRY(child_look_astray(c, err));
    }
}

be_status child_send(child *c, const char *bytes, size_t length, int64_t deadline_ns, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    int flags = 0;
#ifdef MSG_NOSIGNAL
    flags = MSG_NOSIGNAL;
#endif
    while (length > 0) {
        ssize_t bytes_sent = send(c->in, bytes, length, flags);
        if (bytes_sent >= 0) {
            bytes += bytes_sent;
            length -= (size_t)bytes_sent;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            be_status status = child_wait(c, c->in, POLLOUT, deadline_ns, err);
            if (status == BE_FAILED)
                return child_hung(c, (double)(deadline_ns - start_ns) * 1e-9, err);
            TRY(status);
        } else if (errno != EINTR) {
            return child_gone(c, err);
        }
    }
    return BE_OK;
}

/* Read what there is, at most one line's limit.  *got: bytes read, 0 at the end, -1 if none now. */
static be_status child_fill(child *c, ssize_t *got, be_error *err)
{
    if (c->start > 0) {
        memmove(c->buffer, (char *)c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->searched -= c->start;
        c->start = 0;
    }
    TRY(memory_grow(&c->buffer, &c->capacity, c->end + 4096, 1, err));
    *got = read(c->out, (char *)c->buffer + c->end, c->capacity - c->end - 1);
    if (*got > 0)
        c->end += (size_t)*got;
    else if (*got < 0 && errno != EAGAIN && errno != EINTR)
        *got = 0;
    return BE_OK;
}

/* A whole line of what was read, or NULL. */
static be_status child_next_line(child *c, const char **line, size_t *length, be_error *err)
{
    char *text = c->buffer;
    char *newline =
        c->end > c->searched ? memchr(text + c->searched, '\n', c->end - c->searched) : NULL;
    size_t line_bytes = newline ? (size_t)(newline - text) - c->start : c->end - c->start;
    *line = NULL;
    if (line_bytes > c->line_max) {
        child_await_end(c, 0);
        FAIL(err, BE_BAD_DATA,
             "expected an answer of at most %zu bytes, found a longer line; the runner "
             "breaks the protocol and was killed",
             c->line_max);
    }
    c->searched = c->end;
    if (!newline) return BE_OK;
    *newline = 0;
    *line = text + c->start;
    *length = line_bytes;
    c->start += line_bytes + 1;
    c->searched = c->start;
    c->is_astray = NULL;
    return BE_OK;
}

be_status child_read_line(child *c, const char **line, size_t *length, int64_t *arrived_ns,
                          int64_t deadline_ns, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    for (;;) {
        TRY(child_next_line(c, line, length, err));
        if (*line) return BE_OK;
        be_status status = child_wait(c, c->out, POLLIN, deadline_ns, err);
        if (status == BE_FAILED) return child_hung(c, (double)(deadline_ns - start_ns) * 1e-9, err);
        TRY(status);
        ssize_t got = 0;
        TRY(child_fill(c, &got, err));
        if (arrived_ns) *arrived_ns = clock_now_ns();
        if (got == 0) return child_gone(c, err);
    }
}

void child_watch(const child *c, struct pollfd out[2])
{
    const int fds[2] = {c->out, c->log};
    for (int i = 0; i < 2; i++) out[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
}

be_status child_take_line(child *c, const char **line, bool *has_ended, be_error *err)
{
    size_t length = 0;
    child_read_log(c);
    for (;;) {
        ssize_t got = 0;
        TRY(child_next_line(c, line, &length, err));
        *has_ended = !*line && c->out < 0;
        if (*line || *has_ended) return BE_OK;
        TRY(child_fill(c, &got, err));
        if (got < 0) return BE_OK;
        if (got == 0) child_close(&c->out);
    }
}

be_status child_expect_silence(child *c, be_error *err)
{
    struct pollfd fd = {.fd = c->out, .events = POLLIN};
    ssize_t got = 0;
    if (c->start == c->end && clock_wait_ready(&fd, 1, 0) > 0 && fd.revents & POLLIN)
        TRY(child_fill(c, &got, err));
    if (c->start == c->end) return BE_OK;
    char text[100];
    text_clean((char *)c->buffer + c->start, c->end - c->start, false, text, sizeof text);
    FAIL(err, BE_BAD_DATA,
         "expected silence before the next request, found an answer that nobody asked for: '%s'; a "
         "runner may write nothing but answers to the descriptor of its answers",
         text);
}

int child_stop(child *c, double grace_s, char *ending, size_t size, int64_t *peak_rss_bytes)
{
    child_close(&c->in);
    child_await_end(c, clock_now_ns() + (int64_t)(grace_s * 1e9));
    if (ending) child_describe_end(c, ending, size);
#ifdef __APPLE__
    if (peak_rss_bytes) *peak_rss_bytes = c->usage.ru_maxrss;
#else
    if (peak_rss_bytes) *peak_rss_bytes = (int64_t)c->usage.ru_maxrss * 1024;
#endif
    int code =
        WIFSIGNALED(c->wait_status) ? -WTERMSIG(c->wait_status) : WEXITSTATUS(c->wait_status);
    child_close(&c->out);
    child_close(&c->log);
    free(c->buffer);
    memory_free(c);
    return code;
}

/* ------------------------------------------------------------------- facts */

int64_t child_peak_rss_bytes(const child *c)
{
    int64_t bytes = -1;
#ifdef __linux__
    char path[64], line[256];
    long long kib;
    snprintf(path, sizeof path, "/proc/%lld/status", (long long)c->pid);
    FILE *file = c->reaped ? NULL : fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld kB", &kib) == 1) bytes = kib * 1024;
    if (file) fclose(file);
#else
    (void)c;
#endif
    return bytes;
}

int64_t child_cpu_ns(const child *c)
{
    return c->reaped ? -1 : clock_cpu_ns(c->pid);
}

int64_t child_group_cpu_ns(const child *c)
{
    int64_t sum_ns = child_cpu_ns(c);
#ifdef __linux__
    DIR *folder = sum_ns < 0 ? NULL : opendir("/proc");
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || pid == c->pid || getpgid(pid) != c->pid) continue;
        int64_t used_ns = clock_cpu_ns(pid);
        if (used_ns > 0) sum_ns += used_ns;
    }
    if (folder) closedir(folder);
#endif
    return sum_ns;
}

/* Its threads that run or wait for a processor; -1 where the system does not list them. */
static int child_running_threads(const child *c)
{
    int running = -1;
#ifdef __linux__
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%lld/task", (long long)c->pid);
    DIR *folder = c->reaped ? NULL : opendir(path);
    if (folder) running = 0;
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%lld/task/%.20s/stat", (long long)c->pid, e->d_name);
        FILE *file = fopen(path, "re");
        /* The state follows the name, which stands in brackets and may hold any character. */
        if (file && fgets(line, sizeof line, file)) {
            const char *name_end = strrchr(line, ')');
            running += name_end && name_end[1] == ' ' && name_end[2] == 'R';
        }
        if (file) fclose(file);
    }
    if (folder) closedir(folder);
#else
    (void)c;
#endif
    return running;
}

/* Whether it slept since the last look: by the states of its threads, else by the time it used. */
static bool child_sleeps(const child *c, int64_t *then_ns, int64_t *used_ns)
{
    int running = child_running_threads(c);
    clock_sleep_ns(running >= 0 ? CHILD_LOOK_NS : CHILD_TICK_NS);
    if (running >= 0) return running == 0 && child_running_threads(c) <= 0;
    int64_t now_ns = clock_now_ns(), now_used_ns = child_cpu_ns(c);
    bool sleeps = now_used_ns < 0 || (now_used_ns - *used_ns) * 20 < now_ns - *then_ns;
    *then_ns = now_ns;
    *used_ns = now_used_ns;
    return sleeps;
}

double child_settle(const child *c, double limit_s)
{
    int64_t start_ns = clock_now_ns(), then_ns = start_ns, used_ns = child_cpu_ns(c);
    if (used_ns < 0) return 0;
    for (;;) {
        bool sleeps = child_sleeps(c, &then_ns, &used_ns);
        double waited_s = (double)(clock_now_ns() - start_ns) * 1e-9;
        if (sleeps) return waited_s;
        if (waited_s >= limit_s) return -waited_s;
    }
}

int64_t child_pid(const child *c)
{
    return c->pid;
}
