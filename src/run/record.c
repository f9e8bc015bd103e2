/* A measurement as a record. */
#include "run/record.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"

#define TEXT_BYTES 2048 /* of a warning or an argument in a record at most */

/* The lists of a record, made for it. */
typedef struct record_lists {
    json_t *blocks, *warnings, *warned, *program;
} record_lists;

static const char *known(const char *text)
{
    return text ? text : record_unknown;
}

static json_t *clean_text(const char *text)
{
    char clean[TEXT_BYTES];
    return json_string(text_clean(text, strlen(text), true, clean, sizeof clean));
}

/* The raw blocks, the words and kinds of the warnings, and the command of the runner. */
static record_lists lists_new(const conductor_contender *contender, const conductor_result *result)
{
    record_lists l = {json_array(), json_array(), json_array(), json_array()};
    for (int32_t i = 0; i < result->count; i++)
        json_add(&l.blocks, json_of_real(result->blocks_s[i]));
    for (size_t i = 0; i < result->warning_count; i++) {
        const conductor_warning *w = &result->warnings[i];
        json_add(&l.warnings, clean_text(w->text));
        json_add(&l.warned, json_pack("{s:s, s:o}", "kind", warning_word(w->kind), "value",
                                      json_of_real(w->value)));
    }
    for (const char *const *a = contender->argv; *a; a++) json_add(&l.program, clean_text(*a));
    return l;
}

static void lists_free(record_lists *l)
{
    json_decref(l->blocks);
    json_decref(l->warnings);
    json_decref(l->warned);
    json_decref(l->program);
}

/* A failed contender's blocks stay in the record, but make no speed. */
static bool has_speed(const conductor_result *result)
{
    return result->status == BE_OK && result->step.count > 0;
}

/* Where the samples lie, by the job's word. */
static const char *data_on(const protocol_job *job)
{
    return job->data_on ? job->data_on : "device";
}

/* Who, on what, with what. */
static void fill_subject(record_measured *r, const conductor_contender *contender,
                         const conductor_result *result)
{
    const protocol_job *job = &contender->job, *yard = contender->beside;
    r->schema = RECORD_SCHEMA;
    r->kind = "bench";
    r->workload = known(yard ? yard->workload : job->workload);
    r->yardstick = known(yard ? job->workload : NULL);
    r->engine = known(result->engine ? result->engine : contender->engine);
    r->engine_version = known(result->engine_version);
    r->device = known(job->device);
    r->device_name = known(result->device_name);
    r->implementation = known(result->implementation);
    r->threads = result->threads;
    r->processors = known(result->processors);
    r->batch = job->batch;
    r->precision = known(result->precision);
    r->data_on = data_on(job);
    r->accumulate = job->accumulate > 1 ? job->accumulate : 1;
    r->mode = known(job->mode);
    r->seed = (int64_t)job->seed;
    r->params = result->parameters;
    r->launches = result->launches > 0 ? result->launches : -1;
    r->launch_order = known(json_string_value(json_object_get(result->phases, "launch_order")));
    r->computes_nothing = contender->computes_nothing;
    record_take_variant(r, yard ? &yard->variant : &job->variant);
}

static void fill_asked(record_asked *r, const conductor_contender *contender)
{
    const protocol_job *job = &contender->job;
    const protocol_optimizer *o = &job->optimizer;
    *r = (record_asked){.engine = known(contender->engine),
                        .device = known(job->device),
                        .threads = job->threads,
                        .batch = job->batch,
                        .precision = known(job->precision),
                        .data_on = data_on(job),
                        .mode = known(job->mode),
                        .optimizer = {known(o->name), o->lr, o->momentum, o->weight_decay, o->beta1,
                                      o->beta2, o->epsilon}};
}

static void fill_step(record_measured *r, const conductor_result *result)
{
    const stats_summary *s = &result->step;
    r->step_s.count = 0;
    if (!has_speed(result)) return;
    r->step_s = (record_step){.median = s->median.point,
                              .low = s->median.low,
                              .high = s->median.high,
                              .minimum = s->minimum,
                              .p05 = s->p05,
                              .p25 = s->p25,
                              .p75 = s->p75,
                              .p95 = s->p95,
                              .maximum = s->maximum,
                              .spread = s->spread,
                              .count = s->count};
    r->samples_per_s = result->samples_per_s;
    if (!isnan(result->samples_per_s)) r->flops_per_s = r->flops_per_step / s->median.point;
}

/* What came out. */
static void fill_outcome(record_measured *r, const conductor_result *result)
{
    bool failed = result->status != BE_OK;
    r->status = result->status;
    if (failed) r->error = result->error.text;
    if (failed) r->log = known(result->log);
    fill_step(r, result);
    r->start_s = result->start_s;
    r->prepare_s = result->prepare_s;
    r->first_step_s = result->first_step_s;
    r->block_steps = result->block_steps;
    r->stop_reason = stop_reason_text(result->stop);
    r->first_loss = result->first_loss;
    r->last_loss = result->last_loss;
    r->busy_threads = result->busy_threads;
    r->energy_per_step_j = result->energy_per_step_j;
    r->energy_sensor = known(result->energy_sensor);
    r->peak_rss_bytes = result->peak_rss_bytes;
    r->device_memory_bytes = result->device_bytes;
    r->libraries = result->libraries;
}

/* How far it is to be believed: the heat, the gate, and where it worked. */
static void fill_evidence(record_measured *r, const conductor_result *result)
{
    const heat_summary *heat = &result->heat;
    const gate_result *parity = &result->parity;
    if (result->has_reference) {
        r->reference_s = (record_reference){true, heat->best_s, heat->median_s, heat->worst_s};
        r->throttled_blocks = result->slow_blocks;
        r->waited_s = result->waited_s;
        r->burst_step_s = heat->burst_step_s;
        r->sustained_step_s = heat->sustained_step_s;
    }
    if (parity->steps)
        r->parity = (record_parity){.is_known = true,
                                    .error = parity->error,
                                    .tensor = known(parity->where),
                                    .band = parity->band,
                                    .steps = parity->steps,
                                    .batch = parity->batch,
                                    .unproven = parity->unproven,
                                    .unproven_tensor =
                                        parity->unproven ? parity->unproven_where : record_unknown};
    const json_t *work = json_object_get(result->phases, "work");
    r->proof = (record_proof){.work = json_is_object(work) ? work : NULL,
                              .work_steps = result->phases ? result->phases_steps : -1,
                              .busy_threads = result->busy_threads,
                              .of_peak = result->proof.of_peak,
                              .of_bandwidth = result->proof.of_bandwidth};
}

static void fill_versus(record_versus *r, const conductor_contender *contenders,
                        const conductor_report *report, int i)
{
    const conductor_result *result = &report->results[i];
    int to = result->versus;
    if (to < 0) return;
    *r = (record_versus){.is_known = true,
                         .engine = known(contenders[to].engine),
                         .device = known(contenders[to].job.device),
                         .threads = report->results[to].threads,
                         .batch = contenders[to].job.batch,
                         .ratio = result->ratio.point,
                         .low = result->ratio.low,
                         .high = result->ratio.high,
                         .verdict = stats_verdict_name(result->verdict),
                         .reason = known(result->unsure)};
}

be_status record_build(const conductor_contender *contenders, const conductor_report *report, int i,
                       const record_facts *facts, json_t **out, be_error *err)
{
    const conductor_result *result = &report->results[i];
    record_lists lists = lists_new(&contenders[i], result);
    bool whole = lists.blocks && lists.warnings && lists.warned && lists.program;
    record_measured r;
    record_clear(&r);
    r.time = facts->unix_s;
    r.flops_per_step =
        isnan(facts->flops_per_step) ? result->flops_per_step : facts->flops_per_step;
    r.bytes_per_step = facts->bytes_per_step;
    r.data = known(facts->data);
    r.other_load = report->other_load;
    r.steal = report->steal;
    r.environment.json = facts->environment;
    fill_subject(&r, &contenders[i], result);
    fill_outcome(&r, result);
    record_take_rate(&r, &contenders[i].job.variant);
    if (report->results[i].unit) {
        r.unit = report->results[i].unit;
        r.units_per_s = r.samples_per_s * report->results[i].units_a_sample;
    }
    fill_evidence(&r, result);
    fill_asked(&r.asked, &contenders[i]);
    r.asked.precisions = known(facts->precisions);
    r.title = known(report->results[i].title);
    fill_versus(&r.versus, contenders, report, i);
    r.blocks = lists.blocks;
    r.warnings = lists.warnings;
    r.warned = lists.warned;
    r.asked.program = lists.program;
    *out = NULL;
    be_status status = whole ? record_encode(&r, out, err) : json_check(NULL, "a record", err);
    lists_free(&lists);
    return status;
}
