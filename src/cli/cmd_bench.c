/* breakeven bench, and breakeven without a command: measure, then tell. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "cli/bench_plan.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "graph/graph.h"
#include "measure/environment.h"
#include "report/bench.h"
#include "run/material.h"
#include "run/phases.h"
#include "run/record.h"

#define QUICK_MAX_S 4.0
#define PHASES_S 0.2

/* All that one call of the command holds. */
typedef struct bench_command {
    const cli_options *cli;
    bench_plan plan;
    json_t *environment, *records;
    /* Of the workload at hand. */
    const workload *workload;
    be_dataset *set;
    material_options material_options;
    material material;
    be_plan_facts facts;
    bool dropout; /* the model has some: losses differ by engine */
} bench_command;

/* ---------------------------------------------------------------- one group */

static be_status plan_facts(bench_command *c, int64_t batch, bool print, be_error *err)
{
    workload_model model = {0};
    be_device *device = NULL;
    be_plan *plan = NULL;
    workload_options options = {.seed = c->material_options.seed,
                                .batch = (int)batch,
                                .count = c->material.count ? c->material.count : c->set->count};
    memcpy(options.mean, c->set->mean, sizeof c->set->mean);
    memcpy(options.std, c->set->std, sizeof c->set->std);
    TRY(workload_model_new(c->workload, &options, &model, err));
    c->dropout = model.graph->salt > 0;
    be_plan_options planning = {.mode = c->plan.infer ? BE_INFER : BE_TRAIN, .dry_run = 1};
    be_device_options native = c->plan.native_options;
    if (!backend_has_library("cpu", native.library)) native.library = NULL;
    be_status status = be_device_open("cpu", &native, &device, err);
    if (status == BE_OK) status = be_plan_new(model.graph, device, &planning, &plan, err);
    if (status == BE_OK) c->facts = be_plan_describe(plan);
    if (status == BE_OK && print) {
        printf("%s, batch %" PRId64 ", %s\n\n", c->workload->name, batch,
               c->plan.infer ? "inference" : "training");
        be_plan_print(plan, stdout);
    }
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(model.graph);
    return status;
}

static void show_progress(void *context, const conductor_progress *p)
{
    const bench_command *c = context;
    const bench_contender *who = &c->plan.contenders[p->contender];
    char step[REPORT_TEXT_BYTES], elapsed[REPORT_TEXT_BYTES];
    if (p->phase == CONDUCTOR_FAILED) {
        cli_note(c->cli, "%s on %s failed: %s", who->engine->name, who->device,
                 p->error ? p->error->text : "");
        return;
    }
    cli_progress(c->cli, "%s, %s on %s, %d threads (%d of %d): %s, %d blocks, step %s, %s",
                 c->workload->name, who->engine->name, who->device, who->threads, p->contender + 1,
                 p->contenders, conductor_phase_text(p->phase), p->blocks,
                 report_seconds(p->step_s, step), report_seconds(p->elapsed_s, elapsed));
}

static conductor_options conducting(bench_command *c)
{
    const option_value *values = c->cli->value;
    conductor_options options = conductor_options_default();
    options.seed = cli_seed(c->cli);
    options.loss_band = c->dropout || c->plan.infer ? 0 : 1e-3;
    options.progress = show_progress;
    options.context = c;
    options.interrupted = &cli_signal;
    if (c->cli->command == COMMAND_quick) options.stop.max_time_s = QUICK_MAX_S;
    if (values[OPTION_MAX_TIME].given) options.stop.max_time_s = values[OPTION_MAX_TIME].real;
    if (values[OPTION_TIME].given) options.stop.min_time_s = values[OPTION_TIME].real;
    if (options.stop.min_time_s > options.stop.max_time_s)
        options.stop.min_time_s = options.stop.max_time_s;
    return options;
}

/* What the conductor and its record do not know. */
static void complete_record(const bench_command *c, const bench_contender *who,
                            const conductor_contender *contender, json_t *record)
{
    json_t *phases = NULL;
    double step_s = report_real(record, "step_s.median");
    json_object_set_new(record, "data_source", json_string(c->set->source));
    json_object_set_new(record, "data_count", json_integer(c->set->count));
    json_object_set_new(record, "data_note",
                        c->set->note ? json_string(c->set->note) : json_null());
    json_object_set_new(record, "epochs", json_integer(c->workload->epochs));
    if (isfinite(step_s) && !cli_signal) {
        cli_progress(c->cli, "%s: phases of a step ...", who->engine->name);
        if (phases_ask(contender, step_s, PHASES_S, &cli_signal, &phases, NULL) != BE_OK)
            phases = NULL;
    }
    json_object_set_new(record, "phases_s", phases ? phases : json_null());
}

static be_status add_records(bench_command *c, const conductor_contender *contenders,
                             const conductor_report *report, be_error *err)
{
    record_facts facts = {.unix_s = (int64_t)time(NULL),
                          .flops_per_step = c->facts.flops_per_step,
                          .bytes_per_step = c->facts.bytes_per_step,
                          .data = c->set->name,
                          .environment = c->environment};
    for (int i = 0; i < report->count; i++) {
        json_t *record = NULL;
        TRY(record_build(contenders, report, i, &facts, &record, err));
        complete_record(c, &c->plan.contenders[i], &contenders[i], record);
        json_array_append_new(c->records, record);
    }
    return BE_OK;
}

static be_status measure_batch(bench_command *c, int64_t batch, be_error *err)
{
    conductor_contender contenders[BENCH_CONTENDERS_MAX];
    conductor_report *report = NULL;
    for (int i = 0; i < c->plan.contender_count; i++) {
        const bench_contender *who = &c->plan.contenders[i];
        contenders[i] =
            (conductor_contender){.engine = who->engine->name,
                                  .argv = who->engine->argv,
                                  .env = who->engine->env,
                                  .job = material_job(&c->material, &c->material_options)};
        contenders[i].job.device = who->device;
        contenders[i].job.threads = who->threads;
        contenders[i].job.batch = batch;
        contenders[i].job.precision = c->plan.precision;
        contenders[i].job.data_on = c->plan.data_on;
        contenders[i].job.mode = c->plan.infer ? "infer" : "train";
    }
    TRY(plan_facts(c, batch, false, err));
    conductor_options options = conducting(c);
    be_status status = conductor_run(contenders, c->plan.contender_count, &options, &report, err);
    if (report) {
        be_status added = add_records(c, contenders, report, status == BE_OK ? err : NULL);
        if (status == BE_OK) status = added;
    }
    conductor_report_free(report);
    return status;
}

/* ---------------------------------------------------------------- all workloads */

static be_status check_batches(const bench_command *c, be_error *err)
{
    for (int b = 0; b < c->plan.batch_count; b++)
        if (c->plan.batches[b] > c->set->count)
            FAIL(err, BE_USAGE,
                 "%s: expected batches of at most the %" PRId64 " pictures of %s, found %" PRId64
                 "; use a smaller --batch",
                 c->workload->name, c->set->count, c->set->name, c->plan.batches[b]);
    return BE_OK;
}

static be_status measure_batches(bench_command *c, be_error *err)
{
    bool dry = c->cli->value[OPTION_DRY_RUN].given;
    TRY(check_batches(c, err));
    if (!dry) {
        cli_progress(c->cli, "%s: writing the data for the runners ...", c->workload->name);
        TRY(material_new(&c->material, &c->material_options, err));
    }
    be_status status = BE_OK;
    for (int b = 0; status == BE_OK && b < (c->plan.batch_count ? c->plan.batch_count : 1); b++) {
        int64_t batch = c->plan.batch_count ? c->plan.batches[b] : c->workload->batch;
        status = dry ? plan_facts(c, batch, true, err) : measure_batch(c, batch, err);
    }
    material_free(&c->material);
    return status;
}

static be_status measure_workload(bench_command *c, const workload *w, be_error *err)
{
    c->workload = w;
    TRY(cli_open_data(c->cli, w, SPLIT_TRAIN, &c->set, err));
    c->material_options =
        (material_options){.workload = w, .set = c->set, .seed = cli_seed(c->cli)};
    be_status status = measure_batches(c, err);
    dataset_close(c->set);
    c->set = NULL;
    return status;
}

static be_status measure_all(bench_command *c, be_error *err)
{
    environment machine;
    const workload *fallback = NULL;
    TRY(bench_plan_make(&c->plan, c->cli, err));
    environment_read(NULL, &machine);
    TRY(environment_to_json(&machine, &c->environment, err));
    if (!c->cli->argument_count) {
        TRY(workload_find("cnn-fashion", &fallback, err));
        return measure_workload(c, fallback, err);
    }
    for (int a = 0; a < c->cli->argument_count; a++)
        TRY(measure_workload(c, cli_workload(c->cli, a), err));
    return BE_OK;
}

/* The status of the worst contender that was asked for. */
static be_status check_records(const json_t *records, be_error *err)
{
    size_t i;
    json_t *record;
    static const char *const names[] = {
#define X(name, code, text) #name,
        BE_STATUS_LIST(X)
#undef X
    };
    json_array_foreach(records, i, record)
    {
        const char *status = report_string(record, "status");
        for (int s = 1; s < (int)(sizeof names / sizeof names[0]); s++)
            if (strcmp(names[s], status) == 0)
                FAIL(err, (be_status)s, "%s on %s: %s", report_string(record, "asked.engine"),
                     report_string(record, "device"), report_string(record, "error"));
    }
    return BE_OK;
}

static be_status measure_and_tell(const cli_options *options, be_error *err)
{
    static bench_command c; /* large: it holds the engines' paths */
    c = (bench_command){.cli = options, .records = json_array()};
    be_status status = measure_all(&c, err);
    cli_progress_end();
    if (json_array_size(c.records)) {
        be_status written =
            bench_write(c.records, cli_format(options), stdout, status == BE_OK ? err : NULL);
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = check_records(c.records, err);
    }
    json_decref(c.records);
    json_decref(c.environment);
    bench_plan_release(&c.plan);
    return status;
}

be_status cmd_bench(const cli_options *options, be_error *err)
{
    return measure_and_tell(options, err);
}

be_status cmd_quick(const cli_options *options, be_error *err)
{
    return measure_and_tell(options, err);
}
