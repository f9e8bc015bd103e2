/* breakeven runner: the native engine as a child of the conductor. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "cli/cli.h"
#include "cli/commands.h"
#include "native/native_runner.h"
#include "protocol/protocol.h"

/* The descriptor that the conductor names, which nothing else in this process knows; standard
 * output for a person who tries the protocol by hand. */
static be_status open_answers(FILE **out, be_error *err)
{
    const char *text = getenv(PROTOCOL_ANSWERS_VARIABLE);
    char *end = NULL;
    *out = cli_results;
    if (!text || !*text) return BE_OK;
    long fd = strtol(text, &end, 10);
    bool good = *end == 0 && fd > STDERR_FILENO && fd < 1 << 20;
    if (good) good = fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0;
    *out = good ? fdopen((int)fd, "w") : NULL;
    if (!*out)
        FAIL(err, BE_USAGE,
             PROTOCOL_ANSWERS_VARIABLE ": expected the number of a descriptor that is open, found "
                                       "'%.40s'; unset it: the conductor sets it itself",
             text);
    unsetenv(PROTOCOL_ANSWERS_VARIABLE); /* it is for this process, not for what it starts */
    return BE_OK;
}

static pid_t conductor;

static void look_for_conductor(int number)
{
    (void)number;
    if (getppid() != conductor) _exit(1);
}

/* In the middle of a long request too; elsewhere than on Linux, only its input ends with it.  The
 * system sends the signal at the end of the thread that started us, which may be one of several. */
static void end_with_conductor(void)
{
    conductor = getppid();
    signal(SIGUSR2, look_for_conductor);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
#endif
}

be_status cmd_runner(const cli_options *options, be_error *err)
{
    be_device_options device = {.isa = options->value[OPTION_ISA].text,
                                .library = options->value[OPTION_LIBRARY].text};
    end_with_conductor();
    FILE *answers = NULL;
    TRY(open_answers(&answers, err));
    be_status status = native_runner_serve(stdin, answers, &device, err);
    if (fflush(answers) != 0 && status == BE_OK)
        FAIL(err, BE_IO, "the answers could not be written: the conductor has gone");
    return status;
}
