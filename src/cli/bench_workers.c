/* See bench_workers.h. */
#include "cli/bench_workers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/request.h"
#include "machine/environment.h"
#include "report/workers.h"
#include "study/workers.h"

#define AXIS "workers="

static bool is_swept(const cli_options *options)
{
    const char *over = options->value[OPTION_OVER].text;
    return over && strncmp(over, AXIS, strlen(AXIS)) == 0;
}

bool bench_workers_asked(const cli_options *options)
{
    return options->value[OPTION_WORKERS].is_given || is_swept(options);
}

/* What would change nothing: each measurement is a training as `train --workers` does it, or as
 * PyTorch's users do. */
static be_status check_options(const cli_options *options, be_error *err)
{
    static const option_id others[] = {
        OPTION_WEIGHTS,       OPTION_THREADS, OPTION_INFER,   OPTION_DATA_ON,
        OPTION_ISA,           OPTION_LIBRARY, OPTION_DRY_RUN, OPTION_LIMIT,
        OPTION_MAX_TIME,      OPTION_OUTPUT,  OPTION_RESUME,  OPTION_SVG,
        OPTION_RESUME_IF_ANY, OPTION_EVENTS,  OPTION_TEXT,    OPTION_TOKENIZER};
    const option_value *device = &options->value[OPTION_DEVICE];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (options->value[others[i]].is_given &&
            !(others[i] == OPTION_MAX_TIME && is_swept(options)))
            FAIL(err, BE_USAGE,
                 "--%s: workers are measured by trainings of their own, which it does not "
                 "change; leave --%s out",
                 option_table[others[i]].name, option_table[others[i]].name);
    if (options->argument_count != 1)
        FAIL(err, BE_USAGE, "workers are measured with one workload, found %d; name one",
             options->argument_count);
    if (device->is_given && strcmp(device->text, "cpu") != 0 && strcmp(device->text, "cuda") != 0)
        FAIL(err, BE_USAGE,
             "--device: expected cpu, or cuda, of which each worker takes a GPU of its own, found "
             "%s",
             device->text);
    return BE_OK;
}

/* FROM, twice as many, and so on, and TO; those that cannot cut the batch are left out. */
static be_status take_range(const char *text, int64_t batch, bool each,
                            int64_t numbers[WORKERS_NUMBERS_MAX], int *count, be_error *err)
{
    char *at = NULL;
    int64_t from = strtoll(text, &at, 10), to = 0;
    bool good = at != text && strncmp(at, "..", 2) == 0;
    const char *second = good ? at + 2 : at;
    if (good) to = strtoll(second, &at, 10);
    if (!good || at == second || *at || from < 1 || to <= from || to > 256)
        FAIL(err, BE_USAGE,
             "--over: expected workers=FROM..TO with numbers from 1 to 256, as in workers=1..8, "
             "found \"" AXIS "%s\"",
             text);
    *count = 0;
    for (int64_t n = from; n < to; n *= 2)
        if (each || batch % n == 0) numbers[(*count)++] = n;
    if (each || batch % to == 0) numbers[(*count)++] = to;
    return BE_OK;
}

/* With the machine and the build, of which it tells nothing itself. */
static be_status keep(request_listener *listener, json_t *result, be_error *err)
{
    environment read;
    json_t *machine = NULL;
    environment_read(NULL, false, &read);
    TRY(environment_to_json(&read, &machine, err));
    request_keep(listener, result, machine);
    request_keep_end(listener);
    json_decref(machine);
    return BE_OK;
}

be_status bench_workers(const cli_options *options, be_error *err)
{
    study_request request;
    const option_value *values = options->value;
    int64_t numbers[WORKERS_NUMBERS_MAX];
    request_listener listener = {.options = options, .keeper = request_keeper(options)};
    study_watch watch = request_watch(&listener);
    json_t *result = NULL;
    TRY(check_options(options, err));
    TRY(request_make_single(options, &request, err));
    workers_question question = {
        .each = values[OPTION_EACH].is_given,
        .workers = {values[OPTION_WORKERS].count, values[OPTION_WORKERS].integers}};
    if (is_swept(options)) {
        question.workers.number = numbers;
        TRY(take_range(values[OPTION_OVER].text + strlen(AXIS),
                       study_batch(&request, request.workloads[0]), question.each, numbers,
                       &question.workers.count, err));
    }
    be_status status = study_workers(&request, &question, &watch, &result, err);
    if (status == BE_OK) status = keep(&listener, result, err);
    cli_progress_end();
    if (status == BE_OK) status = workers_write(result, cli_format(options), cli_results, err);
    json_decref(result);
    return status;
}
