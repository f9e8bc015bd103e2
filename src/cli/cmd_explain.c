/* breakeven explain: where one step goes on each device, what the hardware allows, and why one
 * wins. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/request.h"
#include "core/file.h"
#include "report/explain.h"
#include "study/study.h"

static be_status write_trace(const option_value *path, const json_t *records, be_error *err)
{
    if (!path->is_given) return BE_OK;
    char *text = explain_trace(records);
    if (!text) FAIL(err, BE_NO_MEMORY, "no memory left for the trace; free some");
    be_status status = file_write_whole(path->text, text, strlen(text), err);
    free(text);
    return status;
}

be_status cmd_explain(const cli_options *options, be_error *err)
{
    const option_value *trace = &options->value[OPTION_TRACE];
    study_request request;
    request_listener listener = {options, NULL, request_keeper(options)};
    study_watch watch = request_watch(&listener);
    be_error telling = {0};
    /* A file that cannot be written is found before anything is measured. */
    if (trace->is_given) TRY(file_check_output(trace->text, err));
    TRY(request_make_single(options, &request, err));
    json_t *records = json_array();
    be_status status = study_explain(&request, &watch, records, err);
    request_keep_end(&listener);
    cli_progress_end();
    be_status output = write_trace(trace, records, &telling);
    if (events_wanted(options))
        events_write(options, "result", records);
    else if (output == BE_OK && json_array_size(records))
        output = explain_write(records, cli_format(options), cli_results, &telling);
    if (status == BE_OK && output != BE_OK) {
        *err = telling;
        status = output;
    }
    json_decref(records);
    return status;
}
