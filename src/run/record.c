/* A measurement as JSON. */
#include "run/record.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/text.h"

static json_t *record_text(const char *text)
{
    char clean[2048];
    if (!text) return json_null();
    return json_string(text_clean(text, strlen(text), true, clean, sizeof clean));
}

static json_t *record_time(int64_t unix_s)
{
    char text[32];
    time_t seconds = (time_t)unix_s;
    struct tm utc;
    if (!gmtime_r(&seconds, &utc)) return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

/* A failed contender's blocks stay in the record, but make no speed. */
static bool record_has_speed(const conductor_result *result)
{
    return result->status == BE_OK && result->step.count > 0;
}

static json_t *record_step(const conductor_result *result)
{
    stats_summary none = {.median = {NAN, NAN, NAN},
                          .minimum = NAN,
                          .p05 = NAN,
                          .p25 = NAN,
                          .p75 = NAN,
                          .p95 = NAN,
                          .maximum = NAN,
                          .spread = NAN};
    const stats_summary *s = record_has_speed(result) ? &result->step : &none;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "median",
                     json_of_real(s->median.point), "low", json_of_real(s->median.low), "high",
                     json_of_real(s->median.high), "minimum", json_of_real(s->minimum), "p05",
                     json_of_real(s->p05), "p25", json_of_real(s->p25), "p75", json_of_real(s->p75),
                     "p95", json_of_real(s->p95), "maximum", json_of_real(s->maximum), "spread",
                     json_of_real(s->spread), "count", (int)s->count);
}

static json_t *record_blocks(const conductor_result *result)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < result->count; i++)
        json_array_append_new(list, json_of_real(result->blocks_s[i]));
    return list;
}

static json_t *record_warnings(const conductor_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->warning_count; i++)
        json_array_append_new(list, record_text(result->warnings[i].text));
    return list;
}

/* The kind of each warning, and its size. */
static json_t *record_warned(const conductor_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->warning_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "kind",
                                              warning_word(result->warnings[i].kind), "value",
                                              json_of_real(result->warnings[i].value)));
    return list;
}

/* Where the pictures lie, by the job's word. */
static json_t *record_data_on(const protocol_job *job)
{
    return record_text(job->data_on ? job->data_on : "device");
}

static json_t *record_asked(const conductor_contender *contender)
{
    const protocol_job *job = &contender->job;
    const protocol_optimizer *o = &job->optimizer;
    json_t *program = json_array();
    for (const char *const *a = contender->argv; *a; a++)
        json_array_append_new(program, record_text(*a));
    json_t *optimizer =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", record_text(o->name), "lr",
                  json_of_real(o->lr), "momentum", json_of_real(o->momentum), "weight_decay",
                  json_of_real(o->weight_decay), "beta1", json_of_real(o->beta1), "beta2",
                  json_of_real(o->beta2), "epsilon", json_of_real(o->epsilon));
    return json_pack("{s:o, s:o, s:i, s:I, s:o, s:o, s:o, s:o, s:o}", "engine",
                     record_text(contender->engine), "device", record_text(job->device), "threads",
                     job->threads, "batch", (json_int_t)job->batch, "precision",
                     record_text(job->precision), "data_on", record_data_on(job), "mode",
                     record_text(job->mode), "optimizer", optimizer, "program", program);
}

/* Against whom, by how much, and what that says. */
static json_t *record_comparison(const conductor_contender *contenders,
                                 const conductor_report *report, int i)
{
    const conductor_result *result = &report->results[i];
    int to = result->versus;
    if (to < 0) return json_null();
    return json_pack("{s:o, s:o, s:i, s:I, s:o, s:o, s:o, s:s, s:o}", "engine",
                     record_text(contenders[to].engine), "device",
                     record_text(contenders[to].job.device), "threads", report->results[to].threads,
                     "batch", (json_int_t)contenders[to].job.batch, "ratio",
                     json_of_real(result->ratio.point), "low", json_of_real(result->ratio.low),
                     "high", json_of_real(result->ratio.high), "verdict",
                     stats_verdict_name(result->verdict), "reason", record_text(result->unsure));
}

/* How far from the reference its computing was; null: it was not compared. */
static json_t *record_parity(const gate_result *parity)
{
    if (parity->steps == 0) return json_null();
    return json_pack("{s:o, s:o, s:o, s:I, s:I}", "error", json_of_real(parity->error), "tensor",
                     record_text(parity->where), "band", json_of_real(parity->band), "steps",
                     (json_int_t)parity->steps, "batch", (json_int_t)parity->batch);
}

/* Where it worked, by its own word and by what the system and the limits say. */
static json_t *record_proof(const conductor_result *result)
{
    json_t *work = json_object_get(result->phases, "work");
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o}", "work", json_is_object(work) ? json_incref(work) : json_null(),
        "work_steps", json_of_count(result->phases ? result->phases_steps : -1), "busy_threads",
        json_of_real(result->busy_threads), "of_peak", json_of_real(result->proof.of_peak),
        "of_bandwidth", json_of_real(result->proof.of_bandwidth));
}

/* What the readings of the reference kernel say; null where the runner has none. */
static json_t *record_heat(const conductor_result *result)
{
    const heat_summary *heat = &result->heat;
    bool known = result->has_reference;
    double burst_s = known ? heat->burst_step_s : (double)NAN;
    double sustained_s = known ? heat->sustained_step_s : (double)NAN;
    json_t *reference =
        known ? json_pack("{s:o, s:o, s:o}", "best", json_of_real(heat->best_s), "median",
                          json_of_real(heat->median_s), "worst", json_of_real(heat->worst_s))
              : json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "reference_s", reference, "throttled_blocks",
                     json_of_count(known ? result->slow_blocks : -1), "waited_s",
                     json_of_real(known ? result->waited_s : (double)NAN), "burst_step_s",
                     json_of_real(burst_s), "sustained_step_s", json_of_real(sustained_s));
}

/* Who, on what, with what. */
static json_t *record_subject(const conductor_contender *contender, const conductor_result *result,
                              const record_facts *facts)
{
    const protocol_job *job = &contender->job;
    json_t *subject = json_pack(
        "{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:o,"
        " s:o, s:o, s:o, s:o, s:b}",
        "schema", RECORD_SCHEMA, "kind", "bench", "time", record_time(facts->unix_s), "workload",
        record_text(job->workload), "engine",
        record_text(result->engine ? result->engine : contender->engine), "engine_version",
        record_text(result->engine_version), "device", record_text(job->device), "device_name",
        record_text(result->device_name), "implementation", record_text(result->implementation),
        "threads", json_of_count(result->threads), "processors", record_text(result->processors),
        "batch", (json_int_t)job->batch, "precision", record_text(result->precision), "data_on",
        record_data_on(job), "mode", record_text(job->mode), "seed", (json_int_t)job->seed, "data",
        record_text(facts->data), "params", json_of_count(result->parameters), "launches",
        json_of_count(result->launches > 0 ? result->launches : -1), "flops_per_step",
        json_of_real(facts->flops_per_step), "bytes_per_step", json_of_real(facts->bytes_per_step),
        "computes_nothing", contender->computes_nothing);
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&job->variant, (workload_dimension)d);
        if (d == WORKLOAD_WIDTH && !value) value = 1; /* times its own */
        json_object_set_new(subject, workload_dimension_names[d],
                            json_of_count(value ? value : -1));
    }
    return subject;
}

/* What came out. */
static json_t *record_outcome(const conductor_result *result, const record_facts *facts)
{
    bool failed = result->status != BE_OK, speed = record_has_speed(result);
    double flops = speed && !isnan(result->samples_per_s)
                       ? facts->flops_per_step / result->step.median.point
                       : (double)NAN;
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o, s:o, s:o}",
        "status", status_name(result->status), "error",
        record_text(failed ? result->error.text : NULL), "step_s", record_step(result),
        "samples_per_s", json_of_real(speed ? result->samples_per_s : (double)NAN), "flops_per_s",
        json_of_real(flops), "start_s", json_of_real(result->start_s), "prepare_s",
        json_of_real(result->prepare_s), "first_step_s", json_of_real(result->first_step_s),
        "block_steps", (json_int_t)result->block_steps, "blocks", record_blocks(result),
        "stop_reason", stop_reason_text(result->stop), "first_loss",
        json_of_real(result->first_loss), "last_loss", json_of_real(result->last_loss),
        "busy_threads", json_of_real(result->busy_threads), "energy_per_step_j",
        json_of_real(result->energy_per_step_j), "energy_sensor",
        record_text(result->energy_sensor), "peak_rss_bytes", json_of_count(result->peak_rss_bytes),
        "device_memory_bytes", json_of_count(result->device_bytes), "log",
        record_text(failed ? result->log : NULL), "warnings", record_warnings(result), "warned",
        record_warned(result));
}

be_status record_build(const conductor_contender *contenders, const conductor_report *report, int i,
                       const record_facts *facts, json_t **out, be_error *err)
{
    const conductor_result *result = &report->results[i];
    json_t *record = record_subject(&contenders[i], result, facts);
    json_t *outcome = record_outcome(result, facts);
    json_t *heat = record_heat(result);
    json_t *about =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O?}", "parity",
                  record_parity(&result->parity), "proof", record_proof(result), "asked",
                  record_asked(&contenders[i]), "versus", record_comparison(contenders, report, i),
                  "libraries", result->libraries ? json_incref(result->libraries) : json_null(),
                  "other_load", json_of_real(report->other_load), "steal",
                  json_of_real(report->steal), "environment", facts->environment);
    bool whole = record && outcome && heat && about && json_object_update(record, outcome) == 0 &&
                 json_object_update(record, heat) == 0 && json_object_update(record, about) == 0;
    if (whole && !facts->environment)
        whole = json_object_set_new(record, "environment", json_null()) == 0;
    json_decref(outcome);
    json_decref(heat);
    json_decref(about);
    *out = whole ? record : NULL;
    if (whole) return BE_OK;
    json_decref(record);
    FAIL(err, BE_NO_MEMORY, "record of %s: no memory left for it; free some",
         contenders[i].job.workload);
}
