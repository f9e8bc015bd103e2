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

/* A file that cannot be written is found before anything is measured. */
static be_status begin_trace(const cli_options *options, file_writer *w, be_error *err)
{
    const option_value *path = &options->value[OPTION_TRACE];
    return path->given ? file_write_begin(w, path->text, err) : BE_OK;
}

static be_status end_trace(file_writer *w, const json_t *records, be_error *err)
{
    char *text = explain_trace(records);
    if (!text) {
        file_write_abort(w);
        FAIL(err, BE_NO_MEMORY, "no memory left for the trace; free some");
    }
    be_status status = file_write(w, text, strlen(text), err);
    free(text);
    if (status == BE_OK) return file_write_commit(w, err);
    file_write_abort(w);
    return status;
}

be_status cmd_explain(const cli_options *options, be_error *err)
{
    static measurement m; /* large: it holds the engines' paths */
    file_writer trace = {.fd = -1};
    json_t *records = json_array(), *answers = json_array();
    be_status status = begin_trace(options, &trace, err);
    if (status == BE_OK) {
        be_error later = {0};
        status = explain_all(&m, options, answers, records, err);
        cli_progress_end();
        be_status written = BE_OK;
        if (options->value[OPTION_TRACE].given) written = end_trace(&trace, records, &later);
        if (written == BE_OK && json_array_size(records))
            written = explain_write(records, cli_format(options), stdout, &later);
        if (status == BE_OK && written != BE_OK) *err = later;
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = measurement_check(records, err);
        measurement_close(&m);
    }
    json_decref(answers);
    json_decref(records);
    return status;
}
