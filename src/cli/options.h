/* The command line as data: which command, its arguments, and the value of every option.
 *
 * Parsing checks names, kinds and ranges; the commands need not look at text again.  Prints
 * nothing. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/option_list.h"
#include "core/status.h"

typedef enum command_id {
#define X(id, ...) COMMAND_##id,
    COMMAND_LIST(X)
#undef X
        COMMAND_COUNT
} command_id;

typedef enum option_id {
#define X(id, ...) OPTION_##id,
    OPTION_LIST(X)
#undef X
        OPTION_COUNT
} option_id;

typedef enum argument_kind {
    ARGUMENTS_NOTHING,
    ARGUMENTS_WORKLOADS,
    ARGUMENTS_ACTIONS, /* of data, and the sets behind them */
    ARGUMENTS_RUNS,    /* an action on runs, and what it is done with */
    ARGUMENTS_RESULTS, /* names of runs, files, builds, machines */
    ARGUMENTS_SHELLS,
    ARGUMENTS_COMMANDS,
} argument_kind;

/* text in error messages: "expected …" */
#define OPTION_KIND_LIST(X)                                                \
    X(FLAG, "nothing")                                                     \
    X(CHOICE, "one of")                                                    \
    X(CHOICES, "a list of")                                                \
    X(WORDS, "names, separated by commas")                                 \
    X(TEXT, "a text")                                                      \
    X(FILE, "a file")                                                      \
    X(SINK, "a file to write")                                             \
    X(FOLDER, "a folder")                                                  \
    X(COUNT, "a whole number")                                             \
    X(COUNTS, "whole numbers, as in 32,100,256 or 8..4096*2 or 10..50+10") \
    X(REAL, "a number")

typedef enum option_kind {
#define X(name, text) OPTION_KIND_##name,
    OPTION_KIND_LIST(X)
#undef X
} option_kind;

#define OPTION_LIST_MAX 64 /* values of one list */

typedef struct option_spec {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* NULL: a flag */
    option_kind kind;
    double least, most;
    const char *words; /* of choices; suggestions for other kinds */
    unsigned commands; /* bit: command_id */
    const char *help;
} option_spec;

typedef struct option_value {
    bool is_given;
    const char *text;
    int64_t integer;
    double real;
    int count; /* of integers or words */
    int64_t integers[OPTION_LIST_MAX];
    char words[OPTION_LIST_MAX / 4][32];
} option_value;

#define OPTIONS_ARGUMENTS_MAX 16

typedef struct cli_options {
    command_id command;
    const char *arguments[OPTIONS_ARGUMENTS_MAX];
    int argument_count;
    char *const *words; /* the command line after the program's name, ended by NULL */
    option_value value[OPTION_COUNT];
} cli_options;

typedef struct command_spec {
    const char *name, *arguments;
    argument_kind kind;
    int least, most;     /* of the arguments */
    const char *summary; /* "": hidden */
    const char *description;
    be_status (*run)(const cli_options *options, be_error *err);
} command_spec;

extern const command_spec command_table[COMMAND_COUNT];
extern const option_spec option_table[OPTION_COUNT];

/* All of the command line after the program's name, ended by NULL; the words outlive the options.
 * BE_USAGE with one sentence. */
BE_CHECKED be_status options_parse(cli_options *out, int count, char *const *words, be_error *err);

/* What of the options cannot stand together, or alone (option_rules.c). */
BE_CHECKED be_status options_check_rules(const cli_options *options, be_error *err);

/* The value of an option as its kind has it. */
BE_CHECKED be_status option_take(const option_spec *spec, const char *text, option_value *out,
                                 be_error *err);

/* The one integer of a list option that this command cannot take a list of; `fallback` if the
 * option was not given. */
BE_CHECKED be_status option_single(const cli_options *options, option_id id, int64_t fallback,
                                   int64_t *out, be_error *err);

/* What another program's word for an option, a command, an engine or a device is here
 * ("batch-size": "batch"); NULL if it is not known. */
typedef enum hint_kind { HINT_OPTION, HINT_COMMAND, HINT_ENGINE, HINT_DEVICE } hint_kind;
const char *option_hint(hint_kind kind, const char *word);

/* Of `words` (separated by blanks) the one that `text` was probably meant to be, or "". */
const char *option_nearest(const char *text, const char *words, char out[64]);

#endif
