/* Texts made from the tables of options: help, the man page, completions. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/options.h"

/* 80 columns.  The program's own help for COMMAND_quick. */
void help_print(command_id command, FILE *out);

/* breakeven(1), in the man macros. */
void help_print_man(FILE *out);

/* A completion script; false if the shell is none of bash, zsh, fish. */
bool help_print_completion(const char *shell, FILE *out);

/* Versions of the program and of the libraries in use. */
void help_print_version(FILE *out);

/* What completes the arguments of a command, separated by blanks, ends included: "a b ". */
void help_argument_words(const command_spec *command, char *out, size_t room);

#endif
