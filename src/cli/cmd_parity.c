/* breakeven parity and breakeven dump: one training, step by step, from every engine. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/memory.h"
#include "core/text_json.h"
#include "run/engine.h"
#include "run/material.h"
#include "run/parity.h"

#define PARITY_BATCH 8 /* the double reference takes its time */
#define PARITY_STEPS 10
#define START_LIMIT_S 60.0
#define RUN_LIMIT_S 300.0

typedef struct parity_command {
    const cli_options *cli;
    material_options material;
    workload varied;
    be_dataset *set;
    be_device *device;
    int64_t batch, steps, count; /* count: of pictures that are used */
    data_table samples;          /* the first in the order of training */
    int32_t *order;
    workload_model model;
    trace native, reference;
    json_t *records;
    bool broken;
} parity_command;

/* ---------------------------------------------------------------- preparing */

static be_status gather_data(parity_command *c, be_error *err)
{
    void *memory = NULL;
    int64_t wanted = c->batch * c->steps, count = c->set->count;
    if (c->batch > count)
        FAIL(err, BE_USAGE,
             "expected a batch of at most the %" PRId64 " %ss of the set, found %" PRId64
             "; use a smaller --batch",
             count, c->set->table.unit, c->batch);
    c->count = wanted < count ? wanted : count - count % c->batch;
    TRY(material_gather(&c->material, c->count, &c->samples, err));
    TRY(memory_alloc(&memory, (size_t)c->count * sizeof(int32_t), "an order", err));
    c->order = memory;
    for (int64_t i = 0; i < c->count; i++) c->order[i] = (int32_t)i;
    return BE_OK;
}

static be_status make_model(parity_command *c, be_error *err)
{
    workload_options options = {
        .seed = c->material.seed, .batch = (int)c->batch, .data = &c->samples};
    return workload_model_new(c->material.workload, &options, &c->model, err);
}

static be_status prepare(parity_command *c, int64_t batch, int64_t steps, be_error *err)
{
    const workload *w = NULL;
    workload_variant variant = cli_variant(c->cli);
    TRY(workload_vary(cli_workload(c->cli, 0), &variant, &c->varied, &w, err));
    TRY(option_single(c->cli, OPTION_BATCH, batch, &c->batch, err));
    c->steps = steps;
    TRY(cli_open_device(c->cli, &c->device, err));
    TRY(cli_open_data(c->cli, w, SPLIT_TRAIN, &c->set, err));
    c->material =
        (material_options){.workload = w, .set = &c->set->table, .seed = cli_seed(c->cli)};
    TRY(gather_data(c, err));
    c->material.samples = c->count;
    return make_model(c, err);
}

static void release(parity_command *c)
{
    trace_free(&c->native);
    trace_free(&c->reference);
    be_graph_free(c->model.graph);
    table_free(&c->samples);
    memory_free(c->order);
    dataset_close(c->set);
    be_device_close(c->device);
    json_decref(c->records);
}

static trace_options trace_wanted(const parity_command *c)
{
    return (trace_options){.model = &c->model,
                           .data = &c->samples,
                           .order = c->order,
                           .steps = c->steps,
                           .interrupted = &cli_signal};
}

/* ---------------------------------------------------------------- parity */

static void add_result(parity_command *c, const char *left, const char *right,
                       const parity_result *result)
{
    for (int k = 0; k < result->count; k++) {
        const parity_row *row = &result->rows[k];
        json_t *record =
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:o, s:f, s:s, s:b}", "schema", 1, "workload",
                      c->material.workload->name, "engine", left, "against", right, "quantity",
                      row->kind, "tensors", row->tensors, "error", report_json_real(row->error),
                      "limit", PARITY_LIMIT, "where", row->where, "good", row->good);
        json_object_set_new(record, "batch", json_integer(c->batch));
        json_object_set_new(record, "steps", json_integer(c->steps));
        json_object_set_new(record, "data", text_json(c->set->source));
        json_object_set_new(record, "seed", json_integer((json_int_t)c->material.seed));
        json_array_append_new(c->records, record);
    }
    c->broken |= !result->good;
}

static be_status compare(parity_command *c, const trace *a, const trace *b, const char *left,
                         const char *right, be_error *err)
{
    parity_result result;
    TRY(parity_compare(a, b, PARITY_LIMIT, &result, err));
    add_result(c, left, right, &result);
    return BE_OK;
}

static be_status ask_runner(parity_command *c, const engine *e, const material *m, trace *out,
                            be_error *err)
{
    char path[FILE_PATH_BYTES];
    runner r;
    runner_options start = {.name = e->name,
                            .argv = e->argv,
                            .env = e->env,
                            .device = "cpu",
                            .start_limit_s = START_LIMIT_S,
                            .interrupted = &cli_signal};
    protocol_job job = material_job(m, &c->material);
    job.device = "cpu";
    job.dropout = "counter";
    int threads = be_device_threads(c->device);
    job.threads = threads ? threads : cli_default_threads(c->cli);
    job.batch = c->batch;
    TRY(file_format_path(path, err, "%s/%s.safetensors", m->folder.path, e->name));
    TRY(runner_start(&r, &start, err));
    be_status status = runner_prepare(&r, &job, RUN_LIMIT_S, err);
    if (status == BE_OK) status = parity_ask(&r, c->steps, path, RUN_LIMIT_S, out, err);
    runner_clear(&r);
    unlink(path);
    return status;
}

static be_status compare_engine(parity_command *c, const char *name, be_error *err)
{
    engine e;
    material m;
    trace other = {0};
    engine_options options = {.interrupted = &cli_signal};
    TRY(engine_find(&e, name, &options, err));
    cli_progress(c->cli, "%s ...", engine_title(name));
    TRY(material_new(&m, &c->material, err));
    be_status status = ask_runner(c, &e, &m, &other, err);
    material_free(&m);
    if (status == BE_OK) status = compare(c, &c->native, &other, "native", name, err);
    if (status == BE_OK) status = compare(c, &other, &c->reference, name, "reference", err);
    trace_free(&other);
    return status;
}

/* Is the engine among those of --engine?  Without it, all are, if they are there. */
static bool is_wanted(const cli_options *cli, const char *name, bool *must)
{
    const option_value *engines = &cli->value[OPTION_ENGINE];
    *must = false;
    for (int i = 0; i < engines->count; i++) {
        *must |= strcmp(engines->words[i], name) == 0;
        if (strcmp(engines->words[i], "all") == 0) return true;
    }
    return *must || !engines->given;
}

static be_status compare_engines(parity_command *c, be_error *err)
{
    for (int i = 0; i < ENGINE_COUNT; i++) {
        bool must = false;
        be_error reason = {0};
        if (strcmp(engine_names[i], "native") == 0 || !is_wanted(c->cli, engine_names[i], &must))
            continue;
        be_status status = compare_engine(c, engine_names[i], &reason);
        if (status == BE_UNAVAILABLE && !must) {
            cli_note(c->cli, "%s", reason.text);
        } else if (status != BE_OK) {
            *err = reason;
            return status;
        }
    }
    return BE_OK;
}

static const char *error_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.2e", report_real(record, "error"));
    return out;
}

static const char *verdict_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return strcpy(out, json_is_true(json_object_get(record, "good")) ? "ok" : "BROKEN");
}

static be_status write_parity(const parity_command *c, be_error *err)
{
    static const report_column columns[] = {
        {"engine", "engine", UNIT_TEXT, NULL},     {"against", "against", UNIT_TEXT, NULL},
        {"quantity", "quantity", UNIT_TEXT, NULL}, {"error", "error", UNIT_NUMBER, error_text},
        {"good", "", UNIT_TEXT, verdict_text},     {"where", "largest at", UNIT_TEXT, NULL},
    };
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], c->records, -1};
    bool table = cli_format(c->cli) == REPORT_TABLE;
    char line[700];
    cli_progress_end();
    if (table) {
        snprintf(line, sizeof line,
                 "%s, batch %" PRId64 ", %" PRId64 " steps, seed %" PRIu64 ", %s",
                 c->material.workload->name, c->batch, c->steps, c->material.seed, c->set->source);
        report_paragraph(cli_results, line, 2);
        fprintf(cli_results, "\n");
    }
    TRY(cli_write(c->cli, &sheet, err));
    if (table)
        fprintf(cli_results,
                "\nerror: max |a - b| / max |b| over a tensor, the largest of its kind; limit %g\n",
                PARITY_LIMIT);
    return BE_OK;
}

static be_status run_parity(parity_command *c, be_error *err)
{
    const option_value *steps = &c->cli->value[OPTION_STEPS];
    TRY(prepare(c, PARITY_BATCH, steps->given ? steps->integer : PARITY_STEPS, err));
    trace_options options = trace_wanted(c);
    cli_progress(c->cli, "native ...");
    TRY(trace_of_plan(&c->native, c->device, &options, err));
    cli_progress(c->cli, "the reference in double precision ...");
    TRY(trace_of_reference(&c->reference, &options, err));
    TRY(compare(c, &c->native, &c->reference, "native", "reference", err));
    TRY(compare_engines(c, err));
    TRY(write_parity(c, err));
    if (c->broken)
        FAIL(err, BE_NUMERIC, "%s: parity is broken: an error exceeds %g; the rows above say where",
             c->material.workload->name, PARITY_LIMIT);
    return BE_OK;
}

be_status cmd_parity(const cli_options *options, be_error *err)
{
    parity_command c = {.cli = options, .records = json_array()};
    be_status status = run_parity(&c, err);
    release(&c);
    return status;
}

/* ---------------------------------------------------------------- dump */

static be_status run_dump(parity_command *c, be_error *err)
{
    const char *path = c->cli->value[OPTION_OUTPUT].text;
    if (!path) FAIL(err, BE_USAGE, "dump needs a file to write: -o FILE.safetensors");
    TRY(file_check_output(path, err));
    TRY(prepare(c, cli_workload(c->cli, 0)->batch, 1, err));
    trace_options options = trace_wanted(c);
    TRY(trace_of_plan(&c->native, c->device, &options, err));
    return trace_save(&c->native, path, false, err);
}

be_status cmd_dump(const cli_options *options, be_error *err)
{
    parity_command c = {.cli = options, .records = json_array()};
    be_status status = run_dump(&c, err);
    release(&c);
    return status;
}
