/* The options of a command line as studies are asked. */
#include "cli/request.h"
#include "cli/events.h"
#include "core/file.h"
#include "core/text.h"
#include "graph/precision.h"
#include "train/variant.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static study_names names_of(const option_value *value)
{
    study_names names = {.count = value->count};
    for (int i = 0; i < value->count; i++) names.name[i] = value->words[i];
    return names;
}

static study_numbers numbers_of(const option_value *value)
{
    return (study_numbers){value->count, value->integers};
}

static double seconds_of(const option_value *value)
{
    return value->is_given ? value->real : (double)NAN;
}

/* Options that say something of the ladder's data or kernels. */
static be_status check_own(const cli_options *options, be_error *err)
{
    static const option_id others[] = {OPTION_DATA,    OPTION_SYNTHETIC, OPTION_LIMIT,  OPTION_ISA,
                                       OPTION_LIBRARY, OPTION_DRY_RUN,   OPTION_WEIGHTS};
    const char *name = options->arguments[0];
    size_t length = strlen(name);
    if (options->argument_count > 1)
        FAIL(err, BE_USAGE,
             "%s: a model of your own is measured alone, found \"%s\" beside it; give one name",
             name, options->arguments[1]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (options->value[others[i]].is_given)
            FAIL(err, BE_USAGE,
                 "--%s: it is of the ladder's workloads, and %s is a model of your own; leave it "
                 "out",
                 option_table[others[i]].name, name);
    if (strcmp(name + length - 3, ".py") == 0 && !file_exists(name))
        FAIL(err, BE_USAGE, "%s: expected a file, found none; check its path", name);
    return BE_OK;
}

static be_status take_workloads(const cli_options *options, study_request *out, be_error *err)
{
    for (int a = 0; a < options->argument_count; a++) {
        if (!workload_is_file(options->arguments[a])) continue;
        TRY(check_own(options, err));
        out->own = workload_of_file(options->arguments[0]);
        TRY(study_find_library(&out->engines, &out->own, err));
        out->workloads[0] = &out->own;
        return BE_OK;
    }
    for (int a = 0; a < options->argument_count; a++) out->workloads[a] = cli_workload(options, a);
    if (options->argument_count) return BE_OK;
    out->workload_count = 1;
    return workload_find("cnn-fashion", &out->workloads[0], err);
}

/* They are of one network, and say in which variant it is. */
static be_status take_weights(study_request *out, be_error *err)
{
    const workload *w = out->workloads[0];
    if (out->workload_count > 1)
        FAIL(err, BE_USAGE, "--weights %s: weights are of one network, found %d; give one name",
             out->weights, out->workload_count);
    if (w->operate)
        FAIL(err, BE_USAGE, "--weights: %s is an operation alone, which no file has; leave it out",
             w->name);
    if (!file_exists(out->weights))
        FAIL(err, BE_IO, "%s: expected a file of weights, found none; check its path",
             out->weights);
    return variant_take(out->weights, w, &out->variant, err);
}

be_status request_make(const cli_options *options, study_request *out, be_error *err)
{
    const option_value *values = options->value;
    int usual = cli_default_threads(options);
    *out = (study_request){.workload_count = options->argument_count,
                           .engines = names_of(&values[OPTION_ENGINE]),
                           .devices = names_of(&values[OPTION_DEVICE]),
                           .threads = numbers_of(&values[OPTION_THREADS]),
                           .usual_threads = usual,
                           .all_threads = cli_all_threads(usual),
                           .batches = numbers_of(&values[OPTION_BATCH]),
                           .precision = precision_name(cli_precision(options)),
                           .data_on = values[OPTION_DATA_ON].text,
                           .accumulate = (int)values[OPTION_ACCUMULATE].integer,
                           .isa = values[OPTION_ISA].text,
                           .library = values[OPTION_LIBRARY].text,
                           .infer = values[OPTION_INFER].is_given,
                           .plan_only = values[OPTION_DRY_RUN].is_given,
                           .variant = cli_variant(options),
                           .seed = cli_seed(options),
                           .least_s = seconds_of(&values[OPTION_TIME]),
                           .most_s = seconds_of(&values[OPTION_MAX_TIME]),
                           .weights = values[OPTION_WEIGHTS].text,
                           .data = cli_data_options(options)};
    if (values[OPTION_PRECISION].count > 1) {
        out->precisions = names_of(&values[OPTION_PRECISION]);
        out->precisions_text = values[OPTION_PRECISION].text;
    }
    TRY(take_workloads(options, out, err));
    return out->weights ? take_weights(out, err) : BE_OK;
}

be_status request_make_single(const cli_options *options, study_request *out, be_error *err)
{
    int64_t batch = 0;
    TRY(option_single(options, OPTION_BATCH, 0, &batch, err));
    return request_make(options, out, err);
}

/* ---------------------------------------------------------------- who listens */

static void show_progress(void *context, const char *line)
{
    const request_listener *listener = context;
    cli_progress(listener->options, "%s", line);
    events_text(listener->options, "progress", line);
}

static void show_note(void *context, const char *line)
{
    const request_listener *listener = context;
    cli_note(listener->options, "%s", line);
    events_text(listener->options, "note", line);
}

static void show_so_far(void *context, const json_t *result)
{
    const request_listener *listener = context;
    events_write(listener->options, "so far", result);
}

keeper request_keeper(const cli_options *options)
{
    bool none = options->value[OPTION_NO_STORE].is_given;
    return (keeper){.command = none ? NULL : command_table[options->command].name};
}

void request_keep(request_listener *listener, json_t *record, const json_t *environment)
{
    const char *reason = keeper_add(&listener->keeper, record, environment);
    if (reason) cli_note(listener->options, "%s", reason);
}

void request_keep_end(request_listener *listener)
{
    const char *reason = keeper_end(&listener->keeper);
    if (reason) cli_note(listener->options, "%s", reason);
}

static void keep_record(void *context, json_t *record)
{
    request_listener *listener = context;
    if (listener->records) json_array_append(listener->records, record);
    events_write(listener->options, "record", record);
    request_keep(listener, record, NULL);
}

study_watch request_watch(request_listener *listener)
{
    return (study_watch){.context = listener,
                         .progress = show_progress,
                         .note = show_note,
                         .record = keep_record,
                         .so_far = events_wanted(listener->options) ? show_so_far : NULL,
                         .quiet = events_wanted(listener->options),
                         .stop = &cli_signal};
}

/* ------------------------------------------------------------------ data */

/* "FOLDER/tokenizer.json" of a folder or of the one that a file lies in; `out` is "" where there is
 * none. */
static be_status find_tokenizer(const char *place, char out[FILE_PATH_BYTES], be_error *err)
{
    const char *slash = strrchr(place, '/');
    int length = file_is_folder(place) ? (int)strlen(place) : slash ? (int)(slash - place) : 0;
    out[0] = 0;
    if (!length && slash) return BE_OK;
    TRY(file_format_path(out, err, "%.*s/" CLI_TOKENIZER, length ? length : 1,
                         length ? place : "."));
    if (!file_exists(out)) out[0] = 0;
    return BE_OK;
}

be_status request_open_data(const cli_options *options, const request_data *what, be_dataset **out,
                            be_error *err)
{
    request_listener listener = {.options = options};
    study_watch watch = request_watch(&listener);
    dataset_options set_options = cli_data_options(options);
    char path[FILE_PATH_BYTES] = "";
    if (what->near && !set_options.tokenizer) TRY(find_tokenizer(what->near, path, err));
    if (path[0]) set_options.tokenizer = path;
    set_options.other = what->other;
    return study_open_data(&watch, &set_options, what->workload, what->split, out, err);
}

/* ---------------------------------------------------------------- ranges */

static const char *list_axes(const workload *w, const char *separator, char out[300])
{
    text_buffer b = text_begin(out, 300);
    for (int a = 0; a < AXIS_COUNT; a++)
        if (!w || axis_is_of(&axis_table[a], w))
            text_add(&b, "%s%s", b.used ? separator : "", axis_table[a].name);
    return out;
}

static be_status find_axis(const char *name, const char *text, const workload *w, const axis **out,
                           be_error *err)
{
    char names[300], near[64];
    for (int a = 0; a < AXIS_COUNT; a++) {
        if (strcmp(axis_table[a].name, name) != 0) continue;
        *out = &axis_table[a];
        if (axis_is_of(&axis_table[a], w)) return BE_OK;
        FAIL(err, BE_USAGE, "%s has no %s; its axes are %s", w->name, axis_table[a].noun,
             list_axes(w, ", ", names));
    }
    option_nearest(name, list_axes(NULL, " ", names), near);
    FAIL(err, BE_USAGE, "--over: unknown axis \"%s\" in \"%s\"%s%s%s; the axes of %s are %s", name,
         text, near[0] ? "; did you mean " : "", near, near[0] ? "?" : "", w->name,
         list_axes(w, ", ", names));
}

/* A whole number at *text, which is moved behind it. */
static bool take_number(const char **text, int64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**text)) return false;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

be_status request_range(const char *text, const workload *w, axis_range *out, be_error *err)
{
    char name[32];
    size_t length = strcspn(text, "=");
    if (!text[length] || !length || length >= sizeof name)
        FAIL(err, BE_USAGE, "--over: expected AXIS=FROM..TO, as in batch=8..4096, found \"%s\"",
             text);
    memcpy(name, text, length);
    name[length] = 0;
    TRY(find_axis(name, text, w, &out->axis, err));
    const char *range = text + length + 1, *at = range;
    bool good = take_number(&at, &out->from) && strncmp(at, "..", 2) == 0;
    if (good) {
        at += 2;
        good = take_number(&at, &out->to) && !*at;
    }
    if (!good)
        FAIL(err, BE_USAGE,
             "--over: expected two whole numbers, as in %s=8..4096, found \"%s\" in \"%s\"", name,
             range, text);
    if (out->from >= out->to)
        FAIL(err, BE_USAGE, "--over: expected a range from a smaller to a larger %s, found %s",
             out->axis->noun, text);
    if ((double)out->from < out->axis->least || (double)out->to > axis_most(out->axis, w))
        FAIL(err, BE_USAGE, "--over: expected %s from %.15g to %.15g, found %s", name,
             out->axis->least, axis_most(out->axis, w), text);
    return BE_OK;
}
