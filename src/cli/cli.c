/* What the commands share. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/file.h"
#include "core/team.h"
#include "core/text.h"
#include "core/topology.h"
#include "graph/precision.h"
#include "graph/schedule.h"

#define GENERATED_SEED 1 /* of pictures: another seed of the training sees the same data */

FILE *cli_results;

volatile sig_atomic_t cli_signal;

static bool progress_shown;

void cli_progress_end(void)
{
    if (progress_shown) fprintf(stderr, "\r\033[K");
    progress_shown = false;
}

void cli_note(const cli_options *options, const char *format, ...)
{
    va_list arguments;
    if (options->value[OPTION_QUIET].is_given) return;
    cli_progress_end();
    fprintf(stderr, "breakeven: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* A line that wraps could not be replaced by the next one. */
static void cut_to_terminal(char *line)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    line[text_cut(line, is_known ? (size_t)size.ws_col - 1 : 79)] = 0;
}

void cli_progress(const cli_options *options, const char *format, ...)
{
    static int is_terminal = -1;
    va_list arguments;
    if (is_terminal < 0) {
        const char *terminal = getenv("TERM");
        is_terminal = isatty(STDERR_FILENO) && !(terminal && strcmp(terminal, "dumb") == 0);
    }
    if (!is_terminal || options->value[OPTION_QUIET].is_given) return;
    char line[400];
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cut_to_terminal(line);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    progress_shown = true;
}

int cli_default_threads(const cli_options *options)
{
    const char *text = getenv("OMP_NUM_THREADS");
    int limit = team_most(), usual = topology_get()->usual_threads;
    if (usual > limit) usual = limit;
    if (!text || !*text) return usual;
    char *end = NULL;
    long threads = strtol(text, &end, 10); /* a list is one number a level of nesting */
    if (end != text && (*end == 0 || *end == ',') && threads >= 1 && threads <= 1024)
        return threads < limit ? (int)threads : limit;
    cli_note(options, "OMP_NUM_THREADS: expected a number from 1 to 1024, found \"%s\"; using %d",
             text, usual);
    return usual;
}

int cli_all_threads(int usual)
{
    const char *text = getenv("OMP_NUM_THREADS");
    int limit = team_most(), cores = topology_get()->cores;
    if (text && *text) return usual;
    return cores < limit ? cores : limit;
}

uint64_t cli_seed(const cli_options *options)
{
    return options->value[OPTION_SEED].is_given ? (uint64_t)options->value[OPTION_SEED].integer
                                                : CLI_SEED;
}

be_precision cli_precision(const cli_options *options)
{
    const option_value *value = &options->value[OPTION_PRECISION];
    be_precision precision = BE_PRECISION_FP32;
    be_error err;
    if (value->is_given) MUST(precision_find(value->words[0], &precision, &err) == BE_OK);
    return precision;
}

be_status cli_open_device(const cli_options *options, be_device **out, be_error *err)
{
    const option_value *devices = &options->value[OPTION_DEVICE];
    int64_t threads = 0;
    *out = NULL;
    TRY(option_single(options, OPTION_THREADS, cli_default_threads(options), &threads, err));
    if (devices->is_given && (devices->count != 1 || strcmp(devices->words[0], "all") == 0))
        FAIL(err, BE_USAGE, "--device: %s uses one device, found \"%s\"; name one, as cpu",
             command_table[options->command].name, devices->text);
    bool cpu = !devices->is_given || strcmp(devices->words[0], "cpu") == 0;
    const option_id of_cpu[] = {OPTION_THREADS, OPTION_ISA};
    for (int o = 0; o < 2 && !cpu; o++)
        if (options->value[of_cpu[o]].is_given)
            FAIL(err, BE_USAGE, "--%s: it is of the CPU, and the device is %s; leave --%s out",
                 option_table[of_cpu[o]].name, devices->words[0], option_table[of_cpu[o]].name);
    return be_device_open(devices->is_given ? devices->words[0] : "cpu",
                          &(be_device_options){.threads = (int)threads,
                                               .isa = options->value[OPTION_ISA].text,
                                               .library = options->value[OPTION_LIBRARY].text},
                          out, err);
}

be_status cli_open_devices(const cli_options *options, be_device **first, be_device **second,
                           be_error *err)
{
    const option_value *devices = &options->value[OPTION_DEVICE];
    const char *other =
        devices->is_given && devices->count == 1 ? strchr(devices->words[0], '+') : NULL;
    cli_options apart = *options;
    option_value *one = &apart.value[OPTION_DEVICE];
    *second = NULL;
    if (!other) return cli_open_device(options, first, err);
    one->words[0][other - devices->words[0]] = 0;
    if (strcmp(one->words[0], "cpu") != 0 || strcmp(other + 1, "cpu") == 0 || !other[1] ||
        strchr(other + 1, '+'))
        FAIL(err, BE_USAGE,
             "--device: expected cpu+DEVICE for a training on two devices, as in cpu+cuda:0, found "
             "\"%s\"",
             devices->text);
    TRY(cli_open_device(&apart, first, err));
    be_device_options accelerator = {.library = options->value[OPTION_LIBRARY].text};
    return be_device_open(other + 1, &accelerator, second, err);
}

const workload *cli_workload(const cli_options *options, int argument)
{
    const workload *w = NULL;
    MUST(workload_find(options->arguments[argument], &w, NULL) == BE_OK);
    return w;
}

be_schedule cli_schedule(const cli_options *options, be_schedule own)
{
    const option_value *kind = &options->value[OPTION_SCHEDULE];
    const option_value *warmup = &options->value[OPTION_WARMUP];
    if (kind->is_given) own.kind = (be_schedule_kind)schedule_find(kind->text);
    if (warmup->is_given) own.warmup_steps = warmup->integer;
    return own;
}

workload_variant cli_variant(const cli_options *options)
{
    return (workload_variant){
#define X(id, member, ...) .member = (int)options->value[OPTION_##id].integer,
        WORKLOAD_VARIANT_LIST(X)
#undef X
    };
}

dataset_options cli_data_options(const cli_options *options)
{
    return (dataset_options){.data_dir = options->value[OPTION_DATA].text,
                             .seed = GENERATED_SEED,
                             .text = options->value[OPTION_TEXT].text,
                             .tokenizer = options->value[OPTION_TOKENIZER].text,
                             .synthetic = options->value[OPTION_SYNTHETIC].is_given,
                             .limit = options->value[OPTION_LIMIT].integer};
}

static char stdout_place[32]; /* where standard output is after cli_give_stdout moved it */

static bool names_stdout(const char *path)
{
    file_target target;
    if (strcmp(path, "-") == 0) return true;
    return file_find_target(&target, path, NULL) == BE_OK && target.fd == STDOUT_FILENO;
}

be_status cli_give_stdout(cli_options *options, be_error *err)
{
    int owner = -1;
    for (int o = 0; o < OPTION_COUNT; o++) {
        option_value *value = &options->value[o];
        if (option_table[o].kind != OPTION_KIND_SINK || !value->is_given ||
            !names_stdout(value->text))
            continue;
        if (owner >= 0)
            FAIL(err, BE_USAGE,
                 "--%s and --%s both name standard output; give one of them another file",
                 option_table[owner].name, option_table[o].name);
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        FILE *others = fd < 0 ? NULL : fdopen(fd, "w");
        if (!others) return file_error(err, "write", "standard output", errno);
        snprintf(stdout_place, sizeof stdout_place, "/dev/fd/%d", fileno(cli_results));
        cli_results = others; /* the old one's descriptor stays open for the output */
        value->text = stdout_place;
        owner = o;
    }
    return BE_OK;
}

const char *cli_output_name(const option_value *output)
{
    return output->text == stdout_place ? "standard output" : output->text;
}

report_format cli_format(const cli_options *options)
{
    return report_format_find(options->value[OPTION_FORMAT].text);
}

be_status cli_write(const cli_options *options, const report_sheet *sheet, be_error *err)
{
    cli_progress_end();
    return report_write(sheet, cli_format(options), cli_results, err);
}
