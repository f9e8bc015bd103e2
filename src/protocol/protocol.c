/* Requests to lines, lines to answers. */
#include "protocol/protocol.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "breakeven/plan.h"
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
        return json_pack("{s:s, s:I, s:s}", "op", name, "steps", steps, "out", call->path);
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
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    size_t length = text ? strlen(text) : 0;
    char *ended = text ? realloc(text, length + 2) : NULL;
    if (!ended) {
        free(text);
        FAIL(err, BE_NO_MEMORY, "%s: no memory left for the request",
             protocol_names[call->request]);
    }
    memcpy(ended + length, "\n", 2);
    *line = ended;
    return BE_OK;
}

/* ----------------------------------------------------------------- answers */

/* Length of the UTF-8 character at p (of n bytes), or 0 if there is none. */
static size_t protocol_utf8(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    size_t length = p[0] >= 0xC2 && p[0] < 0xE0   ? 2
                    : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
                    : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                                  : 0;
    if (length == 0 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0, beyond = p[0] == 0xF4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

char *protocol_clean_text(const char *text, size_t length, bool lines, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t used = 0, at = 0;
    while (at < length) {
        size_t wide = protocol_utf8(p + at, length - at), bytes = wide ? wide : 1;
        if (used + bytes >= size) break;
        bool newline = p[at] == '\n', blank = p[at] == '\t' || p[at] == '\r' || newline;
        bool control = p[at] < 0x20 || p[at] == 0x7F || (p[at] == 0xC2 && wide && p[at + 1] < 0xA0);
        if (newline && lines)
            out[used++] = '\n';
        else if (blank)
            out[used++] = ' ';
        else if (control || !wide)
            out[used++] = '?';
        else
            for (size_t i = 0; i < bytes; i++) out[used++] = (char)p[at + i];
        at += bytes;
    }
    out[used] = 0;
    return out;
}

/* A reader of members that keeps the first complaint. */
typedef struct protocol_reader {
    const char *request;
    const json_t *json;
    be_error *err;
    be_status status;
    bool refused; /* a proper {"ok": false} */
} protocol_reader;

static void protocol_complain(protocol_reader *r, const char *member, const char *wanted,
                              const json_t *found)
{
    if (r->status != BE_OK) return;
    char *text = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char shown[PROTOCOL_SHOWN];
    protocol_clean_text(text ? text : "nothing", text ? strlen(text) : 7, false, shown,
                        sizeof shown);
    free(text);
    r->status = status_fail(r->err, __FILE__, __LINE__, BE_BAD_DATA,
                            "answer to %s: expected \"%s\" to be %s, found %s; the runner breaks "
                            "the protocol (docs/runner-protocol.md)",
                            r->request, member, wanted, shown);
}

static const char *protocol_string(protocol_reader *r, const char *member)
{
    json_t *value = json_object_get(r->json, member);
    if (!json_is_string(value)) protocol_complain(r, member, "a string", value);
    return json_string_value(value);
}

static int64_t protocol_integer(protocol_reader *r, const char *member, int64_t least, int64_t most)
{
    json_t *value = json_object_get(r->json, member);
    if (json_is_integer(value) && json_integer_value(value) >= least &&
        json_integer_value(value) <= most)
        return json_integer_value(value);
    char wanted[96];
    if (least == most)
        snprintf(wanted, sizeof wanted, "%" PRId64, least);
    else if (most == INT64_MAX)
        snprintf(wanted, sizeof wanted, "an integer of at least %" PRId64, least);
    else
        snprintf(wanted, sizeof wanted, "an integer from %" PRId64 " to %" PRId64, least, most);
    protocol_complain(r, member, wanted, value);
    return least;
}

/* A number, or NAN for null, which is how JSON says it. */
static double protocol_number(protocol_reader *r, const char *member)
{
    json_t *value = json_object_get(r->json, member);
    if (!json_is_number(value) && !json_is_null(value))
        protocol_complain(r, member, "a number or null", value);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static json_t *protocol_strings(protocol_reader *r, const char *member)
{
    json_t *value = json_object_get(r->json, member), *item;
    const char *key, *wanted = "an object of strings";
    if (!json_is_object(value)) protocol_complain(r, member, wanted, value);
    json_object_foreach(value, key, item)
    {
        if (!json_is_string(item)) protocol_complain(r, member, wanted, value);
    }
    return value;
}

static void protocol_read_hello(protocol_reader *r, protocol_answer *answer)
{
    protocol_integer(r, "schema", PROTOCOL_SCHEMA, PROTOCOL_SCHEMA);
    answer->engine = protocol_string(r, "engine");
    answer->version = protocol_string(r, "version");
    answer->libraries = protocol_strings(r, "libraries");
    answer->devices = json_object_get(r->json, "devices");
    const char *wanted = "a list of objects with the strings id and name";
    if (!json_is_array(answer->devices)) protocol_complain(r, "devices", wanted, answer->devices);
    size_t i;
    json_t *device;
    json_array_foreach(answer->devices, i, device)
    {
        if (!json_is_string(json_object_get(device, "id")) ||
            !json_is_string(json_object_get(device, "name")))
            protocol_complain(r, "devices", wanted, answer->devices);
    }
}

static void protocol_read_prepare(protocol_reader *r, protocol_answer *answer)
{
    answer->parameters = protocol_integer(r, "parameters", 0, INT64_MAX);
    if (json_object_get(r->json, "launches"))
        answer->launches = protocol_integer(r, "launches", 0, INT64_MAX);
    bool told = json_object_get(r->json, "device_bytes");
    answer->device_bytes = told ? protocol_integer(r, "device_bytes", 0, INT64_MAX) : -1;
    answer->device_name = protocol_string(r, "device_name");
    answer->implementation = protocol_string(r, "implementation");
    answer->precision = protocol_string(r, "precision");
    answer->threads = (int)protocol_integer(r, "threads", 1, INT32_MAX);
    answer->prepare_ns = protocol_integer(r, "prepare_ns", 0, INT64_MAX);
    answer->warnings = json_object_get(r->json, "warnings");
    if (!answer->warnings) return;
    if (!json_is_array(answer->warnings))
        protocol_complain(r, "warnings", "a list of strings", answer->warnings);
    size_t i;
    json_t *warning;
    json_array_foreach(answer->warnings, i, warning)
    {
        if (!json_is_string(warning))
            protocol_complain(r, "warnings", "a list of strings", answer->warnings);
    }
}

static void protocol_read_run(protocol_reader *r, const protocol_call *call,
                              protocol_answer *answer)
{
    answer->steps = protocol_integer(r, "steps", call->steps, call->steps);
    answer->wall_ns = protocol_integer(r, "wall_ns", 1, INT64_MAX);
    answer->loss = protocol_number(r, "loss");
    if (!call->losses) return;
    answer->losses = json_object_get(r->json, "losses");
    const char *wanted = "a list of numbers or nulls, one for each step";
    if (!json_is_array(answer->losses) || (int64_t)json_array_size(answer->losses) != call->steps)
        protocol_complain(r, "losses", wanted, answer->losses);
    size_t i;
    json_t *loss;
    json_array_foreach(answer->losses, i, loss)
    {
        if (!json_is_number(loss) && !json_is_null(loss))
            protocol_complain(r, "losses", wanted, answer->losses);
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
    const json_t *value = json_object_get(r->json, member);
    if (!is_count_or_null(value))
        protocol_complain(r, member, "an integer of at least 0, or null", value);
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
    json_t *phases = json_object_get(r->json, "phases");
    bool good = json_object_size(phases) == BE_PHASE_COUNT;
    for (int p = 0; p < BE_PHASE_COUNT; p++)
        good = good && is_count_or_null(json_object_get(phases, protocol_phases[p]));
    if (!good)
        protocol_complain(r, "phases",
                          "an object with data, upload, forward, backward, optimizer, loss_read, "
                          "idle_host and idle_other, each an integer of at least 0 or null",
                          phases);
    return phases;
}

static json_t *protocol_work(protocol_reader *r)
{
    json_t *work = json_object_get(r->json, "work"), *item;
    const char *device, *wanted = "an object of objects with launches and busy_ns";
    if (!json_is_object(work)) protocol_complain(r, "work", wanted, work);
    json_object_foreach(work, device, item)
    {
        if (!is_count(json_object_get(item, "launches")) ||
            !is_count_or_null(json_object_get(item, "busy_ns")))
            protocol_complain(r, "work", wanted, work);
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
    json_t *ops = json_object_get(r->json, "ops"), *op;
    size_t i;
    if (!json_is_array(ops)) protocol_complain(r, "ops", "a list", ops);
    json_array_foreach(ops, i, op)
    {
        if (!is_op(op))
            protocol_complain(r, "ops",
                              "a list of objects with op, name, phase, implementation, launches, "
                              "ns, flops and bytes",
                              op);
    }
    return ops;
}

static void protocol_read_phases(protocol_reader *r, const protocol_call *call,
                                 protocol_answer *answer)
{
    answer->steps = protocol_integer(r, "steps", call->steps, call->steps);
    answer->wall_ns = protocol_integer(r, "wall_ns", 1, INT64_MAX);
    answer->phases = protocol_phase_times(r);
    answer->launches = protocol_known(r, "launches");
    answer->synchronisations = protocol_known(r, "synchronisations");
    answer->upload_bytes = protocol_known(r, "upload_bytes");
    answer->download_bytes = protocol_known(r, "download_bytes");
    answer->work = protocol_work(r);
    answer->ops = protocol_ops(r);
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
    json_t *list = json_object_get(r->json, member), *op;
    size_t i;
    if (!json_is_array(list)) protocol_complain(r, member, "a list", list);
    json_array_foreach(list, i, op)
    {
        if (!is_measure_of_op(op))
            protocol_complain(r, member,
                              "a list of objects with op, implementation, launches, and numbers "
                              "of at least 0 for sizes, flops, bytes and seconds",
                              op);
    }
    return list;
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
        answer->wall_ns = protocol_integer(r, "wall_ns", 0, INT64_MAX);
        break;
    case PROTOCOL_PARITY:
        answer->steps = protocol_integer(r, "steps", call->steps, call->steps);
        break;
    case PROTOCOL_EVALUATE:
        answer->count = protocol_integer(r, "count", 1, INT64_MAX);
        answer->correct = protocol_integer(r, "correct", 0, answer->count);
        answer->loss = protocol_number(r, "loss");
        break;
    case PROTOCOL_PHASES:
        protocol_read_phases(r, call, answer);
        break;
    case PROTOCOL_CALIBRATE:
        answer->ops = protocol_measures(r, "ops");
        answer->points = protocol_measures(r, "points");
        break;
    case PROTOCOL_REFERENCE:
        answer->wall_ns = protocol_integer(r, "wall_ns", 1, INT64_MAX);
        break;
    case PROTOCOL_MEASURE:
        answer->limits = json_object_get(r->json, "limits");
        if (!json_is_object(answer->limits))
            protocol_complain(r, "limits", "an object", answer->limits);
        break;
    case PROTOCOL_EXPORT:
    case PROTOCOL_QUIT:
        break;
    }
}

/* The status and text of {"ok": false}. */
static be_status protocol_refusal(protocol_reader *r)
{
    static const char *const names[] = {
#define X(name, exit_code, text) #name,
        BE_STATUS_LIST(X)
#undef X
    };
    const char *name = protocol_string(r, "status"), *text = protocol_string(r, "error");
    if (r->status != BE_OK) return r->status;
    for (be_status s = BE_FAILED; s <= BE_NO_MEMORY; s++) {
        if (strcmp(name, names[s])) continue;
        r->refused = true;
        char clean[sizeof r->err->text - 100];
        protocol_clean_text(text, strlen(text), true, clean, sizeof clean);
        FAIL(r->err, s, "%s: %s", r->request, clean);
    }
    protocol_complain(r, "status",
                      "one of FAILED BAD_DATA IO DRIVER USAGE UNAVAILABLE NUMERIC "
                      "NO_MEMORY",
                      json_object_get(r->json, "status"));
    return r->status;
}

be_status protocol_parse(const protocol_call *call, const char *line, size_t length,
                         protocol_answer *answer, be_error *err)
{
    *answer = (protocol_answer){.loss = NAN};
    const char *request = protocol_names[call->request];
    json_error_t problem;
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(json)) {
        char shown[PROTOCOL_SHOWN], why[sizeof problem.text] = "not an object";
        protocol_clean_text(line, length, false, shown, sizeof shown);
        if (!json) protocol_clean_text(problem.text, strlen(problem.text), false, why, sizeof why);
        json_decref(json);
        FAIL(err, BE_BAD_DATA,
             "answer to %s: expected one JSON object on the line, found %zu bytes beginning with "
             "'%s' (%s); a runner may write nothing else to its standard output",
             request, length, shown, why);
    }
    protocol_reader reader = {.request = request, .json = json, .err = err, .status = BE_OK};
    json_t *ok = json_object_get(json, "ok");
    if (!json_is_boolean(ok))
        protocol_complain(&reader, "ok", "true or false", ok);
    else if (json_is_true(ok))
        protocol_read(&reader, call, answer);
    else
        reader.status = protocol_refusal(&reader);
    answer->json = json;
    if (reader.status != BE_OK) protocol_answer_clear(answer);
    answer->refused = reader.refused;
    return reader.status;
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
