/* breakeven parity and breakeven dump: one training, step by step, from every engine. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/request.h"
#include "core/file.h"
#include "study/study.h"

static const char *error_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.2e", report_real(record, compared, error));
    return out;
}

static const char *limit_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.2g", report_real(record, compared, limit));
    return out;
}

static const char *verdict_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return strcpy(out, report_is(record, compared, good) ? "ok" : "BROKEN");
}

/* What the figures are, and what they do not prove. */
static void explain_errors(const study_compared *compared)
{
    size_t i;
    char line[700];
    const json_t *record, *first = json_array_get(compared->records, 0);
    const char *precision = report_string(first, compared, precision);
    bool rounds = strcmp(precision, "fp32") != 0;
    snprintf(line, sizeof line,
             "error: max |a - b| / max |b| over a tensor%s; of its kind, the one nearest to its "
             "limit%s",
             rounds ? ", of a gradient |a - b| / |b| in the Frobenius norm" : "",
             rounds ? ", which is twice what rounding alone does to it where that is more than the "
                      "least"
                    : "");
    fprintf(cli_results, "\n");
    report_paragraph(cli_results, line, 2);
    json_array_foreach(compared->records, i, record)
    {
        int64_t unproven = json_integer_value(report_member(record, compared, unproven));
        if (unproven == 0) continue;
        snprintf(line, sizeof line,
                 "%s: rounding in %s alone moves %" JSON_INTEGER_FORMAT
                 " gradients by half of themselves or more (first %s): here they prove nothing, in "
                 "fp32 they do",
                 report_string(record, compared, engine), precision, (json_int_t)unproven,
                 report_string(record, compared, unproven_where));
        report_paragraph(cli_results, line, 2);
    }
}

static be_status write_parity(const cli_options *options, const study_compared *compared,
                              be_error *err)
{
    static const report_column columns[] = {
        {MEMBER(compared, engine), "engine", UNIT_TEXT, NULL},
        {MEMBER(compared, against), "against", UNIT_TEXT, NULL},
        {MEMBER(compared, quantity), "quantity", UNIT_TEXT, NULL},
        {MEMBER(compared, error), "error", UNIT_NUMBER, error_text},
        {MEMBER(compared, limit), "limit", UNIT_NUMBER, limit_text},
        {MEMBER(compared, good), "", UNIT_TEXT, verdict_text},
        {MEMBER(compared, where), "largest at", UNIT_TEXT, NULL},
    };
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], compared->records, -1};
    bool table = cli_format(options) == REPORT_TABLE;
    const json_t *first = json_array_get(compared->records, 0);
    char line[700];
    cli_progress_end();
    if (table) {
        snprintf(line, sizeof line, "%s, batch %.0f, %.0f steps, seed %" JSON_INTEGER_FORMAT ", %s",
                 report_string(first, compared, workload), report_real(first, compared, batch),
                 report_real(first, compared, steps),
                 json_integer_value(report_member(first, compared, seed)),
                 report_string(first, compared, data));
        report_paragraph(cli_results, line, 2);
        fprintf(cli_results, "\n");
    }
    TRY(cli_write(options, &sheet, err));
    if (table) explain_errors(compared);
    return BE_OK;
}

static be_status open_native(const cli_options *options, study_request *request,
                             study_native *native, be_error *err)
{
    TRY(request_make_single(options, request, err));
    *native = (study_native){.steps = options->value[OPTION_STEPS].integer,
                             .schedule =
                                 cli_schedule(options, request->workloads[0]->optimizer.schedule)};
    return cli_open_device(options, &native->device, err);
}

static be_status tell(const cli_options *options, const study_compared *compared, be_error *err)
{
    TRY(write_parity(options, compared, err));
    if (compared->broken)
        FAIL(err, BE_NUMERIC,
             "%s: parity is broken: an error exceeds its limit; the rows above say where",
             report_string(json_array_get(compared->records, 0), compared, workload));
    return BE_OK;
}

be_status cmd_parity(const cli_options *options, be_error *err)
{
    study_request request;
    study_native native;
    study_compared compared;
    request_listener listener = {.options = options};
    study_watch watch = request_watch(&listener);
    TRY(open_native(options, &request, &native, err));
    be_status status = study_parity(&request, &native, &watch, &compared, err);
    if (status == BE_OK) status = tell(options, &compared, err);
    json_decref(compared.records);
    be_device_close(native.device);
    return status;
}

be_status cmd_dump(const cli_options *options, be_error *err)
{
    study_request request;
    study_native native;
    request_listener listener = {.options = options};
    study_watch watch = request_watch(&listener);
    const char *path = options->value[OPTION_OUTPUT].text;
    if (!path) FAIL(err, BE_USAGE, "dump needs a file to write: -o FILE.safetensors");
    TRY(file_check_output(path, err));
    TRY(open_native(options, &request, &native, err));
    be_status status = study_dump(&request, &native, &watch, path, err);
    be_device_close(native.device);
    return status;
}
