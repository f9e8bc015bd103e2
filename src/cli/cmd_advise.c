/* breakeven advise: which device to train with, and where the answer flips. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/request.h"
#include "report/advice.h"
#include "study/study.h"

/* How long an epoch is only the data set of a workload of the ladder knows. */
static be_status check_samples(const cli_options *options, const workload *w, be_error *err)
{
    bool samples = options->value[OPTION_SAMPLES].given, steps = options->value[OPTION_STEPS].given;
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

be_status cmd_advise(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    study_training training = {.goal = values[OPTION_GOAL].text,
                               .steps = values[OPTION_STEPS].integer,
                               .epochs = values[OPTION_EPOCHS].integer,
                               .samples = values[OPTION_SAMPLES].integer,
                               .from = values[OPTION_FROM].text};
    study_request request;
    json_t *answer = NULL;
    request_listener listener = {options, NULL, request_keeper(options)};
    study_watch watch = request_watch(&listener);
    TRY(request_make_single(options, &request, err));
    TRY(check_samples(options, request.workloads[0], err));
    be_status status = study_advise(&request, &training, &watch, &answer, err);
    /* From a file nothing was measured: there is nothing to keep. */
    if (status == BE_OK && !training.from) request_keep(&listener, answer, NULL);
    request_keep_end(&listener);
    cli_progress_end();
    if (status == BE_OK) status = advice_write(answer, cli_format(options), cli_results, err);
    json_decref(answer);
    return status;
}
