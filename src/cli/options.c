/* Parsing the command line by the two tables. */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "workloads/workload.h"

/* Where the parser is: the words, and the options in the order in which they came. */
typedef struct parser {
    char *const *words;
    int count, next;
    bool command_known, only_arguments;
    cli_options *out;
} parser;

static const char *command_name(command_id command)
{
    return command == COMMAND_quick ? "breakeven" : command_table[command].name;
}

/* Is the first word of `hint` one of the names? */
static bool is_among(const char *names, const char *hint)
{
    size_t length = strcspn(hint, " ");
    for (const char *at = names; *at; at += strcspn(at, " ") + 1)
        if (strcspn(at, " ") == length && strncmp(at, hint, length) == 0) return true;
    return false;
}

static be_status unknown_option(const parser *p, const char *word, be_error *err)
{
    char names[1000], near[64];
    text_buffer b = TEXT_BUFFER(names);
    for (int o = 0; o < OPTION_COUNT; o++)
        if (!p->command_known || option_table[o].commands & 1u << p->out->command)
            text_add(&b, "%s ", option_table[o].name);
    const char *name = word + strspn(word, "-"), *hint = option_hint(HINT_OPTION, name);
    bool applies = hint && is_among(names, hint);
    if (applies)
        snprintf(near, sizeof near, "%s", hint);
    else
        option_nearest(name, names, near);
    FAIL(err, BE_USAGE, "unknown option %s%s%s%s; 'breakeven help%s%s' lists the options", word,
         near[0] ? "; did you mean --" : "", near, near[0] ? "?" : "", p->command_known ? " " : "",
         p->command_known ? command_table[p->out->command].name : "");
}

static be_status store_option(parser *p, int id, const char *attached, be_error *err)
{
    const option_spec *spec = &option_table[id];
    option_value *value = &p->out->value[id];
    if (!spec->argument) {
        if (attached)
            FAIL(err, BE_USAGE, "--%s takes no value, found \"%s\"", spec->name, attached);
        value->is_given = true;
        return BE_OK;
    }
    if (value->is_given)
        FAIL(err, BE_USAGE, "--%s is given twice; the first would have no effect: leave one out",
             spec->name);
    if (!attached) {
        bool alone = p->next == p->count || p->words[p->next][0] == '-';
        bool resumes = id == OPTION_RESUME || id == OPTION_RESUME_IF_ANY;
        if (alone && resumes && p->out->command == COMMAND_sweep) {
            value->is_given = true; /* the newest */
            return BE_OK;
        }
        if (p->next == p->count)
            FAIL(err, BE_USAGE, "--%s needs a value: --%s %s", spec->name, spec->name,
                 spec->argument);
        attached = p->words[p->next++];
    }
    return option_take(spec, attached, value, err);
}

static be_status parse_long(parser *p, const char *word, be_error *err)
{
    size_t length = strcspn(word + 2, "=");
    for (int o = 0; o < OPTION_COUNT; o++)
        if (strlen(option_table[o].name) == length &&
            strncmp(option_table[o].name, word + 2, length) == 0)
            return store_option(p, o, word[2 + length] ? word + 3 + length : NULL, err);
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)length + 2, word);
    return unknown_option(p, name, err);
}

/* One letter, or several flags in one word, or a letter with its value behind it. */
static be_status parse_short(parser *p, const char *word, be_error *err)
{
    for (const char *letter = word + 1; *letter; letter++) {
        int option = -1;
        for (int o = 0; o < OPTION_COUNT; o++)
            if (option_table[o].letter == *letter) option = o;
        if (option < 0) {
            const char name[3] = {'-', *letter, 0};
            return unknown_option(p, name, err);
        }
        if (option_table[option].argument)
            return store_option(p, option, letter[1] ? letter + 1 : NULL, err);
        TRY(store_option(p, option, NULL, err));
    }
    return BE_OK;
}

/* A workload where a command is expected: the commands take one. */
static be_status refuse_workload(const char *word, be_error *err)
{
    char names[WORKLOAD_NAMES], near[64];
    option_nearest(word, workload_names(names), near);
    if (!near[0]) return BE_OK;
    FAIL(err, BE_USAGE,
         "unknown command \"%s\", which is %s workload; did you mean bench %s, explain %s or train "
         "%s?",
         word, strcmp(word, near) ? "nearly a" : "a", near, near, near);
}

static be_status find_command(parser *p, const char *word, be_error *err)
{
    char names[400], near[64];
    text_buffer b = TEXT_BUFFER(names);
    for (int c = 0; c < COMMAND_COUNT; c++) {
        if (command_table[c].name[0] && strcmp(command_table[c].name, word) == 0) {
            p->out->command = (command_id)c;
            p->command_known = true;
            return BE_OK;
        }
        if (command_table[c].summary[0]) text_add(&b, "%s ", command_table[c].name);
    }
    const char *hint = option_hint(HINT_COMMAND, word);
    if (hint)
        snprintf(near, sizeof near, "%s", hint);
    else
        option_nearest(word, names, near);
    if (!near[0]) TRY(refuse_workload(word, err));
    FAIL(err, BE_USAGE, "unknown command \"%s\"%s%s%s; 'breakeven help' lists the commands", word,
         near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
}

static be_status add_argument(parser *p, const char *word, be_error *err)
{
    if (!p->command_known) return find_command(p, word, err);
    if (p->out->argument_count == command_table[p->out->command].most) {
        int limit = command_table[p->out->command].most;
        FAIL(err, BE_USAGE, "%s: expected %s%d argument%s, found \"%s\" too",
             command_name(p->out->command), limit ? "at most " : "", limit, limit == 1 ? "" : "s",
             word);
    }
    p->out->arguments[p->out->argument_count++] = word;
    return BE_OK;
}

/* The commands that measure take a model of the user's own. */
static be_status check_file(command_id command, const char *name, be_error *err)
{
    if (ON_MEASURE & 1u << command) return BE_OK;
    FAIL(err, BE_USAGE,
         "%s: expected a workload of the ladder (see 'breakeven workloads'), found your own model "
         "%s; bench, sweep, explain and advise take it",
         command_name(command), name);
}

/* An operation alone learns nothing. */
static be_status check_operation(command_id command, const char *name, be_error *err)
{
    if (!((ON(train) | ON(eval) | ON(advise)) & 1u << command)) return BE_OK;
    FAIL(err, BE_USAGE,
         "%s: expected a network, found the operation %s, which learns nothing; bench, sweep, "
         "explain and parity take it",
         command_name(command), name);
}

static be_status check_workload(command_id command, const char *name, be_error *err)
{
    const workload *w = NULL;
    char names[WORKLOAD_NAMES], near[64];
    if (workload_find(name, &w, NULL) == BE_OK)
        return w->operate ? check_operation(command, name, err) : BE_OK;
    if (workload_is_file(name)) return check_file(command, name, err);
    option_nearest(name, workload_names(names), near);
    FAIL(err, BE_USAGE,
         "unknown workload \"%s\"%s%s%s; expected one of %s(see 'breakeven "
         "workloads'), or your own model as a file, mymodel.py",
         name, near[0] ? "; did you mean " : "", near, near[0] ? "?" : "", names);
}

static be_status check_applicable(const cli_options *options, be_error *err)
{
    for (int o = 0; o < OPTION_COUNT; o++) {
        unsigned commands = option_table[o].commands;
        char owners[200];
        text_buffer b = TEXT_BUFFER(owners);
        if (!options->value[o].is_given || commands & 1u << options->command) continue;
        for (int c = 1; c < COMMAND_COUNT; c++)
            if (commands & 1u << c && command_table[c].summary[0])
                text_add(&b, "%s%s", b.used ? ", " : "", command_table[c].name);
        FAIL(err, BE_USAGE, "--%s is no option of %s, but of %s", option_table[o].name,
             command_name(options->command), owners);
    }
    return BE_OK;
}

static be_status check_arguments(const cli_options *options, be_error *err)
{
    const command_spec *command = &command_table[options->command];
    if (options->value[OPTION_HELP].is_given || options->value[OPTION_VERSION].is_given)
        return BE_OK;
    if (options->argument_count < command->least)
        FAIL(err, BE_USAGE, "%s needs more: breakeven %s %s", command->name, command->name,
             command->arguments);
    for (int a = 0; command->kind == ARGUMENTS_WORKLOADS && a < options->argument_count; a++)
        TRY(check_workload(options->command, options->arguments[a], err));
    TRY(check_applicable(options, err));
    return options_check_rules(options, err);
}

be_status options_parse(cli_options *out, int count, char *const *words, be_error *err)
{
    parser p = {.words = words, .count = count, .out = out};
    *out = (cli_options){.command = COMMAND_quick, .words = words};
    while (p.next < p.count) {
        const char *word = p.words[p.next++];
        if (p.only_arguments || word[0] != '-' || !word[1])
            TRY(add_argument(&p, word, err));
        else if (strcmp(word, "--") == 0)
            p.only_arguments = true;
        else if (word[1] == '-')
            TRY(parse_long(&p, word, err));
        else
            TRY(parse_short(&p, word, err));
    }
    return check_arguments(out, err);
}
