/* Requests in, answers out; the work is in native.c. */
#include "native/native_runner.h"
#include "graph/precision.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "build_info.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "graph/schedule.h"
#include "machine/environment.h"
#include "machine/limits_measure.h"
#include "native/native.h"
#include "native/native_calibrate.h"
#include "native/native_phases.h"
#include "native/native_try.h"
#include "train/weights.h"

typedef struct server {
    const be_device_options *device;
    json_t *prepared; /* the request behind the session: its strings are in use */
    native_session session;
} server;

/* ---------------------------------------------------------------- members of a request */

static json_reader members_of(const json_t *object, be_error *err)
{
    return (json_reader){.json = object,
                         .about = "request",
                         .next = "correct the request",
                         .fault = BE_USAGE,
                         .err = err};
}

static be_status member_text(const json_t *object, const char *name, const char **out,
                             be_error *err)
{
    json_reader r = members_of(object, err);
    *out = json_read_text(&r, name);
    return r.status;
}

/* A text, or NULL where the request has null or nothing. */
static be_status member_path(const json_t *object, const char *name, const char **out,
                             be_error *err)
{
    const json_t *value = json_object_get(object, name);
    *out = NULL;
    return !value || json_is_null(value) ? BE_OK : member_text(object, name, out, err);
}

static be_status member_integer(const json_t *object, const char *name, int64_t low, int64_t high,
                                int64_t *out, be_error *err)
{
    json_reader r = members_of(object, err);
    *out = json_read_integer(&r, name, low, high);
    return r.status;
}

/* 0 where the request has none. */
static be_status member_real(const json_t *object, const char *name, double *out, be_error *err)
{
    json_reader r = members_of(object, err);
    const json_t *value = json_object_get(object, name);
    *out = json_number_value(value);
    if (value && !json_is_number(value)) json_complain(&r, name, "a number", value);
    return r.status;
}

static be_status member_object(const json_t *object, const char *name, json_t **out, be_error *err)
{
    json_reader r = members_of(object, err);
    *out = json_read_object(&r, name);
    return r.status;
}

static be_status member_reals(const json_t *object, const char *name, int *count,
                              double out[PROTOCOL_CHANNELS_MAX], be_error *err)
{
    json_reader r = members_of(object, err);
    json_t *list = json_read_list(&r, name), *value;
    size_t i;
    TRY(r.status);
    if (json_array_size(list) > PROTOCOL_CHANNELS_MAX)
        FAIL(err, BE_USAGE,
             "request: expected at most %d values in \"%s\", found %zu; correct the request",
             PROTOCOL_CHANNELS_MAX, name, json_array_size(list));
    *count = (int)json_array_size(list);
    json_array_foreach(list, i, value)
    {
        if (!json_is_number(value)) json_complain(&r, name, "a list of numbers", list);
        out[i] = json_number_value(value);
    }
    return r.status;
}

/* Constant where the request has none; what its numbers may be the graph says. */
static be_status take_schedule(const json_t *optimizer, be_schedule *out, be_error *err)
{
    json_t *object = NULL;
    const char *name = NULL;
    if (!json_object_get(optimizer, "schedule")) return BE_OK;
    TRY(member_object(optimizer, "schedule", &object, err));
    TRY(member_text(object, "kind", &name, err));
    int kind = schedule_find(name);
    if (kind < 0)
        FAIL(err, BE_USAGE,
             "request: expected \"schedule.kind\" to be constant, cosine or linear, found \"%s\"; "
             "correct the request",
             name);
    out->kind = (be_schedule_kind)kind;
    TRY(member_integer(object, "warmup_steps", 0, INT32_MAX, &out->warmup_steps, err));
    TRY(member_integer(object, "total_steps", 0, INT32_MAX, &out->total_steps, err));
    return member_real(object, "final_factor", &out->final_factor, err);
}

static be_status take_optimizer(const json_t *request, protocol_optimizer *out, be_error *err)
{
    json_t *object = NULL;
    TRY(member_object(request, "optimizer", &object, err));
    TRY(member_text(object, "name", &out->name, err));
    TRY(member_real(object, "lr", &out->lr, err));
    TRY(member_real(object, "momentum", &out->momentum, err));
    TRY(member_real(object, "weight_decay", &out->weight_decay, err));
    TRY(member_real(object, "beta1", &out->beta1, err));
    TRY(member_real(object, "beta2", &out->beta2, err));
    TRY(member_real(object, "epsilon", &out->epsilon, err));
    TRY(member_real(object, "max_gradient_norm", &out->max_gradient_norm, err));
    return take_schedule(object, &out->schedule, err);
}

static be_status take_transform(const json_t *object, protocol_transform *out, be_error *err)
{
    int means = 0;
    TRY(member_reals(object, "mean", &means, out->mean, err));
    TRY(member_reals(object, "std", &out->channels, out->std, err));
    for (int c = 0; c < out->channels; c++)
        if (!(out->std[c] > 0))
            FAIL(err, BE_USAGE,
                 "request: expected \"normalize.%s.std\" above 0, found %g; correct the request",
                 out->field, out->std[c]);
    if (means != out->channels)
        FAIL(
            err, BE_USAGE,
            "request: expected as many values in \"normalize.%s.mean\" as in \"normalize.%s.std\", "
            "found %d and %d; correct the request",
            out->field, out->field, means, out->channels);
    return BE_OK;
}

static be_status take_normalize(const json_t *request, protocol_job *job, be_error *err)
{
    json_t *object = NULL, *transform;
    const char *field;
    TRY(member_object(request, "normalize", &object, err));
    json_object_foreach(object, field, transform)
    {
        if (!json_is_object(transform) || job->transform_count == TABLE_FIELDS)
            FAIL(err, BE_USAGE,
                 "request: expected \"normalize\" to be an object of at most %d fields, each with "
                 "mean and "
                 "std, found something else at \"%s\"; correct the request",
                 TABLE_FIELDS, field);
        protocol_transform *out = &job->transforms[job->transform_count++];
        out->field = field;
        TRY(take_transform(transform, out, err));
    }
    return BE_OK;
}

/* An integer that a request may leave out: 0. */
static be_status member_optional(const json_t *object, const char *name, int64_t high, int *out,
                                 be_error *err)
{
    int64_t value = 0;
    *out = 0;
    if (!json_object_get(object, name)) return BE_OK;
    TRY(member_integer(object, name, 1, high, &value, err));
    *out = (int)value;
    return BE_OK;
}

static be_status take_job(const json_t *request, protocol_job *job, be_error *err)
{
    int64_t threads = 0, seed = 0;
    *job = (protocol_job){.workers = 1, .accumulate = 1};
    TRY(member_text(request, "workload", &job->workload, err));
    TRY(member_text(request, "device", &job->device, err));
    TRY(member_text(request, "precision", &job->precision, err));
    TRY(member_text(request, "mode", &job->mode, err));
    TRY(member_path(request, "data", &job->data, err));
    TRY(member_path(request, "weights", &job->weights, err));
    TRY(member_path(request, "data_on", &job->data_on, err));
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++)
        TRY(member_optional(request, workload_dimension_names[d], workload_dimension_most[d],
                            workload_variant_at(&job->variant, (workload_dimension)d), err));
    TRY(member_integer(request, "threads", 1, 1024, &threads, err));
    TRY(member_integer(request, "batch", 1, INT32_MAX, &job->batch, err));
    TRY(member_optional(request, "accumulate", INT32_MAX, &job->accumulate, err));
    TRY(member_optional(request, "workers", INT32_MAX, &job->workers, err));
    if (job->workers > 1)
        FAIL(err, BE_UNAVAILABLE,
             "expected one worker of the native engine's runner, found %d; several are started by "
             "'breakeven train --workers'",
             job->workers);
    TRY(member_integer(request, "seed", 0, INT64_MAX, &seed, err));
    job->threads = (int)threads;
    job->seed = (uint64_t)seed;
    if (strcmp(job->mode, "train") == 0) TRY(take_optimizer(request, &job->optimizer, err));
    return take_normalize(request, job, err);
}

/* ---------------------------------------------------------------- the requests */

typedef be_status handler(server *s, const json_t *request, json_t *answer, be_error *err);

static be_status need_session(const server *s, be_error *err)
{
    if (!s->prepared)
        FAIL(err, BE_USAGE, "expected a prepared workload, found none: send 'prepare' first");
    return BE_OK;
}

/* Whether the device can be used; if not, `reason` says why.  Where it is asked for, that takes a
 * product computed on it; the null device computes nothing, and nobody is told otherwise. */
static bool device_works(const server *s, const json_t *request, json_t *device)
{
    const char *id = json_string_value(json_object_get(device, "id"));
    be_error err = {0};
    if (!json_is_true(json_object_get(device, "usable"))) return false;
    if (!json_is_true(json_object_get(request, "try")) || !backend_computes(id)) return true;
    if (native_try(id, s->device, &err) == BE_OK) return true;
    json_object_set_new(device, "usable", json_false());
    json_object_set_new(device, "reason", json_of_text(err.text));
    return false;
}

static bool is_listed(const json_t *devices, const char *id)
{
    json_t *device;
    size_t i;
    json_array_foreach(devices, i,
                       device) if (id && strcmp(json_string_value(json_object_get(device, "id")),
                                                id) == 0) return true;
    return false;
}

/* `devices`: those that work; `unusable_devices`: the others, with their reason. */
static void answer_devices(const server *s, const json_t *request, json_t *answer)
{
    json_t *all = backend_list(json_string_value(json_object_get(request, "device")));
    json_t *usable = json_array(), *others = json_array(), *device;
    size_t i;
    json_array_foreach(all, i, device)
        json_array_append(device_works(s, request, device) ? usable : others, device);
    json_decref(all);
    /* Another way to a device that cannot be used is the only one. */
    json_array_foreach(
        usable, i,
        device) if (is_listed(others, json_string_value(json_object_get(device, "duplicate_of"))))
        json_object_del(device, "duplicate_of");
    json_object_set_new(answer, "devices", usable);
    json_object_set_new(answer, "unusable_devices", others);
}

static be_status answer_hello(server *s, const json_t *request, json_t *answer, be_error *err)
{
    int64_t schema = 0;
    TRY(member_integer(request, "schema", PROTOCOL_SCHEMA, PROTOCOL_SCHEMA, &schema, err));
    json_object_set_new(answer, "schema", json_integer(PROTOCOL_SCHEMA));
    json_object_set_new(answer, "engine", json_string("native"));
    json_object_set_new(answer, "version", json_string(BUILD_VERSION));
    json_object_set_new(answer, "libraries", environment_libraries());
    answer_devices(s, request, answer);
    return BE_OK;
}

static be_status answer_prepare(server *s, const json_t *request, json_t *answer, be_error *err)
{
    protocol_job job;
    int64_t start_ns = clock_now_ns();
    native_close(&s->session);
    json_decref(s->prepared);
    s->prepared = NULL;
    TRY(take_job(request, &job, err));
    TRY(native_open(&s->session, &job, s->device, err));
    s->prepared = json_incref((json_t *)request);
    be_plan_facts facts = be_plan_describe(s->session.plan);
    json_object_set_new(answer, "parameters", json_integer(facts.parameters));
    json_object_set_new(answer, "launches", json_integer(facts.launches));
    json_object_set_new(answer, "device_name", json_of_text(be_device_name(s->session.device)));
    json_object_set_new(answer, "implementation", json_string(facts.implementation));
    json_object_set_new(answer, "precision", json_string(precision_name(s->session.precision)));
    /* A GPU has no threads of the host's kind: what was asked for stays unused. */
    int threads = be_device_threads(s->session.device);
    json_object_set_new(answer, "threads", json_integer(threads ? threads : job.threads));
    if (!threads)
        json_object_set_new(
            answer, "device_bytes",
            json_integer((json_int_t)(facts.persistent_bytes + facts.activation_bytes +
                                      facts.scratch_bytes)));
    json_object_set_new(answer, "prepare_ns", json_integer(clock_now_ns() - start_ns));
    json_t *warnings = json_array();
    if (environment_build_warning())
        json_array_append_new(warnings, json_string(environment_build_warning()));
    json_object_set_new(answer, "warnings", warnings);
    return BE_OK;
}

static be_status answer_run(server *s, const json_t *request, json_t *answer, be_error *err)
{
    int64_t steps = 0, wall_ns = 0;
    void *losses = NULL;
    double loss = 0;
    TRY(need_session(s, err));
    TRY(member_integer(request, "steps", 1, INT32_MAX, &steps, err));
    bool with_losses = json_is_true(json_object_get(request, "losses"));
    if (with_losses) TRY(memory_alloc(&losses, (size_t)steps * sizeof(float), "the losses", err));
    be_status status = native_run(&s->session, steps, &wall_ns, losses, &loss, err);
    json_object_set_new(answer, "steps", json_integer(steps));
    json_object_set_new(answer, "wall_ns", json_integer(wall_ns));
    json_object_set_new(answer, "loss", json_of_real(loss));
    if (with_losses) {
        json_t *list = json_array();
        for (int64_t i = 0; status == BE_OK && i < steps; i++)
            json_array_append_new(
                list, s->session.train ? json_of_real((double)((float *)losses)[i]) : json_null());
        json_object_set_new(answer, "losses", list);
    }
    memory_free(losses);
    return status;
}

/* be_plan_run waits for its device: nothing is left to wait for. */
static be_status answer_sync(server *s, const json_t *request, json_t *answer, be_error *err)
{
    (void)request;
    int64_t start_ns = clock_now_ns();
    TRY(need_session(s, err));
    TRY(be_plan_run(s->session.plan, 0, err));
    json_object_set_new(answer, "wall_ns", json_integer(clock_now_ns() - start_ns));
    return BE_OK;
}

static be_status answer_parity(server *s, const json_t *request, json_t *answer, be_error *err)
{
    int64_t steps = 0;
    const char *out = NULL;
    TRY(need_session(s, err));
    TRY(member_integer(request, "steps", 1, BE_LOSS_LOG, &steps, err));
    TRY(member_text(request, "out", &out, err));
    TRY(native_parity(&s->session, steps, out, err));
    json_object_set_new(answer, "steps", json_integer(steps));
    return BE_OK;
}

static be_status answer_evaluate(server *s, const json_t *request, json_t *answer, be_error *err)
{
    const char *data = NULL;
    native_evaluation result = {0};
    TRY(need_session(s, err));
    TRY(member_text(request, "data", &data, err));
    TRY(native_evaluate(&s->session, data, &result, err));
    json_object_set_new(answer, "count", json_integer(result.count));
    json_object_set_new(answer, "correct", json_integer(result.correct));
    json_object_set_new(answer, "loss", json_of_real(result.loss));
    return BE_OK;
}

static be_status answer_export(server *s, const json_t *request, json_t *answer, be_error *err)
{
    const char *out = NULL;
    (void)answer;
    TRY(need_session(s, err));
    TRY(member_text(request, "out", &out, err));
    return weights_save(s->session.plan, out, NULL, 0, err);
}

static be_status answer_phases(server *s, const json_t *request, json_t *answer, be_error *err)
{
    int64_t steps = 0;
    be_plan_times times;
    TRY(need_session(s, err));
    TRY(member_integer(request, "steps", 1, INT32_MAX, &steps, err));
    TRY(be_plan_phases(s->session.plan, steps, &times, err));
    native_phases_answer(&times, be_device_id(s->session.device), answer);
    return BE_OK;
}

static be_status answer_reference(server *s, const json_t *request, json_t *answer, be_error *err)
{
    int64_t wall_ns = 0;
    (void)request;
    TRY(need_session(s, err));
    be_device *device = s->session.device;
    TRY(device->vtable->reference(device, &wall_ns, err));
    json_object_set_new(answer, "wall_ns", json_integer(wall_ns));
    return BE_OK;
}

/* On a device of its own, which is closed again: a session may be prepared meanwhile. */
static be_status answer_measure(server *s, const json_t *request, json_t *answer, be_error *err)
{
    const char *id = NULL;
    int64_t threads = 0;
    double seconds = 0;
    be_device *device = NULL;
    limits peaks;
    json_t *json = NULL;
    TRY(member_text(request, "device", &id, err));
    TRY(member_integer(request, "threads", 1, 1024, &threads, err));
    TRY(member_real(request, "seconds", &seconds, err));
    be_device_options options = *s->device;
    options.threads = (int)threads;
    if (!backend_has_library(id, options.library)) options.library = NULL;
    TRY(be_device_open(id, &options, &device, err));
    be_status status = limits_measure(device, seconds, &peaks, err);
    be_device_close(device);
    if (status == BE_OK) status = limits_to_json(&peaks, &json, err);
    json_object_set_new(answer, "limits", json);
    return status;
}

/* What the ops of the step are, and what such ops attain on other shapes. */
static be_status answer_calibrate(server *s, const json_t *request, json_t *answer, be_error *err)
{
    double seconds = 0;
    void *memory = NULL;
    json_t *points = NULL, *ops = json_array();
    json_object_set_new(answer, "ops", ops);
    TRY(need_session(s, err));
    TRY(member_real(request, "seconds", &seconds, err));
    TRY(native_calibrate(s->session.device, s->session.precision, seconds, &points, err));
    json_object_set_new(answer, "points", points);
    size_t nodes = (size_t)be_plan_describe(s->session.plan).nodes;
    TRY(memory_alloc(&memory, nodes * sizeof(predict_op), "the ops of a step", err));
    int count = native_calibrate_ops(s->session.plan, memory);
    for (int i = 0; i < count; i++)
        json_array_append_new(ops, native_calibrate_to_json((predict_op *)memory + i));
    memory_free(memory);
    return BE_OK;
}

static be_status answer_quit(server *s, const json_t *request, json_t *answer, be_error *err)
{
    (void)s, (void)request, (void)answer, (void)err;
    return BE_OK;
}

/* In the order of the protocol's list. */
static handler *const handlers[] = {
    answer_hello,     answer_prepare,  answer_run,       answer_sync,
    answer_parity,    answer_evaluate, answer_export,    answer_phases,
    answer_reference, answer_measure,  answer_calibrate, answer_quit,
};

/* ---------------------------------------------------------------- the loop */

static be_status handle(server *s, const json_t *request, json_t *answer, bool *last, be_error *err)
{
    const char *op = NULL;
    if (!json_is_object(request))
        FAIL(err, BE_BAD_DATA,
             "expected one JSON object on the line, found none: send one request "
             "a line, with the member 'op'");
    TRY(member_text(request, "op", &op, err));
    int request_kind = protocol_request_find(op);
    if (request_kind < 0)
        FAIL(err, BE_USAGE,
             "expected 'op' to be a request of the protocol, found \"%.40s\": see "
             "docs/runner-protocol.md",
             op);
    *last = request_kind == PROTOCOL_QUIT;
    return handlers[request_kind](s, request, answer, err);
}

static json_t *answer_line(server *s, const char *line, size_t length, bool *last)
{
    be_error err = {0};
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer = json_pack("{s:b}", "ok", 1);
    be_status status = handle(s, request, answer, last, &err);
    json_decref(request);
    if (status == BE_OK) return answer;
    json_decref(answer);
    char text[sizeof err.text];
    text_clean(err.text, strlen(err.text), false, text, sizeof text);
    return json_pack("{s:b, s:s, s:s}", "ok", 0, "status", status_name(status), "error", text);
}

be_status native_runner_serve(FILE *requests, FILE *answers, const be_device_options *device,
                              be_error *err)
{
    static const be_device_options defaults = {0};
    server s = {.device = device ? device : &defaults};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool last = false, is_written = true;
    while (!last && is_written && (length = getline(&line, &room, requests)) > 0) {
        json_t *answer = answer_line(&s, line, (size_t)length, &last);
        is_written = answer && json_dumpf(answer, answers, JSON_COMPACT) == 0 &&
                     fputc('\n', answers) != EOF && fflush(answers) == 0;
        json_decref(answer);
    }
    free(line);
    native_close(&s.session);
    json_decref(s.prepared);
    if (!is_written) FAIL(err, BE_IO, "the answers could not be written: the conductor has gone");
    return BE_OK;
}
