/* Measuring for the studies: a request and data in, records out. */
#include "study/measurement.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/room.h"
#include "graph/graph.h"
#include "graph/precision.h"
#include "machine/environment.h"
#include "measure/predict.h"
#include "report/bench.h"
#include "run/gate_own.h"
#include "run/machine.h"
#include "run/record.h"

/* A run of the conductor for progress: who it measures. */
typedef struct measurement_watch {
    const measurement *m;
    const measurement_point *point;
} measurement_watch;

static const bench_contender *contender_of(const measurement *m, const measurement_point *point,
                                           int i)
{
    return &m->plan.contenders[point->contenders ? point->contenders[i] : i];
}

static int contender_count(const measurement *m, const measurement_point *point)
{
    return point->contenders ? point->count : m->plan.contender_count;
}

/* ---------------------------------------------------------------- open and close */

static void set_times(stop_rule *stop, const study_request *request, double least_s, double most_s)
{
    double shortest = request->least_s, longest = request->most_s;
    stop->max_time_s =
        isnan(longest) ? fmax(most_s, shortest) : longest; /* fmax leaves out a NAN */
    stop->min_time_s = fmin(isnan(shortest) ? least_s : shortest, stop->max_time_s);
}

void measurement_times(measurement *m, double least_s, double most_s)
{
    set_times(&m->conducting.stop, m->request, least_s, most_s);
}

static conductor_options conducting(const study_request *request, const study_watch *watch)
{
    conductor_options options = conductor_options_default();
    options.seed = request->seed;
    options.interrupted = watch->stop;
    set_times(&options.stop, request, options.stop.min_time_s, options.stop.max_time_s);
    /* Who wants it short means all of it. */
    options.warm_up_s = fmin(options.warm_up_s, options.stop.max_time_s / 2);
    options.phases_s = fmin(options.phases_s, options.stop.max_time_s / 2);
    return options;
}

/* Without one among the contenders NVIDIA's driver is left alone. */
static bool has_gpu(const bench_plan *plan)
{
    for (int i = 0; i < plan->contender_count; i++)
        if (strcmp(plan->contenders[i].device, "cpu") != 0 &&
            strcmp(plan->contenders[i].device, "null:0") != 0)
            return true;
    return false;
}

be_status measurement_open(measurement *m, const study_request *request, const study_watch *watch,
                           be_error *err)
{
    environment machine;
    *m = (measurement){.hands = {measurement_begin, measurement_run},
                       .request = request,
                       .watch = watch,
                       .conducting = conducting(request, watch),
                       .variant = request->variant};
    m->began_ns = clock_now_ns();
    TRY(bench_plan_make(&m->plan, request, watch, err));
    environment_read(NULL, has_gpu(&m->plan), &machine);
    return environment_to_json(&machine, &m->environment, err);
}

static void end_workload(measurement *m)
{
    m->pass_count = 0;
    yardstick_close(&m->yardstick);
    gate_free(&m->gate);
    material_free(&m->material);
    dataset_close(m->set);
    m->set = NULL;
}

void measurement_close(measurement *m)
{
    pool_clear(&m->pool);
    end_workload(m);
    json_decref(m->environment);
    bench_plan_release(&m->plan);
}

static be_status check_batches(const measurement *m, be_error *err)
{
    for (int b = 0; b < m->plan.batches.count; b++)
        if (m->plan.batches.number[b] > m->set->count)
            FAIL(err, BE_USAGE,
                 "%s: expected batches of at most the %" PRId64 " %ss of %s, found %" PRId64
                 "; use a smaller --batch",
                 m->workload->name, m->set->count, m->set->table.sample, m->set->name,
                 m->plan.batches.number[b]);
    return BE_OK;
}

/* Samples without an end: batch() makes them. */
static be_status open_own_data(measurement *m, const workload *w, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(be_dataset), "a data set", err));
    m->set = memory;
    *m->set = (be_dataset){0};
    TRY(dataset_start(m->set, "batch()", SPLIT_TRAIN, err));
    TRY(arena_printf(m->set->arena, &m->set->source, err, "batch() of %s", w->name));
    m->set->count = INT32_MAX;
    m->set->table = (data_table){.sample = "sample", .unit = "sample", .count = m->set->count};
    return BE_OK;
}

/* The model's library as it computes by itself, which the reference is computed by. */
static be_status own_engine(measurement *m, const char *library, const engine **out, be_error *err)
{
    engine_options asking = {.pythons = &m->plan.pythons, .interrupted = m->watch->stop};
    *out = &m->reference;
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (m->plan.hello[e] && strcmp(engine_names[e], library) == 0) *out = &m->plan.engines[e];
    if (*out != &m->reference || m->reference.name) return BE_OK;
    return engine_find(&m->reference, library, &asking, err);
}

/* The native engine joins where nobody chose the engines, and the model is one of the ladder's. */
static be_status find_yardstick(measurement *m, const gate_own_found *shape, be_error *err)
{
    yardstick *y = &m->yardstick;
    const study_names *engines = &m->request->engines;
    const study_names *precisions = &m->request->precisions;
    bool fp32 = precisions->count ? study_names_have(precisions, "fp32")
                                  : strcmp(m->plan.precision, "fp32") == 0;
    if (!m->takes_yardstick || !fp32) return BE_OK;
    if (engines->count && !study_names_have(engines, "all")) return BE_OK;
    TRY(yardstick_find(shape->weights, shape->input, &y->varied, &y->workload, err));
    if (!y->workload) return BE_OK;
    TRY(yardstick_open(y, m->request, m->watch, err));
    return yardstick_join(y, &m->plan, m->request, m->watch, err);
}

static void tell_of_own(const measurement *m, const gate_own_found *shape)
{
    if (shape->draws == GATE_DRAWS_MODEL)
        study_note(m->watch,
                   "%s: the same weights and batch give another loss each time, without dropout "
                   "too, so what the contenders compute cannot be compared; draw the numbers in "
                   "batch(n), which is seeded, or in the model from torch.Generator().manual_seed",
                   m->workload->name);
    if (shape->in_single)
        study_note(m->watch,
                   "%s does not compute in double precision (%s), so the contenders are held "
                   "against the CPU in single precision",
                   m->workload->name, shape->reason.text);
}

static be_status begin_own(measurement *m, const workload *w, be_error *err)
{
    gate_own_found shape;
    int64_t batch = study_batch(m->request, w);
    for (int i = 0; i < m->plan.batches.count; i++)
        if (m->plan.batches.number[i] < batch) batch = m->plan.batches.number[i];
    TRY(open_own_data(m, w, err));
    m->material_options =
        (material_options){.workload = w, .set = &m->set->table, .seed = m->request->seed};
    TRY(material_new(&m->material, &m->material_options, err));
    const engine *reference = NULL;
    TRY(own_engine(m, w->library, &reference, err));
    gate_own_options options = {.engine = reference,
                                .material = &m->material,
                                .material_options = &m->material_options,
                                .batch = batch,
                                .threads = m->request->usual_threads,
                                .infer = m->plan.infer,
                                .limit_s = m->conducting.prepare_limit_s,
                                .interrupted = m->watch->stop};
    study_progress(m->watch, "%s: the first steps in double precision ...", w->name);
    be_status status = gate_new_own(&m->gate, &options, &shape, err);
    if (status != BE_OK) return status;
    m->dropout = shape.draws != GATE_DRAWS_NOTHING;
    m->is_random = shape.draws == GATE_DRAWS_MODEL;
    tell_of_own(m, &shape);
    status = find_yardstick(m, &shape, err);
    json_decref(shape.weights);
    json_decref(shape.input);
    return status;
}

/* Those that the contenders have: the ones given, or the one. */
static be_status list_precisions(const study_request *request, unsigned *out, be_error *err)
{
    be_precision precision;
    *out = 0;
    for (int p = 0; p < request->precisions.count; p++) {
        TRY(precision_find(request->precisions.name[p], &precision, err));
        *out |= 1U << precision;
    }
    if (*out) return BE_OK;
    TRY(precision_find(request->precision, &precision, err));
    *out = 1U << precision;
    return BE_OK;
}

/* What was done to read the file, and that the gate, whose network is smaller, cannot use it. */
static void tell_of_weights(const measurement *m)
{
    bool reduced;
    const char *file = m->request->weights;
    if (!file) return;
    if (m->material.note[0]) study_note(m->watch, "%s: %s", file, m->material.note);
    workload_gate_variant(m->workload, &reduced);
    if (reduced)
        study_note(m->watch,
                   "%s is measured with the weights of %s; that the engines compute the same is "
                   "proved at a smaller size, with weights that are drawn",
                   m->workload->name, file);
}

be_status measurement_begin(measurement *m, const workload *w, be_error *err)
{
    end_workload(m);
    TRY(workload_vary(w, &m->variant, &m->varied, &m->workload, err));
    if (w->file) return begin_own(m, m->workload, err);
    m->plan.infer = m->request->infer || m->workload->link;
    TRY(study_open_data(m->watch, &m->request->data, m->workload, SPLIT_TRAIN, &m->set, err));
    m->material_options = (material_options){.workload = m->workload,
                                             .set = &m->set->table,
                                             .seed = m->request->seed,
                                             .from = m->request->weights};
    TRY(check_batches(m, err));
    if (m->request->plan_only) return BE_OK;
    study_progress(m->watch, "%s: writing the data for the runners ...", w->name);
    TRY(material_new(&m->material, &m->material_options, err));
    tell_of_weights(m);
    gate_options gate = {.material = &m->material_options,
                         .folder = m->material.folder.path,
                         .weights = m->request->weights ? m->material.weights : NULL,
                         .infer = m->plan.infer,
                         .interrupted = m->watch->stop};
    TRY(list_precisions(m->request, &gate.precisions, err));
    study_progress(m->watch, "%s: the reference in double precision ...", w->name);
    return gate_new(&m->gate, &gate, err);
}

/* ---------------------------------------------------------------- one point */

static void take_facts(void *context, const be_plan *plan)
{
    *(be_plan_facts *)context = be_plan_describe(plan);
}

/* A step of what runners are given, on the CPU. */
static be_status plan_step(measurement *m, const material_options *of, int64_t batch,
                           measurement_look look, void *context, be_error *err)
{
    workload_model model = {0};
    be_device *device = NULL;
    be_plan *plan = NULL;
    int turns = look == take_facts || !m->plan.accumulate ? 1 : m->plan.accumulate;
    workload_options options = {.seed = of->seed, .batch = (int)batch / turns, .data = of->set};
    TRY(workload_model_new(of->workload, &options, &model, err));
    if (of == &m->material_options) m->dropout = model.graph->salt > 0;
    be_mode mode = m->plan.infer ? BE_INFER : BE_TRAIN;
    be_plan_options planning = {.mode = mode, .accumulate = turns, .dry_run = 1};
    be_device_options native = m->plan.native_options;
    if (!backend_has_library("cpu", native.library)) native.library = NULL;
    be_status status = be_device_open("cpu", &native, &device, err);
    /* What is counted is the model's, of whole batches, whatever this processor can do. */
    if (status == BE_OK && look != take_facts)
        status = precision_find(m->plan.precision, &planning.precision, err);
    if (status == BE_OK) status = be_plan_new(model.graph, device, &planning, &plan, err);
    if (status == BE_OK) look(context, plan);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(model.graph);
    return status;
}

be_status measurement_plan(measurement *m, int64_t batch, measurement_look look, void *context,
                           be_error *err)
{
    return plan_step(m, &m->material_options, batch, look, context, err);
}

void measurement_contenders(measurement *m, const measurement_point *point,
                            conductor_contender *out)
{
    for (int i = 0; i < contender_count(m, point); i++) {
        const bench_contender *who = contender_of(m, point, i);
        yardstick *yard = who->is_yardstick ? &m->yardstick : NULL;
        out[i] =
            (conductor_contender){.engine = who->engine->name,
                                  .argv = who->engine->argv,
                                  .env = who->engine->env,
                                  .gate = yard           ? &yard->gate
                                          : m->is_random ? NULL
                                                         : &m->gate,
                                  .job = yard ? material_job(&yard->material, &yard->options)
                                              : material_job(&m->material, &m->material_options),
                                  .beside = yard ? &out[0].job : NULL};
        out[i].computes_nothing = !backend_computes(who->device);
        out[i].bus = bench_plan_bus(&m->plan, who->device);
        out[i].job.device = who->device;
        out[i].job.threads = who->threads;
        out[i].job.batch = point->batch;
        out[i].job.precision = who->precision ? who->precision : m->plan.precision;
        out[i].job.data_on = m->plan.data_on;
        out[i].job.accumulate = m->plan.accumulate;
        out[i].job.mode = m->plan.infer ? "infer" : "train";
    }
}

static void show_progress(void *context, const conductor_progress *p)
{
    const measurement_watch *watch = context;
    const measurement *m = watch->m;
    const bench_contender *who = contender_of(m, watch->point, p->contender);
    char step[REPORT_TEXT_BYTES], elapsed[REPORT_TEXT_BYTES];
    if (p->phase == CONDUCTOR_FAILED) {
        study_note(m->watch, "%s on %s failed: %s", who->engine->name, who->device,
                   p->error ? p->error->text : "");
        return;
    }
    if (m->watch->quiet && p->phase == CONDUCTOR_MEASURE) return;
    study_progress(m->watch, "%s, %s on %s, %d threads (%d of %d): %s, %d blocks, step %s, %s",
                   m->workload->name, who->engine->name, who->device, who->threads,
                   p->contender + 1, p->contenders, conductor_phase_text(p->phase), p->blocks,
                   report_seconds(p->step_s, step), report_seconds(p->elapsed_s, elapsed));
}

/* What the conductor and its record do not know. */
static void complete_record(const measurement *m, const be_dataset *set,
                            const conductor_result *result, json_t *record)
{
    const char *phase;
    json_t *value, *phases = result->phases ? json_object() : json_null();
    if (m->request->weights)
        json_object_set_new(record, "weights", json_of_text(m->request->weights));
    json_object_set_new(record, "data_source", json_of_text(set->source));
    json_object_set_new(record, "data_count",
                        m->workload->file || m->workload->operate ? json_null()
                                                                  : json_integer(set->count));
    json_object_set_new(record, "data_note", json_of_text(set->note));
    json_object_set_new(record, "epochs", json_integer(m->workload->epochs));
    json_object_foreach(report_member(result->phases, traced, phases), phase, value)
    {
        double phase_ns = json_is_number(value) ? json_number_value(value) : (double)NAN;
        double phase_s = phase_ns * 1e-9 / (double)result->phases_steps;
        json_object_set_new(phases, phase, json_of_real(phase_s));
    }
    json_object_set_new(record, "phases_s", phases);
}

/* A yardstick's rows count what the model's do. */
static void share_titles(const conductor_contender *contenders, conductor_report *report)
{
    const conductor_result *own = &report->results[0];
    for (int i = 1; i < report->count; i++) {
        conductor_result *result = &report->results[i];
        if (!contenders[i].beside) continue;
        result->title = own->title;
        result->unit = own->unit;
        result->units_a_sample = own->units_a_sample;
    }
}

static be_status add_records(const measurement_watch *watch, const conductor_contender *contenders,
                             const conductor_report *report, json_t *records, be_error *err)
{
    const measurement *m = watch->m;
    record_facts facts = {.unix_s = clock_unix_s(),
                          .precisions = m->request->precisions_text,
                          .environment = m->environment};
    for (int i = 0; i < report->count; i++) {
        json_t *record = NULL;
        const be_dataset *set = contenders[i].beside ? m->yardstick.set : m->set;
        facts.flops_per_step = contenders[i].flops_per_step;
        facts.bytes_per_step = contenders[i].bytes_per_step;
        facts.data = set->name;
        TRY(record_build(contenders, report, i, &facts, &record, err));
        complete_record(m, set, &report->results[i], record);
        json_array_append_new(records, record);
        if (m->watch->record) m->watch->record(m->watch->context, record);
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- the time that is left */

static double passed(const measurement *m)
{
    return (double)(clock_now_ns() - m->began_ns) * 1e-9;
}

double measurement_grant_s(const measurement *m, budget_stage stage, int parts)
{
    return budget_grant_s(&m->conducting.budget, stage, parts, passed(m));
}

double measurement_left_s(const measurement *m)
{
    return budget_left_s(&m->conducting.budget, passed(m));
}

/* ---------------------------------------------------------------- limits */

/* The limits of a contender's device; all unknown where the native engine cannot measure them. */
static be_status find_limits(measurement *m, const protocol_job *job, bool refresh, double until_s,
                             limits **out, be_error *err)
{
    be_error reason = {0};
    measurement_limits *place = m->limits;
    while (place < m->limits + m->limit_count &&
           (strcmp(place->device, job->device) != 0 || place->threads != job->threads))
        place++;
    *out = &place->peaks;
    bool is_new = place == m->limits + m->limit_count;
    if (!is_new && !refresh) return BE_OK;
    m->limit_count += is_new;
    double before = is_new ? (double)NAN : place->peaks.flops_fp32, left_s = until_s - passed(m);
    *place = (measurement_limits){job->device, job->threads, limits_unknown()};
    engine_options asking = {.interrupted = m->watch->stop};
    /* Two answers are waited for. */
    machine_options options = {.refresh = refresh,
                               .limit_s = isinf(left_s) ? 0 : left_s / 2,
                               .interrupted = m->watch->stop};
    if (left_s <= 0) return BE_OK;
    study_progress(m->watch, "%s: what it can do at most ...", job->device);
    if (!m->native.name) TRY(engine_find(&m->native, "native", &asking, err));
    be_status status =
        machine_limits(&m->native, job->device, job->threads, &options, &place->peaks, &reason);
    /* Other programs can only lower a limit. */
    place->peaks.flops_fp32 = fmax(before, place->peaks.flops_fp32);
    if (status != BE_INTERRUPTED && status != BE_NO_MEMORY) return BE_OK;
    *err = reason;
    return status;
}

/* What stays in a cache moves faster than memory does; what passes between host and device, as fast
 * as one copy of its size. */
static double limit_of_bytes(const measurement *m, const limits *peaks, double bytes)
{
    workload_link link = m->workload->link;
    if (!link) return fmax(peaks->memory_bytes_per_s, peaks->cache_bytes_per_s);
    return bytes / predict_transfer(peaks, bytes, link == WORKLOAD_DOWN);
}

static be_status set_limits(measurement *m, conductor_contender *contenders, int count,
                            bool refresh, be_error *err)
{
    double until_s = passed(m) + measurement_grant_s(m, BUDGET_LIMITS, 1);
    for (int i = 0; i < count; i++) {
        limits *peaks = NULL;
        if (contenders[i].computes_nothing) continue;
        TRY(find_limits(m, &contenders[i].job, refresh, until_s, &peaks, err));
        contenders[i].limit_flops_per_s = *limits_peak(peaks, contenders[i].job.precision);
        contenders[i].limit_bytes_per_s = limit_of_bytes(m, peaks, contenders[i].bytes_per_step);
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- a point */

static const gate_result *find_pass(const measurement *m, const conductor_contender *c)
{
    for (int i = 0; i < m->pass_count; i++) {
        const measurement_pass *pass = &m->passes[i];
        if (strcmp(pass->engine, c->engine) == 0 && strcmp(pass->device, c->job.device) == 0 &&
            pass->argv == c->argv && pass->threads == c->job.threads)
            return &pass->result;
    }
    return NULL;
}

static void keep_passes(measurement *m, const conductor_contender *contenders,
                        const conductor_report *report)
{
    for (int i = 0; i < report->count; i++) {
        const conductor_contender *c = &contenders[i];
        const conductor_result *result = &report->results[i];
        if (result->status != BE_OK || result->parity.steps == 0 || c->passed ||
            m->pass_count == BENCH_CONTENDERS_MAX)
            continue;
        m->passes[m->pass_count++] =
            (measurement_pass){c->engine, c->job.device, c->argv, c->job.threads, result->parity};
    }
}

/* 0: not compared, as draws of dropout differ by engine. */
static double first_loss_band(const measurement *m, const conductor_contender *contenders,
                              int count)
{
    double band = 0;
    for (int i = 0; i < count && !m->dropout && !m->plan.infer; i++)
        band = fmax(band, gate_first_loss_band(m->workload->operate, contenders[i].job.precision));
    return band;
}

static be_status conduct(measurement *m, const measurement_watch *watch,
                         conductor_contender *contenders, conductor_report **out, be_error *err)
{
    int count = contender_count(m, watch->point);
    conductor_options options = m->conducting;
    options.loss_band = first_loss_band(m, contenders, count);
    options.progress = show_progress;
    options.context = (void *)watch;
    options.budget_from_ns = m->began_ns;
    TRY(set_limits(m, contenders, count, false, err));
    be_status status = conductor_run(contenders, count, &options, out, err);
    if (status != BE_OK || !conductor_report_is_over(*out)) return status;
    study_note(m->watch,
               "a result lies above a limit that was measured before: the limits are measured "
               "again, and then the contenders");
    conductor_report_free(*out);
    *out = NULL;
    TRY(set_limits(m, contenders, count, true, err));
    return conductor_run(contenders, count, &options, out, err);
}

/* Only where all compute in the memory of the host: elsewhere each device says so itself. */
static be_status check_room(const measurement *m, const measurement_point *point,
                            const be_plan_facts *facts, be_error *err)
{
    for (int i = 0; i < contender_count(m, point); i++)
        if (strcmp(contender_of(m, point, i)->device, "cpu") != 0) return BE_OK;
    room_need need = {m->workload->name, point->batch, (double)facts->persistent_bytes,
                      (double)(facts->activation_bytes + facts->scratch_bytes), 0};
    return room_check(&need, room_here(), err);
}

be_status measurement_run(measurement *m, const measurement_point *point, json_t *records,
                          be_error *err)
{
    conductor_contender contenders[BENCH_CONTENDERS_MAX];
    conductor_report *report = NULL;
    be_plan_facts facts;
    measurement_watch watch = {m, point};
    measurement_contenders(m, point, contenders);
    facts = (be_plan_facts){.flops_per_step = NAN, .bytes_per_step = NAN};
    if (!m->workload->file) TRY(measurement_plan(m, point->batch, take_facts, &facts, err));
    TRY(check_room(m, point, &facts, err));
    if (m->workload->operate)
        TRY(material_set_batch(&m->material, &m->material_options, point->batch, err));
    be_plan_facts yard_facts = facts;
    if (m->yardstick.workload)
        TRY(plan_step(m, &m->yardstick.options, point->batch, take_facts, &yard_facts, err));
    for (int i = 0; i < contender_count(m, point); i++) {
        const be_plan_facts *of = contenders[i].beside ? &yard_facts : &facts;
        contenders[i].flops_per_step = of->flops_per_step;
        contenders[i].bytes_per_step = of->bytes_per_step;
        contenders[i].passed = find_pass(m, &contenders[i]);
    }
    be_status status = conduct(m, &watch, contenders, &report, err);
    if (report) {
        keep_passes(m, contenders, report);
        share_titles(contenders, report);
        be_status status_of_add =
            add_records(&watch, contenders, report, records, status == BE_OK ? err : NULL);
        if (status == BE_OK) status = status_of_add;
    }
    conductor_report_free(report);
    return status;
}

be_status measurement_check(const json_t *records, be_error *err)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        int status = status_find(report_string(record, bench, status));
        /* A page that ends in time has told who found no place in it. */
        if (strcmp(report_string(record, bench, stop_reason), stop_reason_text(STOP_LEFT_OUT)) == 0)
            continue;
        if (status > BE_OK)
            FAIL(err, (be_status)status, "%s on %s: %s", report_string(record, bench, asked.engine),
                 report_string(record, bench, device), report_string(record, bench, error));
    }
    return BE_OK;
}
