/* breakeven runner: the native engine as a child of the conductor. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "native/native_runner.h"

be_status cmd_runner(const cli_options *options, be_error *err)
{
    be_device_options device = {.isa = options->value[OPTION_ISA].text,
                                .library = options->value[OPTION_LIBRARY].text};
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
