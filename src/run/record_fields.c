/* See record_fields.h. */
#include "run/record_fields.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/text.h"

#define LONGEST_S 1e6 /* eleven days */
#define SHORTEST_S 1e-9
#define BYTES_MAX 1e18
#define COUNT_MAX 9.2e18
#define REAL_MAX 1.7e308
#define TEXT_BYTES 2048 /* of a text in a record at most */

const char record_unknown[1] = "";

/* GROUP is an object whose members follow, or null; WORD a status by its name; JSON stands as it
 * is. */
typedef enum field_type {
    FIELD_TEXT,
    FIELD_REAL,
    FIELD_COUNT,
    FIELD_TRUTH,
    FIELD_TIME,
    FIELD_WORD,
    FIELD_GROUP,
    FIELD_JSON
} field_type;

/* KNOWN must have a value; OPEN may be null, or missing where `json` is older than the member.
 * LATER is added to the record by others, or is a part of one: it is read, not written. */
typedef enum field_need { FIELD_KNOWN, FIELD_OPEN, FIELD_LATER } field_need;

typedef struct field {
    const char *path;
    size_t offset;
    field_type type;
    double least, most;
    field_need need;
} field;

/* The name of a member in C is its path in JSON. */
#define FIELD(path, member, ...)                             \
    {                                                        \
        path, offsetof(record_measured, member), __VA_ARGS__ \
    }
#define TEXT(member, need) FIELD(#member, member, FIELD_TEXT, 0, 0, need)
#define REAL(member, least, most) FIELD(#member, member, FIELD_REAL, least, most, FIELD_OPEN)
#define COUNT(member, least, most, need) FIELD(#member, member, FIELD_COUNT, least, most, need)
#define OTHER(member, type, need) FIELD(#member, member, FIELD_##type, 0, 0, need)
#define GROUP(member) FIELD(#member, member.is_known, FIELD_GROUP, 0, 0, FIELD_OPEN)
#define ANY_REAL(member) REAL(member, -REAL_MAX, REAL_MAX)
#define ANY_COUNT(member) COUNT(member, 0, COUNT_MAX, FIELD_OPEN)

/* In the order in which they are written; ranges bind what others build on. */
static const field fields[] = {
    COUNT(schema, RECORD_SCHEMA, RECORD_SCHEMA, FIELD_KNOWN),
    TEXT(kind, FIELD_OPEN),
    OTHER(time, TIME, FIELD_OPEN),
    TEXT(workload, FIELD_KNOWN),
    TEXT(engine, FIELD_KNOWN),
    TEXT(engine_version, FIELD_OPEN),
    TEXT(device, FIELD_KNOWN),
    TEXT(device_name, FIELD_OPEN),
    TEXT(implementation, FIELD_OPEN),
    COUNT(threads, 0, 65536, FIELD_OPEN),
    TEXT(processors, FIELD_OPEN),
    COUNT(batch, 1, 1e9, FIELD_KNOWN),
    TEXT(precision, FIELD_OPEN),
    TEXT(data_on, FIELD_OPEN),
    COUNT(accumulate, 1, 65536, FIELD_OPEN),
    TEXT(mode, FIELD_KNOWN),
    ANY_COUNT(seed),
    TEXT(data, FIELD_OPEN),
    ANY_COUNT(params),
    ANY_COUNT(launches),
    TEXT(launch_order, FIELD_OPEN),
    ANY_REAL(flops_per_step),
    ANY_REAL(bytes_per_step),
    OTHER(computes_nothing, TRUTH, FIELD_OPEN),
#define X(id, member, before, after, most, ...) COUNT(member, 1, most, FIELD_OPEN),
    WORKLOAD_VARIANT_LIST(X)
#undef X
        OTHER(status, WORD, FIELD_KNOWN),
    TEXT(error, FIELD_OPEN),
    REAL(step_s.median, SHORTEST_S, LONGEST_S),
    REAL(step_s.low, SHORTEST_S, LONGEST_S),
    REAL(step_s.high, SHORTEST_S, LONGEST_S),
    ANY_REAL(step_s.minimum),
    ANY_REAL(step_s.p05),
    ANY_REAL(step_s.p25),
    ANY_REAL(step_s.p75),
    ANY_REAL(step_s.p95),
    ANY_REAL(step_s.maximum),
    ANY_REAL(step_s.spread),
    ANY_COUNT(step_s.count),
    REAL(samples_per_s, 1e-9, 1e18),
    TEXT(title, FIELD_OPEN),
    TEXT(yardstick, FIELD_OPEN),
    TEXT(unit, FIELD_OPEN),
    REAL(units_per_s, 1e-9, 1e24),
    ANY_REAL(flops_per_s),
    REAL(start_s, 0, LONGEST_S),
    REAL(prepare_s, 0, LONGEST_S),
    REAL(first_step_s, 0, LONGEST_S),
    ANY_COUNT(block_steps),
    OTHER(blocks, JSON, FIELD_OPEN),
    TEXT(stop_reason, FIELD_OPEN),
    ANY_REAL(first_loss),
    ANY_REAL(last_loss),
    ANY_REAL(busy_threads),
    REAL(energy_per_step_j, 0, 1e12),
    TEXT(energy_sensor, FIELD_OPEN),
    COUNT(peak_rss_bytes, 0, BYTES_MAX, FIELD_OPEN),
    COUNT(device_memory_bytes, 0, BYTES_MAX, FIELD_OPEN),
    TEXT(log, FIELD_OPEN),
    OTHER(warnings, JSON, FIELD_OPEN),
    OTHER(warned, JSON, FIELD_OPEN),
    GROUP(reference_s),
    ANY_REAL(reference_s.best),
    ANY_REAL(reference_s.median),
    ANY_REAL(reference_s.worst),
    ANY_COUNT(throttled_blocks),
    ANY_REAL(waited_s),
    ANY_REAL(burst_step_s),
    ANY_REAL(sustained_step_s),
    GROUP(parity),
    ANY_REAL(parity.error),
    TEXT(parity.tensor, FIELD_OPEN),
    ANY_REAL(parity.band),
    ANY_COUNT(parity.steps),
    ANY_COUNT(parity.batch),
    ANY_COUNT(parity.unproven),
    TEXT(parity.unproven_tensor, FIELD_OPEN),
    OTHER(proof.work, JSON, FIELD_OPEN),
    ANY_COUNT(proof.work_steps),
    ANY_REAL(proof.busy_threads),
    ANY_REAL(proof.of_peak),
    ANY_REAL(proof.of_bandwidth),
    TEXT(asked.engine, FIELD_OPEN),
    TEXT(asked.device, FIELD_OPEN),
    COUNT(asked.threads, 0, 65536, FIELD_OPEN),
    ANY_COUNT(asked.batch),
    TEXT(asked.precision, FIELD_OPEN),
    TEXT(asked.precisions, FIELD_OPEN),
    TEXT(asked.data_on, FIELD_OPEN),
    TEXT(asked.mode, FIELD_OPEN),
    TEXT(asked.optimizer.name, FIELD_OPEN),
    ANY_REAL(asked.optimizer.lr),
    ANY_REAL(asked.optimizer.momentum),
    ANY_REAL(asked.optimizer.weight_decay),
    ANY_REAL(asked.optimizer.beta1),
    ANY_REAL(asked.optimizer.beta2),
    ANY_REAL(asked.optimizer.epsilon),
    OTHER(asked.program, JSON, FIELD_OPEN),
    GROUP(versus),
    TEXT(versus.engine, FIELD_OPEN),
    TEXT(versus.device, FIELD_OPEN),
    ANY_COUNT(versus.threads),
    ANY_COUNT(versus.batch),
    ANY_REAL(versus.ratio),
    ANY_REAL(versus.low),
    ANY_REAL(versus.high),
    TEXT(versus.verdict, FIELD_OPEN),
    TEXT(versus.reason, FIELD_OPEN),
    OTHER(libraries, JSON, FIELD_OPEN),
    ANY_REAL(other_load),
    ANY_REAL(steal),
    FIELD("environment", environment.json, FIELD_JSON, 0, 0, FIELD_OPEN),
    TEXT(environment.cpu.model, FIELD_LATER),
    COUNT(environment.cpu.threads, 1, 1e6, FIELD_KNOWN),
    COUNT(environment.memory_bytes, 1, BYTES_MAX, FIELD_LATER),
    COUNT(environment.cpu.cores, 0, 1e6, FIELD_LATER),
    TEXT(environment.system, FIELD_LATER),
    TEXT(environment.build.version, FIELD_LATER),
    TEXT(environment.build.commit, FIELD_LATER),
    OTHER(environment.warnings, JSON, FIELD_LATER),
    TEXT(data_source, FIELD_LATER),
    COUNT(data_count, 1, 1e12, FIELD_LATER),
    COUNT(epochs, 0, COUNT_MAX, FIELD_LATER),
    OTHER(phases_s, JSON, FIELD_LATER),
    TEXT(side, FIELD_LATER),
    TEXT(setting, FIELD_LATER),
};

#define FIELD_COUNT_ALL (sizeof fields / sizeof *fields)

static bool begins_with(const char *path, const char *start)
{
    return strncmp(path, start, strlen(start)) == 0;
}

static bool is_of_environment(const field *f)
{
    return begins_with(f->path, "environment.");
}

bool record_has_path(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < FIELD_COUNT_ALL; i++) {
        const field *f = &fields[i];
        size_t own = strlen(f->path);
        bool part =
            strncmp(f->path, path, length) == 0 && (!f->path[length] || f->path[length] == '.');
        bool inside = f->type == FIELD_JSON && strncmp(f->path, path, own) == 0 && path[own] == '.';
        if (part || inside) return true;
    }
    return false;
}

int64_t *record_variant_at(record_measured *record, workload_dimension dimension)
{
    switch (dimension) {
#define X(id, member, ...) \
    case WORKLOAD_##id:    \
        return &record->member;
        WORKLOAD_VARIANT_LIST(X)
#undef X
    case WORKLOAD_DIMENSIONS:
        break;
    }
    MUST(!"a dimension of variants");
    return NULL;
}

void record_take_variant(record_measured *r, const workload_variant *variant)
{
    const workload *w = NULL;
    int own = r->workload && workload_find(r->workload, &w, NULL) == BE_OK ? w->own.width : 0;
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++) {
        workload_dimension d = (workload_dimension)i;
        int value = workload_variant_get(variant, d);
        if (d == WORKLOAD_WIDTH && !value) value = own;
        *record_variant_at(r, d) = value ? value : -1;
    }
}

void record_take_rate(record_measured *r, const workload_variant *variant)
{
    const workload *w = NULL;
    if (r->workload && workload_is_file(r->workload)) {
        r->unit = "sample";
        r->units_per_s = r->samples_per_s;
    }
    if (!r->workload || workload_find(r->workload, &w, NULL) != BE_OK) return;
    workload varied = *w;
    varied.variant = *variant;
    data_table form = workload_form(&varied, 1);
    r->unit = form.unit;
    r->units_per_s = r->samples_per_s * form.units_a_sample;
}

/* ---------------------------------------------------------------- writing */

static json_t *time_to_json(int64_t unix_s)
{
    char text[32];
    time_t seconds = (time_t)unix_s;
    struct tm utc;
    if (unix_s < 0 || !gmtime_r(&seconds, &utc)) return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

static json_t *text_to_json(const char *text)
{
    char clean[TEXT_BYTES];
    if (text == record_unknown) return json_null();
    return json_string(text_clean(text, strlen(text), true, clean, sizeof clean));
}

static json_t *field_to_json(const field *f, const void *from)
{
    const json_t *json = NULL;
    switch (f->type) {
    case FIELD_TEXT:
        return text_to_json(*(const char *const *)from);
    case FIELD_REAL:
        return json_of_real(*(const double *)from);
    case FIELD_COUNT:
        return json_of_count(*(const int64_t *)from);
    case FIELD_TRUTH:
        return json_boolean(*(const bool *)from);
    case FIELD_TIME:
        return time_to_json(*(const int64_t *)from);
    case FIELD_WORD:
        return json_string(status_name(*(const be_status *)from));
    case FIELD_GROUP:
        return *(const bool *)from ? json_object() : json_null();
    case FIELD_JSON:
        break;
    }
    json = *(const json_t *const *)from;
    return json ? json_incref((json_t *)json) : json_null();
}

/* Put a member at its path, whose objects are made on the way; json_put's rule holds. */
static void put_at(json_t **whole, const char *path, json_t *value)
{
    const char *point = strchr(path, '.');
    char name[64];
    if (!point) {
        json_put(whole, path, value);
        return;
    }
    size_t length = (size_t)(point - path);
    MUST(length < sizeof name);
    memcpy(name, path, length);
    name[length] = 0;
    if (!json_object_get(*whole, name)) json_put(whole, name, json_object());
    json_t *inner = json_incref(json_object_get(*whole, name));
    put_at(&inner, point + 1, value);
    if (!inner) json_put(whole, name, NULL);
    json_decref(inner);
}

be_status record_encode(const record_measured *record, json_t **out, be_error *err)
{
    *out = json_object();
    for (size_t i = 0; i < FIELD_COUNT_ALL; i++) {
        const field *f = &fields[i];
        const void *from = (const char *)record + f->offset;
        if (f->need == FIELD_LATER || is_of_environment(f)) continue;
        put_at(out, f->path, field_to_json(f, from));
        /* The members of a group that is not known are not there. */
        if (f->type != FIELD_GROUP || *(const bool *)from) continue;
        size_t length = strlen(f->path);
        while (i + 1 < FIELD_COUNT_ALL && begins_with(fields[i + 1].path, f->path) &&
               fields[i + 1].path[length] == '.')
            i++;
    }
    return json_check(*out, "a record", err);
}

/* ---------------------------------------------------------------- reading */

const char *record_place_text(const record_place *place, char out[300])
{
    text_buffer b = text_begin(out, 300);
    text_add(&b, "%.200s, %s %zu", place->file, place->unit, place->number);
    if (place->contender) text_add(&b, ", contender %zu", place->contender);
    return out;
}

be_status record_refuse(const record_measured *r, const char *path, const char *expected,
                        const json_t *value, be_error *err)
{
    char place[300], actual[64];
    FAIL(err, BE_BAD_DATA,
         "%s, member \"%s\": expected %s, found %s; measure again, or leave that record out",
         record_place_text(&r->place, place), path, expected,
         json_found(value, actual, sizeof actual));
}

static be_status refuse_field(const record_measured *r, const field *f, const json_t *value,
                              be_error *err)
{
    char expected[120];
    if (f->type == FIELD_WORD)
        snprintf(expected, sizeof expected, "OK or the name of a failure");
    else if (f->type == FIELD_TIME)
        snprintf(expected, sizeof expected, "a time like 2023-11-14T22:13:20Z");
    else if (f->type == FIELD_TRUTH)
        snprintf(expected, sizeof expected, "true or false");
    else if (f->type == FIELD_GROUP)
        snprintf(expected, sizeof expected, "an object");
    else if (f->type == FIELD_TEXT)
        snprintf(expected, sizeof expected, "a text");
    else if (f->least >= f->most)
        snprintf(expected, sizeof expected, "%.15g", f->least);
    else
        snprintf(expected, sizeof expected, "a %snumber from %.15g to %.15g",
                 f->type == FIELD_COUNT ? "whole " : "", f->least, f->most);
    return record_refuse(r, f->path, expected, value, err);
}

static bool in_range(const field *f, double value)
{
    return value >= f->least && value <= f->most;
}

static bool take_time(const char *text, int64_t *out)
{
    struct tm utc = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (end) *out = (int64_t)timegm(&utc);
    return end && !*end;
}

static bool take_member(const field *f, const json_scalar *value, void *to)
{
    json_type type = value->type;
    switch (f->type) {
    case FIELD_TEXT:
        if (type != JSON_STRING) return false;
        *(const char **)to = value->text;
        return *value->text || f->need != FIELD_KNOWN;
    case FIELD_REAL:
        *(double *)to = value->real;
        return (type == JSON_REAL || type == JSON_INTEGER) && in_range(f, value->real);
    case FIELD_COUNT:
        *(int64_t *)to = value->integer;
        return type == JSON_INTEGER && in_range(f, (double)value->integer);
    case FIELD_TRUTH:
        *(bool *)to = type == JSON_TRUE;
        return type == JSON_TRUE || type == JSON_FALSE;
    case FIELD_TIME:
        return type == JSON_STRING && take_time(value->text, to);
    case FIELD_WORD: {
        int status = type == JSON_STRING ? status_find(value->text) : -1;
        *(be_status *)to = status < 0 ? BE_FAILED : (be_status)status;
        return status >= 0;
    }
    case FIELD_GROUP:
        *(bool *)to = true;
        return type == JSON_OBJECT;
    case FIELD_JSON:
        *(const json_t **)to = value->json;
        return true;
    }
    return false;
}

static void set_unknown(const field *f, void *to)
{
    if (f->type == FIELD_TEXT) *(const char **)to = record_unknown;
    if (f->type == FIELD_COUNT || f->type == FIELD_TIME) *(int64_t *)to = -1;
    if (f->type == FIELD_REAL) *(double *)to = (double)NAN;
}

void record_clear(record_measured *out)
{
    *out = (record_measured){0};
    for (size_t i = 0; i < FIELD_COUNT_ALL; i++)
        set_unknown(&fields[i], (char *)out + fields[i].offset);
}

be_status record_read_fields(const json_t *json, const json_t *environment, record_measured *out,
                             be_error *err)
{
    const json_t *own = json_object_get(json, "environment");
    if (own && !json_is_null(own)) environment = own;
    for (size_t i = 0; i < FIELD_COUNT_ALL; i++) {
        const field *f = &fields[i];
        const json_t *value = is_of_environment(f) ? json_at(environment, strchr(f->path, '.') + 1)
                                                   : json_at(json, f->path);
        json_scalar scalar = json_scalar_of(value);
        bool none = scalar.type == JSON_NULL;
        if (none ? f->need == FIELD_KNOWN : !take_member(f, &scalar, (char *)out + f->offset))
            return refuse_field(out, f, value, err);
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- reading what is scanned */

void record_index_make(record_index *out)
{
    MUST(FIELD_COUNT_ALL < RECORD_INDEX_ROOM / 2);
    *out = (record_index){0};
    for (size_t i = 0; i < FIELD_COUNT_ALL; i++) {
        uint64_t hash = json_path_hash(fields[i].path);
        size_t slot = hash % RECORD_INDEX_ROOM;
        while (out->place[slot]) slot = (slot + 1) % RECORD_INDEX_ROOM;
        out->place[slot] = (uint16_t)(i + 1);
        out->known += fields[i].need == FIELD_KNOWN;
    }
}

static const field *find_field(const record_index *index, const json_path *path)
{
    size_t slot = path->hash % RECORD_INDEX_ROOM;
    for (; index->place[slot]; slot = (slot + 1) % RECORD_INDEX_ROOM) {
        const field *f = &fields[index->place[slot] - 1];
        if (strcmp(f->path, path->text) == 0) return f;
    }
    return NULL;
}

bool record_take_scanned(const record_index *index, const json_path *path, const json_scalar *value,
                         record_measured *out, size_t *with_value)
{
    const field *f = value->type == JSON_NULL ? NULL : find_field(index, path);
    if (!f) return true;
    *with_value += f->need == FIELD_KNOWN;
    return take_member(f, value, (char *)out + f->offset);
}
