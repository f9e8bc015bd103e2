/* breakeven help and breakeven completion. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/help.h"

be_status cmd_help(const cli_options *options, be_error *err)
{
    if (options->value[OPTION_MAN].is_given) {
        help_print_man(cli_results);
        return BE_OK;
    }
    if (!options->argument_count) {
        help_print(COMMAND_quick, cli_results);
        return BE_OK;
    }
    char names[400], near[64];
    for (int c = 1; c < COMMAND_COUNT; c++)
        if (strcmp(command_table[c].name, options->arguments[0]) == 0) {
            help_print((command_id)c, cli_results);
            return BE_OK;
        }
    help_argument_words(&command_table[COMMAND_help], names, sizeof names);
    option_nearest(options->arguments[0], names, near);
    FAIL(err, BE_USAGE, "help: unknown command \"%s\"%s%s%s; expected one of %s",
         options->arguments[0], near[0] ? "; did you mean " : "", near, near[0] ? "?" : "", names);
}

be_status cmd_completion(const cli_options *options, be_error *err)
{
    if (!help_print_completion(options->arguments[0], cli_results))
        FAIL(err, BE_USAGE, "completion: expected bash, zsh or fish, found \"%s\"",
             options->arguments[0]);
    return BE_OK;
}
