/* breakeven runner: the native engine as a child of the conductor. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "cli/cli.h"
#include "cli/commands.h"
#include "native/native_runner.h"

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
    /* Standard output is for the answers alone: what a library prints goes to the log. */
    int answers_fd = dup(STDOUT_FILENO);
    FILE *answers = answers_fd < 0 ? NULL : fdopen(answers_fd, "w");
    if (!answers || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        FAIL(err, BE_IO, "the runner's standard output could not be taken; was it closed?");
    be_status status = native_runner_serve(stdin, answers, &device, err);
    if (fclose(answers) != 0 && status == BE_OK)
        FAIL(err, BE_IO, "the answers could not be written: the conductor has gone");
    return status;
}
