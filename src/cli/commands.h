/* The commands: one function each, named cmd_ID by the list, in a file of its own. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/options.h"

#define X(id, ...) be_status cmd_##id(const cli_options *options, be_error *err);
COMMAND_LIST(X)
#undef X

#endif
