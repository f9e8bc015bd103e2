/* Completion scripts for the shells, from the tables of commands and options. */
#include <string.h>

#include "cli/help.h"

static void print_command_names(FILE *out)
{
    for (int c = 1; c < COMMAND_COUNT; c++)
        if (command_table[c].summary[0]) fprintf(out, "%s ", command_table[c].name);
}

static void print_option_names(FILE *out, int command)
{
    for (int o = 0; o < OPTION_COUNT; o++)
        if (option_table[o].commands & 1u << command) fprintf(out, "--%s ", option_table[o].name);
}

static bool takes_file(const option_spec *option)
{
    return option->kind == OPTION_KIND_FILE || option->kind == OPTION_KIND_SINK;
}

static void print_bash(FILE *out)
{
    char words[WORKLOAD_NAMES];
    fprintf(out,
            "# bash completion of breakeven\n_breakeven()\n{\n"
            "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
            "    local command= words= i\n"
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        case ${COMP_WORDS[i]} in -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac\n"
            "    done\n    case $before in\n");
    for (int o = 0; o < OPTION_COUNT; o++) {
        const option_spec *option = &option_table[o];
        if (!option->argument) continue;
        fprintf(out, "    --%s", option->name);
        if (option->letter) fprintf(out, "|-%c", option->letter);
        if (takes_file(option) || option->kind == OPTION_KIND_FOLDER)
            fprintf(out, ") COMPREPLY=($(compgen -%c -- \"$word\")); return ;;\n",
                    takes_file(option) ? 'f' : 'd');
        else
            fprintf(out, ") COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;;\n",
                    option->words);
    }
    fprintf(out, "    esac\n    case $command in\n    '') words=\"");
    print_command_names(out);
    print_option_names(out, COMMAND_quick);
    fprintf(out, "\" ;;\n");
    for (int c = 1; c < COMMAND_COUNT; c++) {
        if (!command_table[c].summary[0]) continue;
        help_argument_words(&command_table[c], words, sizeof words);
        fprintf(out, "    %s) words=\"%s", command_table[c].name, words);
        print_option_names(out, c);
        fprintf(out, "\" ;;\n");
    }
    /* bash breaks words at colons: of op:matmul only what is behind it is put in place. */
    fprintf(out, "    esac\n    local typed=${COMP_LINE:0:COMP_POINT}\n    typed=${typed##* }\n"
                 "    case $COMP_WORDBREAKS$'\\n'$typed in\n"
                 "    *:*$'\\n'op:*) COMPREPLY=($(compgen -W \"$words\" -- \"$typed\"))\n"
                 "        COMPREPLY=(\"${COMPREPLY[@]#op:}\") ;;\n"
                 "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n    esac\n}\n"
                 "complete -F _breakeven breakeven\n");
}

/* Text in single quotes, for zsh's and fish's descriptions. */
static void print_quoted(FILE *out, const char *text, const char *escape)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else {
            if (strchr(escape, *text)) fputc('\\', out);
            fputc(*text, out);
        }
    }
}

static void print_zsh_option(FILE *out, const option_spec *option)
{
    fprintf(out, " \\\n            '--%s%s[", option->name, option->argument ? "=" : "");
    print_quoted(out, option->help, "[]:");
    fprintf(out, "]");
    if (takes_file(option))
        fprintf(out, ":file:_files");
    else if (option->kind == OPTION_KIND_FOLDER)
        fprintf(out, ":folder:_files -/");
    else if (option->argument)
        fprintf(out, ":%s:(%s)", option->name, option->words);
    fprintf(out, "'");
}

static void print_zsh(FILE *out)
{
    char words[WORKLOAD_NAMES];
    fprintf(out, "#compdef breakeven\n_breakeven()\n{\n    local -a commands\n    commands=(\n");
    for (int c = 1; c < COMMAND_COUNT; c++) {
        if (!command_table[c].summary[0]) continue;
        fprintf(out, "        '%s:", command_table[c].name);
        print_quoted(out, command_table[c].summary, ":");
        fprintf(out, "'\n");
    }
    fprintf(out,
            "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n"
            "        return\n    fi\n    shift words; (( CURRENT-- ))\n    case $words[1] in\n");
    for (int c = 1; c < COMMAND_COUNT; c++) {
        if (!command_table[c].summary[0]) continue;
        help_argument_words(&command_table[c], words, sizeof words);
        fprintf(out, "    %s)\n        _arguments", command_table[c].name);
        if (words[0]) fprintf(out, " '*:argument:(%s)'", words);
        for (int o = 0; o < OPTION_COUNT; o++)
            if (option_table[o].commands & 1u << c) print_zsh_option(out, &option_table[o]);
        fprintf(out, " ;;\n");
    }
    fprintf(out, "    esac\n}\n"
                 "if [[ $funcstack[1] == _breakeven ]]; then _breakeven \"$@\"; "
                 "else compdef _breakeven breakeven; fi\n");
}

static void print_fish_option(FILE *out, const option_spec *option, const char *command)
{
    fprintf(out, "complete -c breakeven -n '__fish_seen_subcommand_from %s' -l %s", command,
            option->name);
    if (option->letter) fprintf(out, " -s %c", option->letter);
    if (takes_file(option) || option->kind == OPTION_KIND_FOLDER)
        fprintf(out, " -r -F");
    else if (option->argument)
        fprintf(out, " -x -a '%s'", option->words);
    fprintf(out, " -d '");
    print_quoted(out, option->help, "");
    fprintf(out, "'\n");
}

static void print_fish(FILE *out)
{
    char words[WORKLOAD_NAMES];
    fprintf(out, "# fish completion of breakeven\ncomplete -c breakeven -f\n");
    for (int c = 1; c < COMMAND_COUNT; c++) {
        const command_spec *command = &command_table[c];
        if (!command->summary[0]) continue;
        fprintf(out, "complete -c breakeven -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(out, command->summary, "");
        fprintf(out, "'\n");
        help_argument_words(command, words, sizeof words);
        if (words[0])
            fprintf(out, "complete -c breakeven -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                    command->name, words);
        for (int o = 0; o < OPTION_COUNT; o++)
            if (option_table[o].commands & 1u << c)
                print_fish_option(out, &option_table[o], command->name);
    }
}

bool help_print_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        print_fish(out);
    else
        return false;
    return true;
}
