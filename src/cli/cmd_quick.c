/* breakeven without a command: the quick verdict for cnn-fashion on one page. */
#include "cli/advise.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "report/bench.h"
#include "report/quick.h"

#define PAGE_S 40 /* in all, however many contenders there are */

/* What is not usable here, of the engines that are: devices with their reasons. */
static void add_unusable(const bench_plan *plan, json_t *missing)
{
    size_t i;
    json_t *device;
    for (int e = 0; e < ENGINE_COUNT; e++)
        json_array_foreach(json_object_get(plan->hello[e], "unusable_devices"), i, device)
            json_array_append_new(missing,
                                  json_pack("{s:s++, s:O}", "name", engine_title(engine_names[e]),
                                            " on ", report_string(device, "id"), "reason",
                                            json_object_get(device, "reason")));
}

/* For programs: the records of explain with the cause, then the object of advise. */
static be_status write_records(json_t *records, json_t *advice, report_format format, be_error *err)
{
    json_t *all = json_copy(records);
    if (advice && (format == REPORT_JSON || format == REPORT_JSONL)) json_array_append(all, advice);
    be_status status = bench_write(all, format, cli_results, err);
    json_decref(all);
    return status;
}

static be_status write_page(measurement *m, json_t *records, be_error *err)
{
    report_format format = cli_format(m->cli);
    json_t *missing = json_deep_copy(m->plan.missing);
    int64_t batch = (int64_t)report_real(json_array_get(records, 0), "batch");
    json_t *advice = advise_from(m->cli, m->workload, batch, records);
    be_status status = BE_OK;
    add_unusable(&m->plan, missing);
    if (format == REPORT_TABLE)
        quick_write(&(quick_page){records, advice, missing}, cli_results);
    else
        status = write_records(records, advice, format, err);
    json_decref(advice);
    json_decref(missing);
    return status;
}

static be_status measure(measurement *m, json_t *answers, json_t *records, be_error *err)
{
    const workload *w = NULL;
    TRY(workload_find("cnn-fashion", &w, err));
    return explain_measure(m, w, answers, records, err);
}

be_status cmd_quick(const cli_options *options, be_error *err)
{
    static measurement m; /* large: it holds the engines' paths */
    json_t *records = json_array(), *answers = json_array();
    be_status status = measurement_open(&m, options, err);
    m.conducting.budget.whole_s = PAGE_S;
    if (status == BE_OK) status = measure(&m, answers, records, err);
    cli_progress_end();
    if (json_array_size(records)) {
        be_status written = write_page(&m, records, status == BE_OK ? err : NULL);
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = measurement_check(records, err);
    }
    json_decref(answers);
    json_decref(records);
    measurement_close(&m);
    return status;
}
