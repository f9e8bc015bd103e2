/* breakeven advise: which device to train with, and where the answer flips. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/request.h"
#include "report/advice.h"
#include "study/study.h"

be_status cmd_advise(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    study_training training = {.goal = values[OPTION_GOAL].text,
                               .steps = values[OPTION_STEPS].integer,
                               .epochs = values[OPTION_EPOCHS].integer,
                               .from = values[OPTION_FROM].text};
    study_request request;
    json_t *answer = NULL;
    request_listener listener = {options, NULL, request_keeper(options)};
    study_watch watch = request_watch(&listener);
    TRY(request_make_single(options, &request, err));
    be_status status = study_advise(&request, &training, &watch, &answer, err);
    /* From a file nothing was measured: there is nothing to keep. */
    if (status == BE_OK && !training.from) request_keep(&listener, answer, NULL);
    request_keep_end(&listener);
    cli_progress_end();
    if (status == BE_OK) status = advice_write(answer, cli_format(options), cli_results, err);
    json_decref(answer);
    return status;
}
