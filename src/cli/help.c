/* The help texts and the version. */
#include "cli/help.h"

#include <curl/curlver.h>
#include <string.h>

#include "build_info.h"
#include "core/text.h"
#include "machine/environment.h"
#include "report/sheet.h"
#include "workloads/workload.h"

#define OPTION_INDENT 2

/* "  -b, --batch N,..." */
static int option_head(const option_spec *option, char out[64])
{
    char letter[8] = "    ";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    return snprintf(out, 64, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
                    option->argument ? option->argument : "");
}

static void print_options(command_id command, FILE *out)
{
    char head[64];
    int width = 0;
    for (int o = 0; o < OPTION_COUNT; o++) {
        int length = option_head(&option_table[o], head);
        if (option_table[o].commands & 1u << command && length > width) width = length;
    }
    int indent = OPTION_INDENT + width + 2;
    fprintf(out, "\nOptions:\n");
    for (int o = 0; o < OPTION_COUNT; o++) {
        if (!(option_table[o].commands & 1u << command)) continue;
        option_head(&option_table[o], head);
        fprintf(out, "%*s%-*s  ", OPTION_INDENT, "", width, head);
        report_wrap(out, option_table[o].help, indent, indent);
    }
}

static void print_commands(FILE *out)
{
    int width = 0;
    for (int c = 0; c < COMMAND_COUNT; c++)
        if (command_table[c].summary[0] && (int)strlen(command_table[c].name) > width)
            width = (int)strlen(command_table[c].name);
    fprintf(out, "\nCommands:\n  %-*s  ", width, "(none)");
    for (int c = 0; c < COMMAND_COUNT; c++) {
        if (!command_table[c].summary[0]) continue;
        if (c) fprintf(out, "  %-*s  ", width, command_table[c].name);
        report_wrap(out, command_table[c].summary, width + 4, width + 4);
    }
}

static const char about[] =
    "breakeven trains the field's standard models on every device and with every engine of this "
    "machine, measures them side by side, and says which one to use, and why.";

void help_print(command_id command, FILE *out)
{
    const command_spec *spec = &command_table[command];
    char words[WORKLOAD_NAMES] = "";
    if (command == COMMAND_quick) {
        fprintf(out, "Usage: breakeven [COMMAND] [OPTION...]\n\n");
        report_wrap(out, about, 0, 0);
        print_commands(out);
        print_options(command, out);
        fprintf(out, "\n");
        report_wrap(out,
                    "'breakeven help COMMAND' tells more. Results go to standard output, "
                    "everything else to standard error.",
                    0, 0);
        fprintf(out, "\n");
        report_wrap(out,
                    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 device or engine not there, 4 "
                    "wrong numbers (NaN, broken parity), 5 out of memory, 129, 130 or 143 on "
                    "a signal, 141 where nobody reads on.",
                    0, 0);
        return;
    }
    fprintf(out, "Usage: breakeven %s%s%s [OPTION...]\n\n", spec->name,
            spec->arguments[0] ? " " : "", spec->arguments);
    report_wrap(out, spec->description, 0, 0);
    if (spec->kind == ARGUMENTS_WORKLOADS) {
        help_argument_words(spec, words, sizeof words);
        fprintf(out, "\nWorkloads: ");
        report_wrap(out, words, 11, 11);
    }
    print_options(command, out);
}

void help_print_version(FILE *out)
{
    fprintf(out, "breakeven %s (%s)\n", BUILD_VERSION, BUILD_COMMIT);
    fprintf(out, "built by %s, %s", BUILD_COMPILER, BUILD_TYPE);
    if (strcmp(BUILD_SANITIZERS, "none") != 0) fprintf(out, ", sanitizers %s", BUILD_SANITIZERS);
    json_t *libraries = environment_libraries(), *version;
    const char *name;
    char line[500];
    text_buffer b = TEXT_BUFFER(line);
    text_add(&b, "with");
    json_object_foreach(libraries, name, version)
        text_add(&b, " %s %s,", name, json_string_value(version));
    text_add(&b, " libcurl %s", LIBCURL_VERSION);
    fprintf(out, "\n");
    report_paragraph(out, line, 2);
    json_decref(libraries);
}

void help_argument_words(const command_spec *command, char *out, size_t room)
{
    char names[WORKLOAD_NAMES];
    text_buffer b = text_begin(out, room);
    switch (command->kind) {
    case ARGUMENTS_WORKLOADS:
        text_add(&b, "%s", workload_names(names));
        break;
    case ARGUMENTS_COMMANDS:
        for (int c = 1; c < COMMAND_COUNT; c++)
            if (command_table[c].summary[0]) text_add(&b, "%s ", command_table[c].name);
        break;
    case ARGUMENTS_ACTIONS:
        text_add(&b, "list verify get mnist fashion-mnist cifar-10 ");
        break;
    case ARGUMENTS_RUNS:
        text_add(&b, "show note remove export import ");
        break;
    case ARGUMENTS_SHELLS:
        text_add(&b, "bash zsh fish ");
        break;
    case ARGUMENTS_RESULTS:
    case ARGUMENTS_NOTHING:
        break;
    }
}
