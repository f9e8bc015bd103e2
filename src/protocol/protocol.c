/* Requests to lines, lines to answers. */
#include "protocol/protocol.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "breakeven/plan.h"
#include "core/json.h"
#include "core/text.h"
#include "protocol/protocol_prepare.h"

#define PROTOCOL_SHOWN 120 /* bytes of a bad line that an error quotes */

static const char *const protocol_names[] = {
#define X(name, text) text,
    PROTOCOL_REQUEST_LIST(X)
#undef X
};

const char *protocol_request_name(protocol_request request)
{
    return protocol_names[request];
}

int protocol_request_find(const char *name)
{
    for (size_t i = 0; i < sizeof protocol_names / sizeof *protocol_names; i++)
        if (!strcmp(name, protocol_names[i])) return (int)i;
    return -1;
}

/* ---------------------------------------------------------------- requests */

static be_status protocol_check_call(const protocol_call *call, be_error *err)
{
    const char *name = protocol_names[call->request];
    bool steps = call->request == PROTOCOL_RUN || call->request == PROTOCOL_PARITY ||
                 call->request == PROTOCOL_PHASES;
    bool path = call->request == PROTOCOL_PARITY || call->request == PROTOCOL_EVALUATE ||
                call->request == PROTOCOL_EXPORT;
    if (steps && call->steps < 1)
        FAIL(err, BE_USAGE, "%s: expected at least 1 step, found %" PRId64, name, call->steps);
    if (path && !call->path) FAIL(err, BE_USAGE, "%s: expected a path, found none", name);
    if (call->request == PROTOCOL_MEASURE && (!call->device || call->threads < 1))
        FAIL(err, BE_USAGE, "measure: expected a device and at least 1 thread, found %s and %d",
             call->device ? call->device : "none", call->threads);
    if (call->request == PROTOCOL_PREPARE) return protocol_check_job(call->job, err);
    return BE_OK;
}

static json_t *protocol_object(const protocol_call *call)
{
    const char *name = protocol_names[call->request];
    json_int_t steps = call->steps;
    switch (call->request) {
    case PROTOCOL_HELLO:
        return json_pack("{s:s, s:i, s:s*, s:b}", "op", name, "schema", PROTOCOL_SCHEMA, "device",
                         call->device, "try", (int)call->try_devices);
    case PROTOCOL_PREPARE:
        return protocol_prepare_object(call->job);
    case PROTOCOL_RUN:
        return json_pack("{s:s, s:I, s:b}", "op", name, "steps", steps, "losses",
                         (int)call->losses);
    case PROTOCOL_PARITY:
        return json_pack("{s:s, s:I, s:s, s:o*}", "op", name, "steps", steps, "out", call->path,
                         "judge", call->judge ? json_true() : NULL);
    case PROTOCOL_EVALUATE:
        return json_pack("{s:s, s:s}", "op", name, "data", call->path);
    case PROTOCOL_EXPORT:
        return json_pack("{s:s, s:s}", "op", name, "out", call->path);
    case PROTOCOL_PHASES:
        return json_pack("{s:s, s:I}", "op", name, "steps", steps);
    case PROTOCOL_MEASURE:
        return json_pack("{s:s, s:s, s:i, s:o*}", "op", name, "device", call->device, "threads",
                         call->threads, "seconds",
                         call->seconds > 0 ? json_real(call->seconds) : NULL);
    case PROTOCOL_CALIBRATE:
        return json_pack("{s:s, s:f}", "op", name, "seconds", call->seconds);
    case PROTOCOL_SYNC:
    case PROTOCOL_REFERENCE:
    case PROTOCOL_QUIT:
        break;
    }
    return json_pack("{s:s}", "op", name);
}

be_status protocol_encode(const protocol_call *call, char **line, be_error *err)
{
    *line = NULL;
    TRY(protocol_check_call(call, err));
    json_t *object = protocol_object(call);
    if (!object)
        FAIL(err, BE_USAGE,
             "%s: expected names and paths in UTF-8, found other bytes; rename the file",
             protocol_names[call->request]);
    be_status status = json_print_line(line, object, JSON_COMPACT, "the request", err);
    json_decref(object);
    return status;
}

/* ----------------------------------------------------------------- answers */

/* An answer's members, with the first complaint. */
typedef struct protocol_reader {
    json_reader member;
    const char *request;
    bool refused; /* a proper {"ok": false} */
} protocol_reader;

static json_t *protocol_strings(protocol_reader *r, const char *member)
{
    json_t *value = json_object_get(r->member.json, member), *item;
    const char *key, *form = "an object of strings";
    if (!json_is_object(value)) json_complain(&r->member, member, form, value);
    json_object_foreach(value, key, item)
    {
        if (!json_is_string(item)) json_complain(&r->member, member, form, value);
    }
    return value;
}

static void protocol_read_hello(protocol_reader *r, protocol_answer *answer)
{
    json_read_integer(&r->member, "schema", PROTOCOL_SCHEMA, PROTOCOL_SCHEMA);
    answer->engine = json_read_text(&r->member, "engine");
    answer->version = json_read_text(&r->member, "version");
    answer->libraries = protocol_strings(r, "libraries");
    answer->devices = json_object_get(r->member.json, "devices");
    const char *form = "a list of objects with the strings id and name";
    if (!json_is_array(answer->devices))
        json_complain(&r->member, "devices", form, answer->devices);
    size_t i;
    json_t *device;
    json_array_foreach(answer->devices, i, device)
    {
        if (!json_is_string(json_object_get(device, "id")) ||
            !json_is_string(json_object_get(device, "name")))
            json_complain(&r->member, "devices", form, answer->devices);
    }
}

static void protocol_read_prepare(protocol_reader *r, protocol_answer *answer)
{
    answer->parameters = json_read_integer(&r->member, "parameters", 0, INT64_MAX);
    if (json_object_get(r->member.json, "launches"))
        answer->launches = json_read_integer(&r->member, "launches", 0, INT64_MAX);
    bool is_told = json_object_get(r->member.json, "device_bytes");
    answer->device_bytes =
        is_told ? json_read_integer(&r->member, "device_bytes", 0, INT64_MAX) : -1;
    answer->title = NULL;
    if (json_object_get(r->member.json, "title"))
        answer->title = json_read_text(&r->member, "title");
    answer->unit = NULL;
    answer->units_a_sample = 1;
    if (json_object_get(r->member.json, "unit")) {
        const json_t *count = json_object_get(r->member.json, "units_a_sample");
        answer->unit = json_read_text(&r->member, "unit");
        if (!(json_number_value(count) > 0))
            json_complain(&r->member, "units_a_sample", "a number above 0", count);
        answer->units_a_sample = json_number_value(count);
    }
    answer->device_name = json_read_text(&r->member, "device_name");
    answer->implementation = json_read_text(&r->member, "implementation");
    answer->precision = json_read_text(&r->member, "precision");
    answer->threads = (int)json_read_integer(&r->member, "threads", 1, INT32_MAX);
    answer->prepare_ns = json_read_integer(&r->member, "prepare_ns", 0, INT64_MAX);
    answer->warnings = json_object_get(r->member.json, "warnings");
    if (!answer->warnings) return;
    if (!json_is_array(answer->warnings))
        json_complain(&r->member, "warnings", "a list of strings", answer->warnings);
    size_t i;
    json_t *warning;
    json_array_foreach(answer->warnings, i, warning)
    {
        if (!json_is_string(warning))
            json_complain(&r->member, "warnings", "a list of strings", answer->warnings);
    }
}

static void protocol_read_run(protocol_reader *r, const protocol_call *call,
                              protocol_answer *answer)
{
    answer->steps = json_read_integer(&r->member, "steps", call->steps, call->steps);
    answer->wall_ns = json_read_integer(&r->member, "wall_ns", 1, INT64_MAX);
    answer->loss = json_read_real(&r->member, "loss", -INFINITY);
    if (!call->losses) return;
    answer->losses = json_object_get(r->member.json, "losses");
    const char *form = "a list of numbers or nulls, one for each step";
    if (!json_is_array(answer->losses) || (int64_t)json_array_size(answer->losses) != call->steps)
        json_complain(&r->member, "losses", form, answer->losses);
    size_t i;
    json_t *loss;
    json_array_foreach(answer->losses, i, loss)
    {
        if (!json_is_number(loss) && !json_is_null(loss))
            json_complain(&r->member, "losses", form, answer->losses);
    }
}

/* ---------------------------------------------------------------- the phases of a step */

static const char *const protocol_phases[] = {
#define X(name, text) text,
    BE_PHASE_LIST(X)
#undef X
};

static bool is_count(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_count_or_null(const json_t *value)
{
    return is_count(value) || json_is_null(value);
}

/* An integer of at least 0, or -1 for null. */
static int64_t protocol_known(protocol_reader *r, const char *member)
{
    const json_t *value = json_object_get(r->member.json, member);
    if (!is_count_or_null(value))
        json_complain(&r->member, member, "an integer of at least 0, or null", value);
    return is_count(value) ? json_integer_value(value) : -1;
}

static bool is_phase(const char *name)
{
    for (int p = 0; p < BE_PHASE_COUNT; p++)
        if (strcmp(name, protocol_phases[p]) == 0) return true;
    return false;
}

static json_t *protocol_phase_times(protocol_reader *r)
{
    json_t *phases = json_object_get(r->member.json, "phases");
    bool good = json_object_size(phases) == BE_PHASE_COUNT;
    for (int p = 0; p < BE_PHASE_COUNT; p++)
        good = good && is_count_or_null(json_object_get(phases, protocol_phases[p]));
    if (!good)
        json_complain(&r->member, "phases",
                      "an object with data, upload, forward, backward, optimizer, loss_read, "
                      "idle_host and idle_other, each an integer of at least 0 or null",
                      phases);
    return phases;
}

static json_t *protocol_work(protocol_reader *r)
{
    json_t *work = json_object_get(r->member.json, "work"), *item;
    const char *device, *form = "an object of objects with launches and busy_ns";
    if (!json_is_object(work)) json_complain(&r->member, "work", form, work);
    json_object_foreach(work, device, item)
    {
        if (!is_count(json_object_get(item, "launches")) ||
            !is_count_or_null(json_object_get(item, "busy_ns")))
            json_complain(&r->member, "work", form, work);
    }
    return work;
}

/* An amount of arithmetic or traffic. */
static bool is_amount(const json_t *value)
{
    return json_is_null(value) || (json_is_number(value) && json_number_value(value) >= 0);
}

static bool is_op(const json_t *op)
{
    const char *phase = json_string_value(json_object_get(op, "phase"));
    return json_is_string(json_object_get(op, "op")) &&
           json_is_string(json_object_get(op, "name")) && phase && is_phase(phase) &&
           json_is_string(json_object_get(op, "implementation")) &&
           is_count_or_null(json_object_get(op, "launches")) &&
           is_count(json_object_get(op, "ns")) && is_amount(json_object_get(op, "flops")) &&
           is_amount(json_object_get(op, "bytes"));
}

static json_t *protocol_ops(protocol_reader *r)
{
    json_t *ops = json_object_get(r->member.json, "ops"), *op;
    size_t i;
    if (!json_is_array(ops)) json_complain(&r->member, "ops", "a list", ops);
    json_array_foreach(ops, i, op)
    {
        if (!is_op(op))
            json_complain(&r->member, "ops",
                          "a list of objects with op, name, phase, implementation, launches, "
                          "ns, flops and bytes",
                          op);
    }
    return ops;
}

static void protocol_read_phases(protocol_reader *r, const protocol_call *call,
                                 protocol_answer *answer)
{
    answer->steps = json_read_integer(&r->member, "steps", call->steps, call->steps);
    answer->wall_ns = json_read_integer(&r->member, "wall_ns", 1, INT64_MAX);
    answer->phases = protocol_phase_times(r);
    answer->launches = protocol_known(r, "launches");
    answer->synchronisations = protocol_known(r, "synchronisations");
    answer->upload_bytes = protocol_known(r, "upload_bytes");
    answer->download_bytes = protocol_known(r, "download_bytes");
    answer->work = protocol_work(r);
    answer->ops = protocol_ops(r);
    if (json_object_get(r->member.json, "launch_order"))
        answer->launch_order = json_read_text(&r->member, "launch_order");
    const json_t *flops = json_object_get(r->member.json, "flops");
    answer->flops = json_is_number(flops) ? json_number_value(flops) : (double)NAN;
}

/* ---------------------------------------------------------------- calibration */

static bool is_measure_of_op(const json_t *op)
{
    static const char *const numbers[] = {"out",    "in",       "kernel", "pixels", "batch",
                                          "passes", "elements", "flops",  "bytes",  "seconds"};
    bool good = json_is_string(json_object_get(op, "op")) &&
                json_is_string(json_object_get(op, "implementation")) &&
                is_count(json_object_get(op, "launches"));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const json_t *value = json_object_get(op, numbers[i]);
        good = good && json_is_number(value) && json_number_value(value) >= 0;
    }
    return good;
}

static json_t *protocol_measures(protocol_reader *r, const char *member)
{
    json_t *list = json_object_get(r->member.json, member), *op;
    size_t i;
    if (!json_is_array(list)) json_complain(&r->member, member, "a list", list);
    json_array_foreach(list, i, op)
    {
        if (!is_measure_of_op(op))
            json_complain(&r->member, member,
                          "a list of objects with op, implementation, launches, and numbers "
                          "of at least 0 for sizes, flops, bytes and seconds",
                          op);
    }
    return list;
}

static bool is_shape(const json_t *list)
{
    size_t i;
    json_t *dim;
    json_array_foreach(list, i, dim) if (!is_count(dim)) return false;
    return json_is_array(list);
}

/* What tells which workload of the ladder a model is. */
static void protocol_read_shapes(protocol_reader *r, protocol_answer *answer)
{
    size_t i;
    json_t *weight;
    answer->weights = json_object_get(r->member.json, "weights");
    answer->input = json_object_get(r->member.json, "input");
    json_array_foreach(answer->weights, i, weight)
    {
        if (!json_is_string(json_object_get(weight, "name")) ||
            !is_shape(json_object_get(weight, "shape")))
            json_complain(&r->member, "weights", "a list of objects with name and shape", weight);
    }
    if (answer->weights && !json_is_array(answer->weights))
        json_complain(&r->member, "weights", "a list", answer->weights);
    if (answer->input && !is_shape(answer->input))
        json_complain(&r->member, "input", "a list of sizes", answer->input);
}

static void protocol_read_judgement(protocol_reader *r, protocol_answer *answer)
{
    json_t *distances = json_object_get(r->member.json, "moved");
    json_t *gradients = json_object_get(distances, "gradients");
    json_t *losses = json_object_get(distances, "losses");
    answer->draws = json_read_text(&r->member, "draws");
    if (!json_is_number(gradients) || !json_is_number(losses))
        json_complain(&r->member, "moved", "an object of the numbers gradients and losses",
                      distances);
    answer->moved_gradients = json_number_value(gradients);
    answer->moved_losses = json_number_value(losses);
    protocol_read_shapes(r, answer);
}

static void protocol_read(protocol_reader *r, const protocol_call *call, protocol_answer *answer)
{
    switch (call->request) {
    case PROTOCOL_HELLO:
        protocol_read_hello(r, answer);
        break;
    case PROTOCOL_PREPARE:
        protocol_read_prepare(r, answer);
        break;
    case PROTOCOL_RUN:
        protocol_read_run(r, call, answer);
        break;
    case PROTOCOL_SYNC:
        answer->wall_ns = json_read_integer(&r->member, "wall_ns", 0, INT64_MAX);
        break;
    case PROTOCOL_PARITY:
        answer->steps = json_read_integer(&r->member, "steps", call->steps, call->steps);
        if (call->judge) protocol_read_judgement(r, answer);
        break;
    case PROTOCOL_EVALUATE:
        answer->count = json_read_integer(&r->member, "count", 1, INT64_MAX);
        answer->correct = json_read_integer(&r->member, "correct", 0, answer->count);
        answer->loss = json_read_real(&r->member, "loss", -INFINITY);
        break;
    case PROTOCOL_PHASES:
        protocol_read_phases(r, call, answer);
        break;
    case PROTOCOL_CALIBRATE:
        answer->ops = protocol_measures(r, "ops");
        answer->points = protocol_measures(r, "points");
        break;
    case PROTOCOL_REFERENCE:
        answer->wall_ns = json_read_integer(&r->member, "wall_ns", 1, INT64_MAX);
        break;
    case PROTOCOL_MEASURE:
        answer->limits = json_object_get(r->member.json, "limits");
        if (!json_is_object(answer->limits))
            json_complain(&r->member, "limits", "an object", answer->limits);
        break;
    case PROTOCOL_EXPORT:
    case PROTOCOL_QUIT:
        break;
    }
}

/* The status and text of {"ok": false}. */
static be_status protocol_refusal(protocol_reader *r)
{
    const char *name = json_read_text(&r->member, "status");
    const char *text = json_read_text(&r->member, "error");
    if (r->member.status != BE_OK) return r->member.status;
    int status = status_find(name);
    if (status >= BE_FAILED && status <= BE_NO_MEMORY) {
        char clean[sizeof r->member.err->text - 100];
        r->refused = true;
        text_clean(text, strlen(text), true, clean, sizeof clean);
        FAIL(r->member.err, (be_status)status, "%s: %s", r->request, clean);
    }
    json_complain(&r->member, "status",
                  "one of FAILED BAD_DATA IO DRIVER USAGE UNAVAILABLE NUMERIC NO_MEMORY",
                  json_object_get(r->member.json, "status"));
    return r->member.status;
}

static be_status parse_line(json_t **out, const char *line, size_t length, const char *about,
                            be_error *err)
{
    json_source source = {.name = about,
                          .expected = "one JSON object on the line",
                          .next = "a runner may write nothing else to its standard output"};
    char text[PROTOCOL_SHOWN];
    TRY(json_parse(out, line, length, &source, err));
    if (json_is_object(*out)) return BE_OK;
    json_found(*out, text, sizeof text);
    json_decref(*out);
    FAIL(err, BE_BAD_DATA, "%s: expected %s, found %s; %s", about, source.expected, text,
         source.next);
}

be_status protocol_parse(const protocol_call *call, const char *line, size_t length,
                         protocol_answer *answer, be_error *err)
{
    *answer = (protocol_answer){.loss = NAN};
    const char *request = protocol_names[call->request];
    char about[40];
    json_t *json = NULL;
    snprintf(about, sizeof about, "answer to %s", request);
    TRY(parse_line(&json, line, length, about, err));
    protocol_reader reader = {.request = request,
                              .member = {.json = json,
                                         .about = about,
                                         .next = "the runner breaks the protocol "
                                                 "(docs/runner-protocol.md)",
                                         .fault = BE_BAD_DATA,
                                         .err = err}};
    json_t *ok = json_object_get(json, "ok");
    if (!json_is_boolean(ok))
        json_complain(&reader.member, "ok", "true or false", ok);
    else if (json_is_true(ok))
        protocol_read(&reader, call, answer);
    else
        reader.member.status = protocol_refusal(&reader);
    answer->json = json;
    if (reader.member.status != BE_OK) protocol_answer_clear(answer);
    answer->refused = reader.refused;
    return reader.member.status;
}

void protocol_answer_clear(protocol_answer *answer)
{
    json_decref(answer->json);
    *answer = (protocol_answer){.loss = NAN};
}

bool protocol_is_answer(const char *line, size_t length)
{
    if (length == 0 || line[0] != '{') return false;
    json_t *json = json_loadb(line, length, 0, NULL);
    bool is = json_is_boolean(json_object_get(json, "ok"));
    json_decref(json);
    return is;
}
