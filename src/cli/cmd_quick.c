/* breakeven without a command: the quick verdict for cnn-fashion on one page. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/request.h"
#include "report/bench.h"
#include "report/quick.h"
#include "study/study.h"

/* For programs: the records of explain with the cause, then the object of advise. */
static be_status write_records(const study_page *page, report_format format, be_error *err)
{
    json_t *all = json_copy(page->records);
    bool objects = format == REPORT_JSON || format == REPORT_JSONL;
    if (page->advice && objects) json_array_append(all, page->advice);
    be_status status = bench_write(all, format, cli_results, err);
    json_decref(all);
    return status;
}

static be_status write_page(const study_page *page, report_format format, be_error *err)
{
    if (!json_array_size(page->records)) return BE_OK;
    if (format != REPORT_TABLE) return write_records(page, format, err);
    quick_write(&(quick_page){page->records, page->advice, page->missing}, cli_results);
    return BE_OK;
}

be_status cmd_quick(const cli_options *options, be_error *err)
{
    study_request request;
    study_page page;
    request_listener listener = {.options = options};
    study_watch watch = request_watch(&listener);
    be_error telling = {0};
    TRY(request_make_single(options, &request, err));
    be_status status = study_quick(&request, &watch, &page, err);
    cli_progress_end();
    be_status output = write_page(&page, cli_format(options), &telling);
    if (status == BE_OK && output != BE_OK) {
        *err = telling;
        status = output;
    }
    json_decref(page.records);
    json_decref(page.advice);
    json_decref(page.missing);
    return status;
}
