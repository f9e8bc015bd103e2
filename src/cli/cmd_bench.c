/* breakeven bench: measure, then tell. */
#include <inttypes.h>

#include "cli/bench_workers.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/request.h"
#include "report/bench.h"
#include "study/study.h"

/* --dry-run */
static void print_plan(void *context, const study_plan *plan)
{
    (void)context;
    fprintf(cli_results, "%s, batch %" PRId64 ", %s\n\n", plan->workload->name, plan->batch,
            plan->infer ? "inference" : "training");
    be_plan_print(plan->plan, cli_results);
}

be_status cmd_bench(const cli_options *options, be_error *err)
{
    study_request request;
    if (bench_workers_asked(options)) return bench_workers(options, err);
    TRY(request_make(options, &request, err));
    request_listener listener = {options, json_array(), request_keeper(options)};
    study_watch watch = request_watch(&listener);
    be_error telling = {0};
    watch.plan = print_plan;
    be_status status = study_bench(&request, &watch, err), output = BE_OK;
    request_keep_end(&listener);
    cli_progress_end();
    if (events_wanted(options))
        events_write(options, "result", listener.records);
    else if (json_array_size(listener.records))
        output = bench_write(listener.records, cli_format(options), cli_results, &telling);
    if (status == BE_OK && output != BE_OK) {
        *err = telling;
        status = output;
    }
    json_decref(listener.records);
    return status;
}
