/* See json.h. */
#include "core/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/memory.h"
#include "core/text.h"

#define FOUND_BYTES 120
#define NAME_BYTES 64

/* ---------------------------------------------------------------- making */

json_t *json_of_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_of_count(int64_t value)
{
    return value >= 0 ? json_integer(value) : json_null();
}

json_t *json_of_text(const char *text)
{
    static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
    void *memory = NULL;
    if (!text) return json_null();
    json_t *string = json_string(text);
    size_t length = strlen(text);
    if (string || memory_alloc(&memory, length * 3 + 1, "a text", NULL) != BE_OK) return string;
    char *clean = memory, *out = clean;
    for (size_t at = 0, count; at < length; at += count ? count : 1) {
        count = text_character(text + at, length - at);
        memcpy(out, count ? text + at : replacement, count ? count : 3);
        out += count ? count : 3;
    }
    *out = 0;
    string = json_string(clean);
    memory_free(clean);
    return string;
}

json_t *json_of_known(const char *text)
{
    return json_of_text(text && *text ? text : NULL);
}

static void spoil(json_t **whole)
{
    json_decref(*whole);
    *whole = NULL;
}

void json_put(json_t **object, const char *name, json_t *value)
{
    if (json_object_set_new(*object, name, value) != 0) spoil(object);
}

void json_add(json_t **list, json_t *value)
{
    if (json_array_append_new(*list, value) != 0) spoil(list);
}

be_status json_check(const json_t *value, const char *what, be_error *err)
{
    if (value) return BE_OK;
    FAIL(err, BE_NO_MEMORY, "%s: no memory left for it; free some", what);
}

/* ---------------------------------------------------------------- looking */

json_t *json_at(const json_t *json, const char *path)
{
    const json_t *at = json;
    char name[NAME_BYTES];
    while (at && *path) {
        size_t length = strcspn(path, ".");
        MUST(length < sizeof name);
        memcpy(name, path, length);
        name[length] = 0;
        at = json_object_get(at, name);
        path += length + (path[length] == '.');
    }
    return (json_t *)at;
}

double json_real_at(const json_t *json, const char *path)
{
    const json_t *value = json_at(json, path);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const char *json_text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(json_at(json, path));
    return text ? text : "";
}

/* ---------------------------------------------------------------- reading */

const char *json_found(const json_t *value, char *out, size_t room)
{
    char *text =
        value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    const char *words = text ? text : value ? "a value" : "nothing";
    text_clean(words, strlen(words), false, out, room);
    free(text);
    return out;
}

void json_complain(json_reader *r, const char *member, const char *expected, const json_t *found)
{
    char text[FOUND_BYTES];
    if (r->status != BE_OK) return;
    r->status = status_fail(r->err, __FILE__, __LINE__, r->fault,
                            "%s: expected \"%s\" to be %s, found %s; %s", r->about, member,
                            expected, json_found(found, text, sizeof text), r->next);
}

const char *json_read_text(json_reader *r, const char *member)
{
    const json_t *value = json_object_get(r->json, member);
    if (!json_is_string(value)) json_complain(r, member, "a string", value);
    return json_string_value(value);
}

int64_t json_read_integer(json_reader *r, const char *member, int64_t least, int64_t greatest)
{
    const json_t *value = json_object_get(r->json, member);
    char expected[96];
    if (json_is_integer(value) && json_integer_value(value) >= least &&
        json_integer_value(value) <= greatest)
        return json_integer_value(value);
    if (least == greatest)
        snprintf(expected, sizeof expected, "%" PRId64, least);
    else if (greatest == INT64_MAX)
        snprintf(expected, sizeof expected, "an integer of at least %" PRId64, least);
    else
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, least,
                 greatest);
    json_complain(r, member, expected, value);
    return 0;
}

double json_read_real(json_reader *r, const char *member, double least)
{
    const json_t *value = json_object_get(r->json, member);
    char expected[96] = "a number or null";
    if (json_is_null(value)) return NAN;
    if (json_is_number(value) && json_number_value(value) >= least) return json_number_value(value);
    if (isfinite(least))
        snprintf(expected, sizeof expected, "a number of at least %g, or null", least);
    json_complain(r, member, expected, value);
    return NAN;
}

json_t *json_read_list(json_reader *r, const char *member)
{
    json_t *value = json_object_get(r->json, member);
    if (json_is_array(value)) return value;
    json_complain(r, member, "a list", value);
    return NULL;
}

json_t *json_read_object(json_reader *r, const char *member)
{
    json_t *value = json_object_get(r->json, member);
    if (json_is_object(value)) return value;
    json_complain(r, member, "an object", value);
    return NULL;
}

/* ---------------------------------------------------------------- text */

be_status json_parse(json_t **out, const char *text, size_t length, const json_source *source,
                     be_error *err)
{
    json_error_t problem;
    char start[40], why[sizeof problem.text];
    *out = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
    if (*out) return BE_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        FAIL(err, BE_NO_MEMORY, "%s: no memory left for its JSON; free some", source->name);
    text_clean(text, length, false, start, sizeof start);
    text_clean(problem.text, strlen(problem.text), false, why, sizeof why);
    FAIL(err, BE_BAD_DATA,
         "%s: expected %s, found %zu bytes beginning with '%s' (line %d, column %d: %s); %s",
         source->name, source->expected, length, start, problem.line, problem.column, why,
         source->next);
}

be_status json_load(json_t **out, const char *path, size_t most_bytes, const json_source *source,
                    be_error *err)
{
    void *bytes = NULL;
    size_t count = 0;
    *out = NULL;
    TRY(file_read(&bytes, &count, path, most_bytes, err));
    be_status status = json_parse(out, bytes, count, source, err);
    memory_free(bytes);
    return status;
}

be_status json_print(char **out, const json_t *value, size_t flags, const char *what, be_error *err)
{
    *out = value ? json_dumps(value, flags) : NULL;
    if (*out) return BE_OK;
    FAIL(err, BE_NO_MEMORY, "%s: no memory left for it; free some", what);
}

be_status json_print_line(char **out, const json_t *value, size_t flags, const char *what,
                          be_error *err)
{
    char *text = NULL;
    *out = NULL;
    TRY(json_print(&text, value, flags, what, err));
    size_t length = strlen(text);
    *out = realloc(text, length + 2);
    if (*out) {
        memcpy(*out + length, "\n", 2);
        return BE_OK;
    }
    free(text);
    FAIL(err, BE_NO_MEMORY, "%s: no memory left for it; free some", what);
}
