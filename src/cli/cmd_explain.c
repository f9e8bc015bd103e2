/* breakeven explain: where one step goes on each device, what the hardware allows, and why one
 * wins. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "core/file.h"
#include "report/explain.h"

static be_status explain_all(measurement *m, const cli_options *options, json_t *answers,
                             json_t *records, be_error *err)
{
    TRY(measurement_open(m, options, err));
    return explain_measure(m, cli_workload(options, 0), answers, records, err);
}

static be_status write_trace(const option_value *path, const json_t *records, be_error *err)
{
    if (!path->given) return BE_OK;
    char *text = explain_trace(records);
    if (!text) FAIL(err, BE_NO_MEMORY, "no memory left for the trace; free some");
    be_status status = file_write_whole(path->text, text, strlen(text), err);
    free(text);
    return status;
}

be_status cmd_explain(const cli_options *options, be_error *err)
{
    static measurement m; /* large: it holds the engines' paths */
    const option_value *trace = &options->value[OPTION_TRACE];
    json_t *records = json_array(), *answers = json_array();
    /* A file that cannot be written is found before anything is measured. */
    be_status status = trace->given ? file_check_output(trace->text, err) : BE_OK;
    if (status == BE_OK) {
        be_error later = {0};
        status = explain_all(&m, options, answers, records, err);
        cli_progress_end();
        be_status written = write_trace(trace, records, &later);
        if (written == BE_OK && json_array_size(records))
            written = explain_write(records, cli_format(options), cli_results, &later);
        if (status == BE_OK && written != BE_OK) *err = later;
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = measurement_check(records, err);
        measurement_close(&m);
    }
    json_decref(answers);
    json_decref(records);
    return status;
}
