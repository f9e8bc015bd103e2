/* The program: reads the command line, runs the command, tells its error, and exits with its code.
 * The one place that exits. */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "core/clock.h"

#define WATCH_NS (INT64_C(3600) * 1000000000) /* a wait, which only a closed pipe ends before */

/* Whoever waits sees cli_signal and saves; a second signal ends the program at once. */
static void take_signal(int number)
{
    cli_signal = number;
}

static void set_up_signals(void)
{
    struct sigaction action = {.sa_handler = take_signal, .sa_flags = (int)SA_RESETHAND}, old;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* Whoever started it by nohup wants it to outlive the terminal. */
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    /* A closed pipe and a file that gets too large are write errors, told or met below. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* ---------------------------------------------------------------- standard streams */

/* Copies of standard output and standard error where they are pipes; else -1. */
static int pipes[2] = {-1, -1};

static bool wait_for_reader_to_go(int count, int64_t ns)
{
    struct pollfd watched[2] = {{.fd = pipes[0]}, {.fd = pipes[1]}};
    return clock_wait_ready(watched, count, ns) > 0;
}

/* Nobody reads on: whoever looks at cli_signal ends, though it has nothing to print yet. */
static void *watch_pipes(void *unused)
{
    while (!wait_for_reader_to_go(2, WATCH_NS)) continue;
    if (!cli_signal) cli_signal = SIGPIPE;
    return unused;
}

static bool is_pipe(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

/* By a thread, for it may happen in the middle of a long step; it sleeps until then.  By copies of
 * the descriptors, for standard output is moved. */
static void set_up_watch(void)
{
    pthread_t thread;
    sigset_t all, before;
    for (int i = 0; i < 2; i++)
        if (is_pipe(STDOUT_FILENO + i)) pipes[i] = fcntl(STDOUT_FILENO + i, F_DUPFD_CLOEXEC, 3);
    if (pipes[0] < 0 && pipes[1] < 0) return;
    sigfillset(&all); /* signals are the main thread's: they end its waits */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, watch_pipes, NULL) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* As COLUMNS says, else as wide as the terminal is; 0 where neither is known. */
static int find_columns(void)
{
    const char *text = getenv("COLUMNS");
    struct winsize size;
    char *end = NULL;
    long columns = text ? strtol(text, &end, 10) : 0;
    if (text && end != text && !*end && columns > 0 && columns < 10000) return (int)columns;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static void set_up_look(void)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    setlocale(LC_CTYPE, "");
    report_look.columns = find_columns();
    report_look.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    report_look.color = isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal &&
                        strcmp(terminal, "dumb") != 0;
}

/* A descriptor of the first three that came closed would be taken by the next file that is opened,
 * and be written to by whoever means its old owner.  Writing to what stands there now fails. */
static void fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            _exit(be_status_exit_code(BE_IO));
}

/* Keep standard output for the results alone; see cli_results. */
static be_status take_standard_output(be_error *err)
{
    if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
        FAIL(err, BE_IO,
             "standard output: expected a place for the results, found it closed or not for "
             "writing; redirect it to a file, or to /dev/null");
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    cli_results = fd < 0 ? NULL : fdopen(fd, "w");
    if (!cli_results || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        FAIL(err, BE_IO, "standard output could not be taken: %s; raise `ulimit -n`",
             strerror(errno));
    return BE_OK;
}

static be_status run(int count, char **words, cli_options *options, be_error *err)
{
    TRY(take_standard_output(err));
    TRY(options_parse(options, count - 1, words + 1, err));
    TRY(cli_give_stdout(options, err));
    /* By the environment, because runners inherit it. */
    const option_value *folders = &options->value[OPTION_CUDA_LIB_DIR];
    if (folders->is_given && setenv("BREAKEVEN_CUDA_LIB_DIR", folders->text, 1) != 0)
        FAIL(err, BE_NO_MEMORY, "--cuda-lib-dir: no memory for its folders");
    if (options->value[OPTION_VERSION].is_given)
        help_print_version(cli_results);
    else if (options->value[OPTION_HELP].is_given)
        help_print(options->command, cli_results);
    else
        TRY(command_table[options->command].run(options, err));
    return BE_OK;
}

/* What stays to be said, and the exit code. */
static int end(be_status status, const be_error *err)
{
    cli_progress_end();
    bool failed = cli_results && ferror(cli_results);
    bool unwritten = (cli_results && fclose(cli_results) != 0) || failed;
    bool is_closed = unwritten && wait_for_reader_to_go(1, 0);
    if ((status == BE_OK && is_closed) || (status == BE_INTERRUPTED && cli_signal == SIGPIPE))
        return 128 + SIGPIPE; /* as the shell says it of those that the signal ends */
    if (status == BE_OK && unwritten) {
        fprintf(stderr, "breakeven: standard output could not be written: expected room, found "
                        "none; is its disk full, or the limit of a file's size (ulimit -f) "
                        "reached?\n");
        status = BE_IO;
    } else if (status != BE_OK && err->text[0]) {
        fprintf(stderr, "breakeven: %s\n", err->text);
    }
    if (status == BE_INTERRUPTED && cli_signal) return 128 + (int)cli_signal;
    return be_status_exit_code(status);
}

int main(int count, char **words)
{
    static cli_options options;
    be_error err = {0};
    fill_standard_descriptors();
    set_up_signals();
    set_up_look();
    set_up_watch();
    be_status status = run(count, words, &options, &err);
    return end(status, &err);
}
