/* breakeven advise: which device to train with, and where the answer flips. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/request.h"
#include "report/advice.h"
#include "study/study.h"

/* How long an epoch is only the data set of a workload of the ladder knows. */
static be_status check_samples(const cli_options *options, const workload *w, be_error *err)
{
    bool samples = options->value[OPTION_SAMPLES].is_given,
         steps = options->value[OPTION_STEPS].is_given;
    if (!w->file && samples)
        FAIL(err, BE_USAGE,
             "--samples: it is of a model of your own, and %s has a data set; leave "
             "it out, or use --limit",
             w->name);
    if (w->file && !samples && !steps)
        FAIL(err, BE_USAGE,
             "advise %s: expected --samples N, the samples of an epoch, or --steps N, found "
             "neither; give one of them",
             w->name);
    return BE_OK;
}

#define LOCAL "local" /* the link of this machine's own workers */

/* "12.5e9,5e-6" */
static be_status take_link(const char *text, scaling_link *out, be_error *err)
{
    char *end = NULL;
    if (!text || strcmp(text, LOCAL) == 0) return BE_OK;
    out->bytes_per_s = strtod(text, &end);
    bool good = end != text && *end == ',';
    const char *latency = good ? end + 1 : text;
    if (good) out->latency_s = strtod(latency, &end);
    good = good && end != latency && *end == '\0' && isfinite(out->bytes_per_s) &&
           isfinite(out->latency_s) && out->bytes_per_s > 0 && out->latency_s >= 0;
    if (good) return BE_OK;
    FAIL(err, BE_USAGE,
         "--link: expected bytes per second above 0, a comma and seconds, as in 12.5e9,5e-6, "
         "or " LOCAL ", found \"%s\"",
         text);
}

static be_status check_workers(const option_value *workers, be_error *err)
{
    for (int i = 0; i < workers->count; i++)
        if (workers->integers[i] < 2)
            FAIL(err, BE_USAGE,
                 "--workers: expected numbers from 2, which are told beside one, found 1; leave it "
                 "out");
    return BE_OK;
}

be_status cmd_advise(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    study_training training = {.goal = values[OPTION_GOAL].text,
                               .steps = values[OPTION_STEPS].integer,
                               .epochs = values[OPTION_EPOCHS].integer,
                               .samples = values[OPTION_SAMPLES].integer,
                               .from = values[OPTION_FROM].text,
                               .workers = values[OPTION_WORKERS].integers,
                               .worker_count = values[OPTION_WORKERS].count};
    const char *link = values[OPTION_LINK].text;
    training.link_is_local = link && strcmp(link, LOCAL) == 0;
    if (training.link_is_local && training.from)
        FAIL(err, BE_USAGE,
             "--link " LOCAL " and --from: with --from nothing is measured; give the link as bytes "
             "per second and seconds");
    study_request request;
    json_t *answer = NULL;
    request_listener listener = {options, NULL, request_keeper(options)};
    study_watch watch = request_watch(&listener);
    TRY(check_workers(&values[OPTION_WORKERS], err));
    TRY(take_link(link, &training.link, err));
    TRY(request_make_single(options, &request, err));
    TRY(check_samples(options, request.workloads[0], err));
    be_status status = study_advise(&request, &training, &watch, &answer, err);
    /* From a file nothing was measured: there is nothing to keep. */
    if (status == BE_OK && !training.from) request_keep(&listener, answer, NULL);
    request_keep_end(&listener);
    cli_progress_end();
    if (status == BE_OK && events_wanted(options))
        events_write(options, "result", answer);
    else if (status == BE_OK)
        status = advice_write(answer, cli_format(options), cli_results, err);
    json_decref(answer);
    return status;
}
