/* breakeven bench: measure, then tell. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/measurement.h"
#include "report/bench.h"

static be_status measure_workload(measurement *m, const workload *w, json_t *records, be_error *err)
{
    be_plan_facts facts;
    TRY(measurement_begin(m, w, err));
    for (int b = 0; b < (m->plan.batch_count ? m->plan.batch_count : 1); b++) {
        measurement_point point = {.batch = m->plan.batch_count ? m->plan.batches[b] : w->batch};
        if (m->cli->value[OPTION_DRY_RUN].given)
            TRY(measurement_facts(m, point.batch, true, &facts, err));
        else
            TRY(measurement_run(m, &point, records, err));
    }
    return BE_OK;
}

static be_status measure_all(measurement *m, const cli_options *options, json_t *records,
                             be_error *err)
{
    const workload *fallback = NULL;
    TRY(measurement_open(m, options, err));
    if (!options->argument_count) {
        TRY(workload_find("cnn-fashion", &fallback, err));
        return measure_workload(m, fallback, records, err);
    }
    for (int a = 0; a < options->argument_count; a++)
        TRY(measure_workload(m, cli_workload(options, a), records, err));
    return BE_OK;
}

be_status cmd_bench(const cli_options *options, be_error *err)
{
    static measurement m; /* large: it holds the engines' paths */
    json_t *records = json_array();
    be_status status = measure_all(&m, options, records, err);
    cli_progress_end();
    if (json_array_size(records)) {
        be_status written =
            bench_write(records, cli_format(options), cli_results, status == BE_OK ? err : NULL);
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = measurement_check(records, err);
    }
    json_decref(records);
    measurement_close(&m);
    return status;
}
