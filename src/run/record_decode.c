/* See record_decode.h. */
#include "run/record_decode.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "protocol/protocol.h"
#include "run/record.h"

#define LONGEST_S 1e6 /* eleven days */
#define SHORTEST_S 1e-9
#define BYTES_MAX 1e18
#define ROUNDING 1e-6 /* of numbers written with nine digits */

typedef enum field_type { FIELD_TEXT, FIELD_REAL, FIELD_COUNT } field_type;

/* KNOWN must have a value; OPEN may be null, or missing where `json` is older than the member. */
typedef enum field_need { FIELD_KNOWN, FIELD_OPEN } field_need;

typedef struct field {
    const char *path;
    size_t offset;
    field_type type;
    double least, most;
    field_need need;
} field;

/* member, where it goes, type, least, most, need */
#define FIELD_LIST(X)                                                        \
    X("schema", schema, COUNT, RECORD_SCHEMA, RECORD_SCHEMA, KNOWN)          \
    X("workload", workload, TEXT, 0, 0, KNOWN)                               \
    X("mode", mode, TEXT, 0, 0, KNOWN)                                       \
    X("precision", precision, TEXT, 0, 0, OPEN)                              \
    X("data_on", data_on, TEXT, 0, 0, OPEN)                                  \
    X("engine", engine, TEXT, 0, 0, KNOWN)                                   \
    X("device", device, TEXT, 0, 0, KNOWN)                                   \
    X("device_name", device_name, TEXT, 0, 0, OPEN)                          \
    X("status", status_word, TEXT, 0, 0, KNOWN)                              \
    X("error", error, TEXT, 0, 0, OPEN)                                      \
    X("data", data, TEXT, 0, 0, OPEN)                                        \
    X("threads", threads, COUNT, 0, 65536, OPEN)                             \
    X("asked.threads", asked_threads, COUNT, 0, 65536, OPEN)                 \
    X("batch", batch, COUNT, 1, 1e9, KNOWN)                                  \
    X("width", width, COUNT, 1, 64, OPEN)                                    \
    X("size", size, COUNT, 1, 65536, OPEN)                                   \
    X("data_count", data_count, COUNT, 1, 1e12, OPEN)                        \
    X("peak_rss_bytes", peak_rss_bytes, COUNT, 0, BYTES_MAX, OPEN)           \
    X("device_memory_bytes", device_memory_bytes, COUNT, 0, BYTES_MAX, OPEN) \
    X("step_s.median", step_s.point, REAL, SHORTEST_S, LONGEST_S, OPEN)      \
    X("step_s.low", step_s.low, REAL, SHORTEST_S, LONGEST_S, OPEN)           \
    X("step_s.high", step_s.high, REAL, SHORTEST_S, LONGEST_S, OPEN)         \
    X("samples_per_s", samples_per_s, REAL, 1e-9, 1e18, OPEN)                \
    X("start_s", start_s, REAL, 0, LONGEST_S, OPEN)                          \
    X("prepare_s", prepare_s, REAL, 0, LONGEST_S, OPEN)                      \
    X("first_step_s", first_step_s, REAL, 0, LONGEST_S, OPEN)                \
    X("energy_per_step_j", energy_per_step_j, REAL, 0, 1e12, OPEN)           \
    X("environment.cpu.model", machine.cpu, TEXT, 0, 0, OPEN)                \
    X("environment.cpu.threads", machine.threads, COUNT, 1, 1e6, KNOWN)      \
    X("environment.memory_bytes", machine.memory_bytes, COUNT, 1, BYTES_MAX, OPEN)

static const field fields[] = {
#define X(path, member, type, least, most, need) \
    {path, offsetof(record_measured, member), FIELD_##type, least, most, FIELD_##need},
    FIELD_LIST(X)
#undef X
};

const char *record_place_text(const record_place *place, char out[300])
{
    int used = snprintf(out, 300, "%.200s, %s %zu", place->file, place->unit, place->number);
    if (place->contender)
        snprintf(out + used, 300 - (size_t)used, ", contender %zu", place->contender);
    return out;
}

/* ---------------------------------------------------------------- members */

static be_status refuse(const record_measured *r, const char *path, const char *expected,
                        const json_t *value, be_error *err)
{
    char place[300], found[64];
    FAIL(err, BE_BAD_DATA,
         "%s, member \"%s\": expected %s, found %s; measure again, or leave that record out",
         record_place_text(&r->place, place), path, expected,
         json_found(value, found, sizeof found));
}

static be_status refuse_field(const record_measured *r, const field *f, const json_t *value,
                              be_error *err)
{
    char expected[120];
    if (f->type == FIELD_TEXT)
        snprintf(expected, sizeof expected, "a text");
    else if (f->least >= f->most)
        snprintf(expected, sizeof expected, "%.15g", f->least);
    else
        snprintf(expected, sizeof expected, "a %snumber from %.15g to %.15g",
                 f->type == FIELD_COUNT ? "whole " : "", f->least, f->most);
    return refuse(r, f->path, expected, value, err);
}

static bool in_range(const field *f, double value)
{
    return value >= f->least && value <= f->most;
}

static bool take_member(const field *f, const json_t *value, void *to)
{
    if (f->type == FIELD_TEXT && json_is_string(value)) {
        *(const char **)to = json_string_value(value);
        return *json_string_value(value) || f->need == FIELD_OPEN;
    }
    if (f->type == FIELD_COUNT && json_is_integer(value)) {
        *(int64_t *)to = json_integer_value(value);
        return in_range(f, (double)json_integer_value(value));
    }
    if (f->type == FIELD_REAL && json_is_number(value)) {
        *(double *)to = json_number_value(value);
        return in_range(f, json_number_value(value));
    }
    return false;
}

static void set_unknown(const field *f, void *to)
{
    if (f->type == FIELD_TEXT) *(const char **)to = "";
    if (f->type == FIELD_COUNT) *(int64_t *)to = -1;
    if (f->type == FIELD_REAL) *(double *)to = NAN;
}

static be_status read_fields(const json_t *json, const json_t *environment, record_measured *out,
                             be_error *err)
{
    static const char outer[] = "environment.";
    const json_t *own = json_object_get(json, "environment");
    if (own && !json_is_null(own)) environment = own;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const field *f = &fields[i];
        void *to = (char *)out + f->offset;
        bool of_machine = strncmp(f->path, outer, sizeof outer - 1) == 0;
        const json_t *value =
            of_machine ? json_at(environment, f->path + sizeof outer - 1) : json_at(json, f->path);
        set_unknown(f, to);
        bool none = !value || json_is_null(value);
        if (none ? f->need == FIELD_KNOWN : !take_member(f, value, to))
            return refuse_field(out, f, value, err);
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- together */

static be_status read_status(const json_t *json, record_measured *out, be_error *err)
{
    int s = status_find(out->status_word);
    if (s < 0)
        return refuse(out, "status", "OK or the name of a failure", json_object_get(json, "status"),
                      err);
    out->status = (be_status)s;
    if (out->status == BE_OK && *out->error)
        return refuse(out, "error", "none beside the status OK", json_object_get(json, "error"),
                      err);
    return BE_OK;
}

/* Bounds lie around the median, and the speed follows from it. */
static be_status check_times(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *step = json_object_get(json, "step_s");
    if (isnan(r->step_s.point))
        return refuse(r, "step_s.median", "a time beside the status OK",
                      json_object_get(step, "median"), err);
    if (r->step_s.low > r->step_s.point || r->step_s.high < r->step_s.point)
        return refuse(r, "step_s", "low, median and high in this order", step, err);
    double speed = (double)r->batch / r->step_s.point;
    if (fabs(r->samples_per_s - speed) > ROUNDING * speed)
        return refuse(r, "samples_per_s", "the batch by the median of step_s",
                      json_object_get(json, "samples_per_s"), err);
    return BE_OK;
}

/* Every block is a time. */
static be_status check_blocks(const json_t *json, const record_measured *r, be_error *err)
{
    const json_t *blocks = json_object_get(json, "blocks");
    double least = INFINITY, most = 0;
    size_t i;
    json_t *block;
    if (!blocks || json_is_null(blocks)) return BE_OK;
    if (!json_is_array(blocks)) return refuse(r, "blocks", "a list of times", blocks, err);
    json_array_foreach(blocks, i, block)
    {
        double seconds = json_is_number(block) ? json_number_value(block) : (double)NAN;
        if (!(seconds >= SHORTEST_S && seconds <= LONGEST_S))
            return refuse(r, "blocks", "times of 1e-09 to 1e+06 seconds alone", block, err);
        least = fmin(least, seconds);
        most = fmax(most, seconds);
    }
    bool outside =
        r->step_s.point < least * (1 - ROUNDING) || r->step_s.point > most * (1 + ROUNDING);
    if (json_array_size(blocks) && outside)
        return refuse(r, "blocks", "times around the median of step_s", blocks, err);
    return BE_OK;
}

be_status record_decode(const json_t *json, const json_t *environment, const record_place *place,
                        record_measured *out, be_error *err)
{
    *out = (record_measured){.json = json, .place = *place};
    if (!json_is_object(json)) return refuse(out, "", "a record (an object)", json, err);
    TRY(read_fields(json, environment, out, err));
    TRY(read_status(json, out, err));
    const json_t *program = json_at(json, "asked.program");
    out->program = json_is_array(program) ? program : NULL;
    bool speed = !json_is_true(json_object_get(json, "computes_nothing"));
    if (out->status == BE_OK && speed) {
        TRY(check_times(json, out, err));
        return check_blocks(json, out, err);
    }
    out->step_s = (stats_interval){NAN, NAN, NAN};
    return BE_OK;
}
