/* The man page, from the same tables as the help. */
#include <ctype.h>
#include <string.h>

#include "build_info.h"
#include "cli/help.h"

/* Text for roff: backslashes and minus signs escaped, no line that begins with a control character.
 */
static void print_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const option_spec *option)
{
    fprintf(out, ".TP\n");
    if (option->letter) fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fprintf(out, "\\fB\\-\\-");
    for (const char *c = option->name; *c; c++) fprintf(out, *c == '-' ? "\\-" : "%c", *c);
    fprintf(out, "\\fR");
    if (option->argument) fprintf(out, " \\fI%s\\fR", option->argument);
    fputc('\n', out);
    print_roff(out, option->help);
}

static void print_command(FILE *out, command_id id)
{
    const command_spec *command = &command_table[id];
    fprintf(out, ".SS breakeven %s %s\n", command->name, command->arguments);
    print_roff(out, command->description);
    bool any = false;
    for (int o = 0; o < OPTION_COUNT; o++) {
        unsigned commands = option_table[o].commands;
        if (!(commands & 1u << id) || commands == ON_ALL) continue;
        fprintf(out, any ? ", " : "\n.PP\nOptions: ");
        fprintf(out, "\\-\\-%s", option_table[o].name);
        any = true;
    }
    if (any) fprintf(out, ".\n");
}

static const struct {
    const char *name, *text;
} environment[] = {
    {"BREAKEVEN_DATA", "folder of the data sets, where --data names none"},
    {"BREAKEVEN_PYTHON",
     "the Python that has PyTorch (and TensorFlow, see the next); without it the first that has it "
     "of the active environment, PATH and /usr/bin"},
    {"BREAKEVEN_TENSORFLOW_PYTHON",
     "the Python that has TensorFlow; without it and BREAKEVEN_PYTHON the first that has it of the "
     "active environment, the one of 'make tensorflow', PATH and /usr/bin"},
    {"BREAKEVEN_MLX_PYTHON",
     "the Python that has MLX; without it likewise, with that of 'make mlx'"},
    {"BREAKEVEN_RUNNERS", "folder of the runners of other engines"},
    {"BREAKEVEN_MIRROR", "where 'data get' fetches from instead of the publishers, by SET/FILE"},
    {"BREAKEVEN_CUDA_LIB_DIR",
     "folders of NVIDIA's libraries, where --cuda-lib-dir names none; for the native engine, the "
     "others bring or find their own"},
    {"BREAKEVEN_OPENCL_LIB_DIR", "folder of the OpenCL loader, instead of the system's"},
    {"BREAKEVEN_CLBLAST_LIB_DIR", "folder of CLBlast, instead of the system's"},
    {"BREAKEVEN_CUDA_LANES", "in how many rows beside one another the launches of a step are, to "
                             "compare; 1: in a row, 0: as "
                             "many as may be; without it what is found to be the fastest"},
    {"BREAKEVEN_CUDA_EDGES",
     "to compare: full, no kernel of a step begins before those in front of it have ended"},
    {"BREAKEVEN_APART", "1: an MPI's ranks of one machine exchange messages, as those of several "
                        "machines do, to try it"},
    {"BREAKEVEN_TUNE_SECONDS", "how long GPU kernels may be tuned for a device, 0: not at all"},
    {"CUDA_VISIBLE_DEVICES", "the GPUs that every engine may use, as NVIDIA's driver reads it"},
    {"OMP_NUM_THREADS", "default of --threads"},
    {"OPENBLAS_NUM_THREADS", "threads of OpenBLAS in PyTorch; 'sweep' sets it where it tries them"},
    {"COLUMNS", "width of the pages; without it that of the terminal, and 80 where there is none"},
    {"NO_COLOR", "no colours, if set and not empty"},
    {"COLUMNS", "width of the pages, instead of the terminal's own"},
    {"XDG_DATA_HOME", "folder of breakeven/mnist and the other data sets, where BREAKEVEN_DATA "
                      "names none"},
    {"XDG_STATE_HOME", "where saved trainings and sweeps lie"},
    {"XDG_CACHE_HOME", "where compiled kernels, limits of devices and TensorFlow's environment "
                       "lie"},
    {"TMPDIR", "where the files go that a measurement hands to its runners"},
};

void help_print_man(FILE *out)
{
    fprintf(out, ".TH BREAKEVEN 1 \"\" \"breakeven %s\" \"User Commands\"\n", BUILD_VERSION);
    fprintf(out, ".SH NAME\nbreakeven \\- on which device should this model train, and why\n");
    fprintf(out, ".SH SYNOPSIS\n.B breakeven\n[\\fICOMMAND\\fR] [\\fIOPTION\\fR...]\n");
    fprintf(out, ".SH DESCRIPTION\n");
    print_roff(out, command_table[COMMAND_quick].description);
    fprintf(out, ".PP\nWithout a command it does that; the commands do the parts, and more.\n");
    fprintf(out, ".SH COMMANDS\n");
    for (int c = 1; c < COMMAND_COUNT; c++)
        if (command_table[c].summary[0]) print_command(out, (command_id)c);
    fprintf(out, ".SH OPTIONS\n");
    for (int o = 0; o < OPTION_COUNT; o++) print_option(out, &option_table[o]);
    fprintf(out, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++) {
        fprintf(out, ".TP\n.B %s\n", environment[i].name);
        print_roff(out, environment[i].text);
    }
    fprintf(out,
            ".SH EXIT STATUS\n0 done, 1 a run failed, 2 wrong usage, 3 a device or engine that "
            "was asked for is not there, 4 wrong numbers (NaN, parity broken), 5 out of memory, "
            "129, 130 or 143 on a signal (HUP, INT, TERM) after saving, 141 where nobody reads on "
            "(a closed pipe).\n");
}
