/* A step taken apart: phases and ops from the runner, limits of its device, and a prediction. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/topology.h"
#include "report/explain.h"
#include "run/anatomy.h"
#include "run/machine.h"
#include "study/explain.h"

#define CALIBRATE_S 2.5
#define CALIBRATE_SHARE 0.4 /* of a limit: the runner has to start, and to prepare, too */
#define COMPILE_TIMES 8     /* as long, where each network has to be compiled first */
#define REFUTED 1.1         /* times a limit; what is beyond it was not the limit */
#define CALIBRATE_TIMES 2.5 /* or as long as this many contenders may take */

typedef struct parts {
    anatomy anatomy;
    limits limits;
    predict_machine machine;
    double step_s; /* of the measurement */
    double ops_s;  /* of all ops, which shares are of if it is longer than the step */
} parts;

static double a_step(const parts *p, double sum)
{
    return sum < 0 ? (double)NAN : sum / (double)p->anatomy.answer.steps;
}

static json_t *phases_of(const parts *p, double *sum)
{
    json_t *out = json_object(), *value;
    const char *name;
    *sum = 0;
    json_object_foreach(p->anatomy.answer.phases, name, value)
    {
        bool is_told = json_is_number(value);
        double seconds = a_step(p, json_number_value(value) * 1e-9);
        json_object_set_new(out, name, is_told ? json_real(seconds) : json_null());
        *sum += seconds;
    }
    return out;
}

/* Of the whole step: the largest of launches, arithmetic and memory traffic. */
static double floor_of(const parts *p, const json_t *record, predict_bound *bound)
{
    double launches = a_step(p, (double)p->anatomy.answer.launches);
    predict_op whole = {.flops = report_real(record, bench, flops_per_step),
                        .bytes = report_real(record, bench, bytes_per_step),
                        .launches = launches > 0 ? (int)lround(launches) : 0};
    double copies =
        predict_transfer(&p->limits, a_step(p, (double)p->anatomy.answer.upload_bytes), false);
    return fmax(predict_floor(&p->machine, &whole, bound), copies);
}

static be_status op_json(const parts *p, int i, json_t **out, double *predicted, be_error *err)
{
    const json_t *op = json_array_get(p->anatomy.answer.ops, (size_t)i);
    double seconds = a_step(p, json_number_value(report_member(op, op, ns)) * 1e-9);
    double wall_s = a_step(p, (double)p->anatomy.answer.wall_ns * 1e-9);
    predict_estimate e = {.seconds = NAN, .floor_s = NAN};
    const char *bound = NULL;
    if (i < p->anatomy.op_count) {
        TRY(predict_seconds(&p->machine, p->anatomy.points, p->anatomy.point_count,
                            &p->anatomy.ops[i], &e, err));
        bound = predict_bound_name(e.bound);
    }
    *predicted += e.seconds;
    double steps = (double)p->anatomy.answer.steps;
    const char *const amounts[] = {"launches", "flops", "bytes"};
    *out = json_pack("{s:O, s:O, s:O, s:O, s:f, s:f}", "op", report_member(op, op, op), "name",
                     report_member(op, op, name), "phase", report_member(op, op, phase),
                     "implementation", report_member(op, op, implementation), "seconds", seconds,
                     "share", seconds / fmax(wall_s, p->ops_s));
    for (size_t a = 0; a < 3; a++) {
        const json_t *value = json_object_get(op, amounts[a]);
        json_object_set_new(*out, amounts[a],
                            json_is_number(value) ? json_real(json_number_value(value) / steps)
                                                  : json_null());
    }
    json_object_set_new(*out, "floor_s", json_of_real(e.floor_s));
    json_object_set_new(*out, "bound", bound ? json_string(bound) : json_null());
    json_object_set_new(*out, "limit_share",
                        json_of_real(seconds > 0 ? e.floor_s / seconds : (double)NAN));
    json_object_set_new(*out, "predicted_s", json_of_real(e.seconds));
    return BE_OK;
}

/* Ops that run side by side, or that their profiler slows, can take longer than the step. */
static double sum_of_ops(const parts *p)
{
    size_t i;
    json_t *op;
    double sum = 0;
    json_array_foreach(p->anatomy.answer.ops, i, op) sum +=
        json_number_value(report_member(op, op, ns)) * 1e-9;
    return i ? a_step(p, sum) : (double)NAN;
}

/* *predicted becomes the sum of the ops with copies that nothing hides, NAN where ops are not
 * predicted. */
static be_status ops_json(const parts *p, json_t *ops, double *predicted, be_error *err)
{
    const protocol_answer *a = &p->anatomy.answer;
    *predicted = 0;
    for (size_t i = 0; i < json_array_size(a->ops); i++) {
        json_t *op = NULL;
        TRY(op_json(p, (int)i, &op, predicted, err));
        json_array_append_new(ops, op);
    }
    if (!json_array_size(a->ops)) *predicted = NAN;
    double up = predict_transfer(&p->limits, a_step(p, (double)a->upload_bytes), false);
    double down = predict_transfer(&p->limits, a_step(p, (double)a->download_bytes), true);
    if (up + down > *predicted) *predicted = up + down; /* the rest hides behind the copies */
    return BE_OK;
}

static json_t *amount(const parts *p, int64_t sum)
{
    return json_of_real(a_step(p, (double)sum));
}

static be_status describe(parts *p, const json_t *record, json_t *out, be_error *err)
{
    const protocol_answer *a = &p->anatomy.answer;
    double sum = 0, predicted = NAN, left_out = NAN, wall_s = a_step(p, (double)a->wall_ns * 1e-9);
    predict_bound bound;
    json_t *ops = json_array(), *records = NULL;
    p->ops_s = sum_of_ops(p);
    json_object_set_new(out, "wall_s", json_real(wall_s));
    json_object_set_new(out, "phases_s", phases_of(p, &sum));
    json_object_set_new(out, "phases_sum_s", json_real(sum));
    json_object_set_new(out, "missing", json_of_real((wall_s - sum) / wall_s));
    json_object_set_new(out, "launches", amount(p, a->launches));
    json_object_set_new(out, "synchronisations", amount(p, a->synchronisations));
    json_object_set_new(out, "upload_bytes", amount(p, a->upload_bytes));
    json_object_set_new(out, "download_bytes", amount(p, a->download_bytes));
    json_object_set(out, "work", a->work);
    json_object_set_new(out, "ops", ops);
    json_object_set_new(out, "ops_sum_s", json_of_real(p->ops_s));
    TRY(ops_json(p, ops, &predicted, err));
    TRY(predict_left_out(&p->machine, p->anatomy.points, p->anatomy.point_count, &left_out, err));
    TRY(limits_to_json(&p->limits, &records, err));
    json_object_set_new(out, "limits", records);
    double floor_s = floor_of(p, record, &bound);
    bool known_floor = floor_s > PREDICT_LEAST_S; /* else nothing is known of the step */
    json_object_set_new(out, "floor_s", known_floor ? json_real(floor_s) : json_null());
    json_object_set_new(out, "bound",
                        known_floor ? json_string(predict_bound_name(bound)) : json_null());
    json_object_set_new(out, "predicted_s", json_of_real(predicted));
    json_object_set_new(out, "predicted_error", json_of_real(predicted / p->step_s - 1));
    json_object_set_new(out, "calibration",
                        json_pack("{s:i, s:o}", "points", p->anatomy.point_count, "left_out",
                                  json_of_real(left_out)));
    return BE_OK;
}

/* Limits that cannot be had leave their columns empty and their reason in "notes". */
static be_status measure_limits(const explain_question *q, parts *p, machine_source *source,
                                json_t *notes, be_error *err)
{
    const measurement *m = q->m;
    const conductor_contender *contender = q->contender;
    int native = 0;
    be_error reason = {0};
    while (native < ENGINE_COUNT && strcmp(engine_names[native], "native") != 0) native++;
    p->limits = limits_unknown();
    p->machine = (predict_machine){.limits = &p->limits,
                                   .peak_flops_per_s = NAN,
                                   .cache_bytes = (double)topology_get()->last_cache_bytes};
    const engine *asker = native < ENGINE_COUNT && m->plan.hello[native] ? &m->plan.engines[native]
                          : study_is_own(m->request) && m->native.name   ? &m->native
                                                                         : NULL;
    if (!asker) {
        json_array_append_new(notes, json_string("the native engine, which measures a device's "
                                                 "limits, is left out"));
        return BE_OK;
    }
    /* Two answers are waited for, in half of the time. */
    machine_options options = {.limit_s = isinf(q->limit_s) ? 0 : fmax(q->limit_s, 0.1) / 4,
                               .interrupted = q->m->watch->stop,
                               .source = source};
    be_status status = machine_limits(asker, contender->job.device, contender->job.threads,
                                      &options, &p->limits, &reason);
    if (status == BE_INTERRUPTED || status == BE_NO_MEMORY) *err = reason;
    if (status == BE_INTERRUPTED || status == BE_NO_MEMORY) return status;
    if (status != BE_OK) json_array_append_new(notes, json_of_text(reason.text));
    if (strcmp(contender->job.device, "cpu") != 0) p->machine.cache_bytes = NAN;
    p->machine.peak_flops_per_s = *limits_peak(&p->limits, contender->job.precision);
    return BE_OK;
}

/* What a processor attains changes from minute to minute, with heat and with neighbours, and takes
 * two seconds to find: it is found beside the measurement.  A GPU's driver has to compile. */
static void calibration_path(const explain_question *q, const char *limits_path,
                             char out[FILE_PATH_BYTES])
{
    size_t length = strlen(limits_path);
    out[0] = 0;
    if (strcmp(q->contender->job.device, "cpu") == 0) return;
    const char *precision = q->contender->job.precision;
    if (length < 5 || length + 24 > FILE_PATH_BYTES) return;
    snprintf(out, FILE_PATH_BYTES, "%.*s-points-%s.json", (int)(length - 5), limits_path,
             precision);
}

/* For how long; a GPU's driver compiles for most of it, and a --max-time that is short is meant. */
static double calibrate_s(const explain_question *q, double left_s)
{
    bool compiles = strcmp(q->contender->job.device, "cpu") != 0;
    double most_s = CALIBRATE_TIMES * q->m->conducting.stop.max_time_s;
    double wished_s = fmin(CALIBRATE_S, most_s) * (compiles ? COMPILE_TIMES : 1);
    return fmin(wished_s, CALIBRATE_SHARE * left_s);
}

static be_status take(const explain_question *q, parts *p, json_t *notes, be_error *err)
{
    char points_file[FILE_PATH_BYTES];
    machine_source source = {0};
    int64_t began_ns = clock_now_ns();
    TRY(measure_limits(q, p, &source, notes, err));
    calibration_path(q, source.path, points_file);
    double left_s = q->limit_s - (double)(clock_now_ns() - began_ns) * 1e-9;
    if (left_s <= 0) FAIL(err, BE_UNAVAILABLE, "no time was left to take its step apart");
    anatomy_options options = {.phases = q->phases,
                               .calibrate_s = calibrate_s(q, left_s),
                               .limit_s = isinf(left_s) ? 0 : left_s,
                               .kept = points_file,
                               .calibrate = strcmp(q->contender->engine, "native") == 0,
                               .interrupted = q->m->watch->stop};
    return anatomy_take(q->contender, &options, &p->anatomy, err);
}

/* A limit below what the step itself attains was measured while something else ran. */
static void refute_limits(parts *p, const char *precision, const json_t *record, json_t *notes)
{
    double *peak = limits_peak(&p->limits, precision);
    double rate = report_real(record, bench, flops_per_step) / p->step_s;
    if (!(rate > REFUTED * *peak)) return;
    *peak = p->machine.peak_flops_per_s = NAN;
    json_array_append_new(notes,
                          json_string("its arithmetic is faster than the limit that was "
                                      "measured for its device, which is left out; measure "
                                      "it again with breakeven devices --measure --refresh"));
}

/* What the runner itself says of a user's own model. */
static void add_told(const explain_question *q, json_t *notes)
{
    size_t i;
    json_t *note;
    json_array_foreach(json_object_get(q->phases, "notes"), i, note)
    {
        if (json_is_string(note))
            json_array_append_new(notes, json_of_text(json_string_value(note)));
    }
}

be_status explain_take_apart(const explain_question *q, json_t *record, be_error *err)
{
    parts p = {.step_s = report_real(record, bench, step_s.median)};
    be_error reason = {0};
    json_t *out = json_pack("{s:i}", "schema", EXPLAIN_SCHEMA), *notes = json_array();
    json_object_set_new(record, "explain", out);
    json_object_set_new(out, "notes", notes);
    study_progress(q->m->watch, "%s on %s: taking a step apart ...", q->contender->engine,
                   q->contender->job.device);
    be_status status = take(q, &p, notes, &reason);
    refute_limits(&p, q->contender->job.precision, record, notes);
    add_told(q, notes);
    if (status == BE_OK) status = describe(&p, record, out, &reason);
    json_object_set_new(out, "error", status == BE_OK ? json_null() : json_of_text(reason.text));
    anatomy_clear(&p.anatomy);
    if (status != BE_INTERRUPTED && status != BE_NO_MEMORY) return BE_OK;
    *err = reason;
    return status;
}
