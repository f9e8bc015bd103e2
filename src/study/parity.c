/* One training, step by step, from every engine: compared, or written down. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/memory.h"
#include "graph/precision.h"
#include "report/sheet.h"
#include "run/engine.h"
#include "run/gate.h"
#include "run/material.h"
#include "run/parity.h"
#include "run/rounding.h"
#include "study/study.h"

#define PARITY_BATCH 8 /* the double reference takes its time */
#define PARITY_STEPS 10
#define START_LIMIT_S 60.0
#define RUN_LIMIT_S 300.0

typedef struct comparison {
    const study_request *request;
    const study_watch *watch;
    material_options material;
    workload varied;
    be_dataset *set;
    be_device *device;
    int64_t batch, steps, count; /* count: of samples that are used */
    bool steps_given;
    be_schedule schedule;
    data_table samples; /* the first in the order of training */
    int32_t *order;
    workload_model model;
    trace native, reference;
    trace rounding; /* what the precision does to the reference; empty in fp32 */
    pythons_known pythons;
    material files; /* for runners */
    bool no_reference;
    json_t *records;
    bool broken;
} comparison;

/* ---------------------------------------------------------------- preparing */

static be_status gather_data(comparison *c, be_error *err)
{
    void *memory = NULL;
    int64_t needs = c->batch * c->steps, count = c->set->count;
    if (c->batch > count)
        FAIL(err, BE_USAGE,
             "expected a batch of at most the %" PRId64 " %ss of the set, found %" PRId64
             "; use a smaller --batch",
             count, c->set->table.sample, c->batch);
    c->count = needs < count ? needs : count - count % c->batch;
    TRY(material_gather(&c->material, c->count, &c->samples, err));
    TRY(memory_alloc(&memory, (size_t)c->count * sizeof(int32_t), "an order", err));
    c->order = memory;
    for (int64_t i = 0; i < c->count; i++) c->order[i] = (int32_t)i;
    return BE_OK;
}

static be_status make_model(comparison *c, be_error *err)
{
    workload_options options = {
        .seed = c->material.seed, .batch = (int)c->batch, .data = &c->samples};
    return workload_model_new(c->material.workload, &options, &c->model, err);
}

/* Two engines and the reference are compared on what the gate computes of the network: the
 * reference would take hours for all of it. */
static be_status reduce(comparison *c, const workload **w, be_error *err)
{
    bool reduced;
    char text[WORKLOAD_TEXT];
    workload full = **w;
    const workload *base = c->request->workloads[0];
    workload_variant variant = workload_gate_variant(&full, &reduced);
    if (!reduced) return BE_OK;
    if (c->request->weights) {
        c->no_reference = true;
        study_note(c->watch,
                   "%s is larger than the reference in double precision computes: the engines are "
                   "compared with each other",
                   base->name);
        return BE_OK;
    }
    if (!c->request->batches.count) c->batch = full.gate.batch;
    if (!c->steps_given) c->steps = full.gate.steps;
    TRY(workload_vary(base, &variant, &c->varied, w, err));
    *w = workload_at_gate(*w, &c->varied);
    workload_variant_text(base, &variant, ", with ", " and ", text);
    study_note(c->watch, "%s as the gate computes it%s", base->name, text);
    return BE_OK;
}

/* The network with the schedule that was asked for, over the steps that are compared. */
static const workload *with_schedule(comparison *c, const workload *w)
{
    if (w != &c->varied) c->varied = *w;
    c->varied.optimizer.schedule = c->schedule;
    if (c->schedule.kind != BE_RATE_CONSTANT) c->varied.optimizer.schedule.total_steps = c->steps;
    return &c->varied;
}

static be_status prepare(comparison *c, bool at_gate, be_error *err)
{
    const workload *w = NULL;
    const study_request *request = c->request;
    TRY(workload_vary(request->workloads[0], &request->variant, &c->varied, &w, err));
    if (at_gate) TRY(reduce(c, &w, err));
    w = with_schedule(c, w);
    TRY(study_open_data(c->watch, &request->data, w, SPLIT_TRAIN, &c->set, err));
    c->material = (material_options){
        .workload = w, .set = &c->set->table, .seed = request->seed, .from = request->weights};
    c->material.batch = c->batch;
    TRY(gather_data(c, err));
    c->material.samples = c->count;
    TRY(make_model(c, err));
    TRY(material_new(&c->files, &c->material, err));
    if (c->files.note[0]) study_note(c->watch, "%s: %s", request->weights, c->files.note);
    return BE_OK;
}

static void release(comparison *c)
{
    trace_free(&c->native);
    trace_free(&c->reference);
    trace_free(&c->rounding);
    material_free(&c->files);
    be_graph_free(c->model.graph);
    table_free(&c->samples);
    memory_free(c->order);
    dataset_close(c->set);
}

static trace_options trace_wanted(const comparison *c)
{
    return (trace_options){.model = &c->model,
                           .data = &c->samples,
                           .order = c->order,
                           .weights = c->material.from ? c->files.weights : NULL,
                           .steps = c->steps,
                           .infer = c->material.workload->link != WORKLOAD_WITHIN,
                           .interrupted = c->watch->stop};
}

/* ---------------------------------------------------------------- parity */

static void add_result(comparison *c, const char *left, const char *right,
                       const parity_result *result)
{
    for (int k = 0; k < result->count; k++) {
        const parity_row *row = &result->rows[k];
        /* Forward alone there are no gradients. */
        if (c->material.workload->link && row->tensors == 0) continue;
        c->broken |= !row->good;
        json_t *record =
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:o, s:f, s:s, s:b}", "schema", 1, "workload",
                      c->material.workload->name, "engine", left, "against", right, "quantity",
                      row->kind, "tensors", row->tensors, "error", json_of_real(row->error),
                      "limit", row->limit, "where", row->where, "good", row->good);
        json_object_set_new(record, "precision", json_string(c->request->precision));
        json_object_set_new(record, "rounding", json_of_real(row->rounding));
        json_object_set_new(record, "unproven", json_integer(row->unproven));
        json_object_set_new(record, "unproven_where", json_of_known(row->unproven_where));
        json_object_set_new(record, "batch", json_integer(c->batch));
        json_object_set_new(record, "steps", json_integer(c->steps));
        json_object_set_new(record, "data", json_of_text(c->set->source));
        json_object_set_new(record, "seed", json_integer((json_int_t)c->material.seed));
        json_array_append_new(c->records, record);
    }
}

static be_status measure_rounding(comparison *c, be_error *err)
{
    trace_options options = trace_wanted(c);
    TRY(precision_find(c->request->precision, &options.precision, err));
    return rounding_measure(&c->rounding, &options, &c->reference, err);
}

static be_status judge(comparison *c, const trace *a, const trace *b, parity_result *out,
                       be_error *err)
{
    const trace *rounding = c->rounding.count ? &c->rounding : NULL;
    return gate_judge(c->request->precision, a, b, rounding, out, err);
}

/* In fp32 the rounding is measured where it may count, as in the gate. */
static be_status compare(comparison *c, const trace *a, const trace *b, const char *left,
                         const char *right, be_error *err)
{
    parity_result result;
    TRY(judge(c, a, b, &result, err));
    if (!result.good && !c->rounding.count && !c->no_reference) {
        TRY(measure_rounding(c, err));
        TRY(judge(c, a, b, &result, err));
    }
    add_result(c, left, right, &result);
    return BE_OK;
}

static be_status ask_runner(comparison *c, const engine *e, trace *out, be_error *err)
{
    char path[FILE_PATH_BYTES];
    runner r;
    runner_options start = {.name = e->name,
                            .argv = e->argv,
                            .env = e->env,
                            .device = "cpu",
                            .start_limit_s = START_LIMIT_S,
                            .interrupted = c->watch->stop};
    protocol_job job = material_job(&c->files, &c->material);
    job.device = "cpu";
    job.precision = c->request->precision;
    job.dropout = "counter";
    int threads = be_device_threads(c->device);
    job.threads = threads ? threads : c->request->usual_threads;
    job.batch = c->batch;
    TRY(file_format_path(path, err, "%s/%s.safetensors", c->files.folder.path, e->name));
    TRY(runner_start(&r, &start, err));
    be_status status = runner_prepare(&r, &job, RUN_LIMIT_S, err);
    if (status == BE_OK) status = parity_ask(&r, c->steps, path, RUN_LIMIT_S, out, err);
    runner_clear(&r);
    unlink(path);
    return status;
}

static be_status compare_engine(comparison *c, const char *name, be_error *err)
{
    engine e;
    trace other = {0};
    engine_options options = {.pythons = &c->pythons, .interrupted = c->watch->stop};
    TRY(engine_find(&e, name, &options, err));
    study_progress(c->watch, "%s ...", engine_title(name));
    be_status status = ask_runner(c, &e, &other, err);
    /* Two that round may lie on two sides of the truth: each is held against that alone. */
    if (status == BE_OK && strcmp(c->request->precision, "fp32") == 0)
        status = compare(c, &c->native, &other, "native", name, err);
    if (status == BE_OK && !c->no_reference)
        status = compare(c, &other, &c->reference, name, "reference", err);
    trace_free(&other);
    return status;
}

/* Does the engine take part, and must it?  What was not named takes part if it is there. */
static bool is_wanted(const study_names *engines, const char *name, bool *must)
{
    *must = study_names_have(engines, name);
    return study_wants_engine(engines, name);
}

static be_status compare_engines(comparison *c, be_error *err)
{
    for (int i = 0; i < ENGINE_COUNT; i++) {
        bool must = false;
        be_error reason = {0};
        if (strcmp(engine_names[i], "native") == 0 ||
            !is_wanted(&c->request->engines, engine_names[i], &must))
            continue;
        be_status status = compare_engine(c, engine_names[i], &reason);
        if (status == BE_UNAVAILABLE && !must) {
            study_note(c->watch, "%s", reason.text);
        } else if (status != BE_OK) {
            *err = reason;
            return status;
        }
    }
    return BE_OK;
}

static be_status compare_all(comparison *c, be_error *err)
{
    TRY(prepare(c, true, err));
    trace_options options = trace_wanted(c);
    TRY(precision_find(c->request->precision, &options.precision, err));
    TRY(workload_check_precision(c->material.workload, options.precision, err));
    study_progress(c->watch, "native ...");
    TRY(trace_of_plan(&c->native, c->device, &options, err));
    if (c->no_reference) return compare_engines(c, err);
    study_progress(c->watch, "the reference in double precision ...");
    be_precision precision = options.precision;
    options.precision = BE_PRECISION_FP32;
    TRY(trace_of_reference(&c->reference, &options, err));
    if (precision != BE_PRECISION_FP32) TRY(measure_rounding(c, err));
    TRY(compare(c, &c->native, &c->reference, "native", "reference", err));
    return compare_engines(c, err);
}

be_status study_parity(const study_request *request, const study_native *native,
                       const study_watch *watch, study_compared *out, be_error *err)
{
    const study_numbers *batches = &request->batches;
    *out = (study_compared){.records = json_array()};
    comparison c = {.request = request,
                    .watch = watch,
                    .device = native->device,
                    .batch = batches->count ? batches->number[0] : PARITY_BATCH,
                    .steps = native->steps ? native->steps : PARITY_STEPS,
                    .steps_given = native->steps != 0,
                    .schedule = native->schedule,
                    .records = out->records};
    be_status status = compare_all(&c, err);
    out->broken = c.broken;
    release(&c);
    return status;
}

/* ---------------------------------------------------------------- dump */

enum { DUMP_STRINGS = WORKLOAD_DIMENSIONS + 5, DUMP_TEXT = 24 };

typedef struct dump_metadata {
    safetensors_string strings[DUMP_STRINGS];
    char text[DUMP_STRINGS][DUMP_TEXT];
    int count;
} dump_metadata;

static void add_number(dump_metadata *m, const char *key, uint64_t value)
{
    snprintf(m->text[m->count], DUMP_TEXT, "%" PRIu64, value);
    m->strings[m->count] = (safetensors_string){key, m->text[m->count]};
    m->count++;
}

/* What somebody needs who rebuilds the model with other tools: every dimension that it has, with
 * the classes that it tells. */
static void fill_metadata(const comparison *c, dump_metadata *m)
{
    const workload *w = c->material.workload;
    workload_variant dimensions = workload_complete(w);
    *m = (dump_metadata){.strings = {{"format", "pt"}, {"workload", w->name}}, .count = 2};
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&dimensions, (workload_dimension)d);
        if (value) add_number(m, workload_dimension_names[d], (uint64_t)value);
    }
    data_table form = workload_form(w, 1);
    for (int f = 0; f < form.fields; f++)
        if (strcmp(form.field[f].form.name, "labels") == 0)
            add_number(m, "classes", (uint64_t)form.field[f].below);
    add_number(m, "batch", (uint64_t)c->batch);
    add_number(m, "seed", c->material.seed);
}

static be_status write_step(comparison *c, const char *path, be_error *err)
{
    TRY(prepare(c, false, err));
    trace_options options = trace_wanted(c);
    TRY(precision_find(c->request->precision, &options.precision, err));
    TRY(trace_of_plan(&c->native, c->device, &options, err));
    dump_metadata metadata;
    fill_metadata(c, &metadata);
    return trace_save_with(&c->native, path, false, metadata.strings, metadata.count, err);
}

be_status study_dump(const study_request *request, const study_native *native,
                     const study_watch *watch, const char *path, be_error *err)
{
    comparison c = {.request = request,
                    .watch = watch,
                    .device = native->device,
                    .batch = study_batch(request, request->workloads[0]),
                    .steps = 1};
    be_status status = write_step(&c, path, err);
    release(&c);
    return status;
}
