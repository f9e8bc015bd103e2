/* The tables of the commands and of their options, from the lists. */
#include "cli/commands.h"
#include "cli/options.h"

const command_spec command_table[COMMAND_COUNT] = {
#define X(id, name, arguments, kind, least, most, summary, description) \
    {name, arguments, ARGUMENTS_##kind, least, most, summary, description, cmd_##id},
    COMMAND_LIST(X)
#undef X
};

const option_spec option_table[OPTION_COUNT] = {
#define X(id, name, letter, argument, kind, least, most, words, commands, help) \
    {name, letter, argument, OPTION_KIND_##kind, least, most, words, commands, help},
    OPTION_LIST(X)
#undef X
};
