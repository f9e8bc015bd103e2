/* The program: reads the command line, runs the command, tells its error, and exits with its code.
 * The one place that exits. */
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/help.h"

/* Whoever waits sees cli_signal and saves; a second signal ends the program at once. */
static void take_signal(int number)
{
    cli_signal = number;
}

static void set_up_signals(void)
{
    struct sigaction action = {.sa_handler = take_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error, told below */
}

static void set_up_look(void)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    setlocale(LC_CTYPE, "");
    report_look.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    report_look.color = isatty(STDOUT_FILENO) && !(no_color && *no_color) && terminal &&
                        strcmp(terminal, "dumb") != 0;
}

static be_status run(int count, char **words, cli_options *options, be_error *err)
{
    TRY(options_parse(options, count - 1, words + 1, err));
    TRY(cli_give_stdout(options, err));
    /* By the environment, because runners inherit it. */
    const option_value *folders = &options->value[OPTION_CUDA_LIB_DIR];
    if (folders->given && setenv("BREAKEVEN_CUDA_LIB_DIR", folders->text, 1) != 0)
        FAIL(err, BE_NO_MEMORY, "--cuda-lib-dir: no memory for its folders");
    if (options->value[OPTION_VERSION].given)
        help_print_version(stdout);
    else if (options->value[OPTION_HELP].given)
        help_print(options->command, stdout);
    else
        TRY(command_table[options->command].run(options, err));
    return BE_OK;
}

int main(int count, char **words)
{
    static cli_options options;
    be_error err = {0};
    set_up_signals();
    set_up_look();
    be_status status = run(count, words, &options, &err);
    cli_progress_end();
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == BE_OK) {
        fprintf(stderr, "breakeven: standard output could not be written; is its disk full?\n");
        status = BE_IO;
    } else if (status != BE_OK && err.text[0]) {
        fprintf(stderr, "breakeven: %s\n", err.text);
    }
    if (status == BE_INTERRUPTED && cli_signal) return 128 + (int)cli_signal;
    return be_status_exit_code(status);
}
