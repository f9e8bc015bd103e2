/* See record_read.h. */
#include "run/record_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "run/record.h"

#define READ_MAX_BYTES ((size_t)1 << 28)
#define MEMORY_APART 0.05 /* a virtual machine's memory is not always told to the byte */

typedef struct reading {
    record_set *set;
    const json_t *environment; /* of the sweep's header before, NULL */
    record_place place;
} reading;

/* What stands in files beside records: the other lines of a sweep, and the quick page's advice. */
static bool is_other_kind(const char *kind)
{
    static const char *const kinds[] = {"screen", "whole", "pair", "advice"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i], kind) == 0) return true;
    return false;
}

/* ---------------------------------------------------------------- one machine */

static const char *clean(const char *text, char out[81])
{
    return text_clean(text, strlen(text), false, out, 81);
}

static const char *machine_text(const record_environment *m, char out[160])
{
    char cpu[81];
    snprintf(out, 160, "%s with %lld threads and %.1f GiB",
             *m->cpu.model ? clean(m->cpu.model, cpu) : "an unknown processor",
             (long long)m->cpu.threads,
             m->memory_bytes < 0 ? (double)NAN : (double)m->memory_bytes / (1 << 30));
    return out;
}

static bool same_machine(const record_environment *a, const record_environment *b)
{
    double apart = (double)(a->memory_bytes - b->memory_bytes) / (double)b->memory_bytes;
    bool memory = a->memory_bytes < 0 || b->memory_bytes < 0 || fabs(apart) <= MEMORY_APART;
    return memory && a->cpu.threads == b->cpu.threads && strcmp(a->cpu.model, b->cpu.model) == 0;
}

/* The same id of one engine is the same hardware. */
static bool is_other_device(const record_measured *a, const record_measured *b)
{
    return strcmp(a->engine, b->engine) == 0 && strcmp(a->device, b->device) == 0 &&
           *a->device_name && *b->device_name && strcmp(a->device_name, b->device_name) != 0;
}

static be_status check_machine(const record_set *set, const record_measured *r, be_error *err)
{
    char place[300], first[300], ours[160], theirs[160], id[81], name[81], before[81];
    record_place_text(&r->place, place);
    for (size_t i = 0; i < set->count; i++) {
        const record_measured *other = &set->list[i];
        record_place_text(&other->place, first);
        if (i == 0 && !same_machine(&r->environment, &other->environment))
            FAIL(err, BE_BAD_DATA,
                 "%s: expected records of one machine, %s as in %s, found %s; give the records of "
                 "each machine apart",
                 place, machine_text(&other->environment, ours), first,
                 machine_text(&r->environment, theirs));
        if (is_other_device(r, other))
            FAIL(err, BE_BAD_DATA,
                 "%s: expected device %s to be \"%s\" as in %s, found \"%s\"; give the records of "
                 "each machine apart",
                 place, clean(r->device, id), clean(other->device_name, before), first,
                 clean(r->device_name, name));
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- records */

static be_status add_record(reading *r, const json_t *json, be_error *err)
{
    record_set *set = r->set;
    record_measured record;
    void *list = set->list;
    TRY(record_decode(json, r->environment, &r->place, &record, err));
    TRY(check_machine(set, &record, err));
    TRY(memory_grow(&list, &set->capacity, set->count + 1, sizeof *set->list, err));
    set->list = list;
    set->list[set->count++] = record;
    return BE_OK;
}

static be_status check_schema(const json_t *json, const record_place *place, be_error *err)
{
    char text[300];
    const json_t *schema = json_object_get(json, "schema");
    if (json_is_integer(schema) && json_integer_value(schema) == RECORD_SCHEMA) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s, member \"schema\": expected %d, found another one or none; this version reads what "
         "its own bench and sweep write",
         record_place_text(place, text), RECORD_SCHEMA);
}

/* A point of a sweep has the records of its contenders. */
static be_status add_point(reading *r, const json_t *json, be_error *err)
{
    const json_t *contenders = json_object_get(json, "contenders");
    char place[300];
    if (!json_is_array(contenders))
        FAIL(err, BE_BAD_DATA,
             "%s, member \"contenders\": expected a list of records, found none: this is what a "
             "sweep printed; take the file that it kept",
             record_place_text(&r->place, place));
    be_status status = BE_OK;
    for (size_t i = 0; status == BE_OK && i < json_array_size(contenders); i++) {
        r->place.contender = i + 1;
        status = add_record(r, json_array_get(contenders, i), err);
    }
    r->place.contender = 0;
    return status;
}

static be_status add_object(reading *r, const json_t *json, be_error *err)
{
    char place[300], word[40];
    const char *kind = json_string_value(json_object_get(json, "kind"));
    record_place_text(&r->place, place);
    if (!json_is_object(json))
        FAIL(err, BE_BAD_DATA, "%s: expected a record (an object), found another kind of value",
             place);
    if (!kind)
        FAIL(err, BE_BAD_DATA,
             "%s, member \"kind\": expected \"bench\" or \"point\", found none; take what "
             "'breakeven "
             "bench … --format jsonl' writes, or the file of a sweep",
             place);
    if (strcmp(kind, "bench") == 0) return add_record(r, json, err);
    if (strcmp(kind, "point") == 0) return add_point(r, json, err);
    if (strcmp(kind, "sweep") == 0) {
        r->environment = json_object_get(json, "environment");
        return check_schema(json, &r->place, err);
    }
    if (is_other_kind(kind)) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s, member \"kind\": expected \"bench\" or \"point\", found \"%s\"; take what 'breakeven "
         "bench … --format jsonl' writes, or the file of a sweep",
         place, text_clean(kind, strlen(kind), false, word, sizeof word));
}

/* ---------------------------------------------------------------- text */

static be_status add_list(reading *r, const json_t *list, be_error *err)
{
    be_status status = BE_OK;
    r->place.unit = "record";
    for (size_t i = 0; status == BE_OK && i < json_array_size(list); i++) {
        r->place.number = i + 1;
        status = add_object(r, json_array_get(list, i), err);
    }
    return status;
}

/* One value: a record, or all of them as a list. */
static be_status add_text(reading *r, const char *text, size_t length, be_error *err)
{
    char place[300];
    json_source source = {.name = record_place_text(&r->place, place),
                          .expected = "a record in JSON ('breakeven bench … --format jsonl')",
                          .next = "write the file again"};
    json_t *parsed = NULL;
    TRY(json_parse(&parsed, text, length, &source, err));
    if (json_array_append_new(r->set->owner, parsed) != 0)
        FAIL(err, BE_NO_MEMORY, "no memory for the records of %s", r->place.file);
    return json_is_array(parsed) ? add_list(r, parsed, err) : add_object(r, parsed, err);
}

static be_status begin(record_set *out, be_error *err)
{
    *out = (record_set){.owner = json_array()};
    if (!out->owner) FAIL(err, BE_NO_MEMORY, "no memory for records");
    return BE_OK;
}

static be_status parse_lines(record_set *out, const char *name, const char *text, size_t length,
                             be_error *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    reading r = {.set = out, .place = {.file = name, .unit = "line", .number = 1}};
    TRY(begin(out, err));
    if (length >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        length -= 3;
    }
    size_t blanks = 0;
    while (blanks < length && strchr(" \t\r\n", text[blanks]) && text[blanks]) blanks++;
    if (blanks < length && text[blanks] == '[') return add_text(&r, text, length, err);
    for (size_t at = 0; at < length; r.place.number++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t bytes = end ? (size_t)(end - text) - at : length - at;
        size_t whole = bytes;
        while (bytes && strchr(" \t\r", text[at + bytes - 1]) && text[at + bytes - 1]) bytes--;
        if (bytes) TRY(add_text(&r, text + at, bytes, err));
        at += whole + 1;
    }
    return BE_OK;
}

/* An error quotes what stands in the file, and goes to terminals. */
be_status record_set_parse(record_set *out, const char *name, const char *text, size_t length,
                           be_error *err)
{
    be_error own = {0};
    be_status status = parse_lines(out, name, text, length, &own);
    if (status == BE_OK || !err) return status;
    *err = own;
    text_clean(own.text, strlen(own.text), true, err->text, sizeof err->text);
    return status;
}

/* Standard input until its end. */
static be_status read_input(void **out, size_t *bytes, be_error *err)
{
    size_t capacity = 0, length = 0, got = 1;
    void *text = NULL;
    be_status status = BE_OK;
    while (status == BE_OK && got > 0) {
        status = memory_grow(&text, &capacity, length + 65536, 1, err);
        if (status == BE_OK)
            status = file_read_some(STDIN_FILENO, (char *)text + length, capacity - length, &got,
                                    "standard input", err);
        length += got;
        if (status == BE_OK && length > READ_MAX_BYTES)
            status = status_fail(err, __FILE__, __LINE__, BE_BAD_DATA,
                                 "standard input: expected at most %zu MiB of records, found more",
                                 READ_MAX_BYTES >> 20);
    }
    *out = text;
    *bytes = length;
    return status;
}

be_status record_set_read(record_set *out, const char *path, be_error *err)
{
    void *text = NULL;
    size_t length = 0;
    bool input = strcmp(path, "-") == 0;
    *out = (record_set){0};
    be_status status = input ? read_input(&text, &length, err)
                             : file_read(&text, &length, path, READ_MAX_BYTES, err);
    if (status == BE_OK)
        status = record_set_parse(out, input ? "standard input" : path, text, length, err);
    if (input)
        memory_free_array(text);
    else
        memory_free(text);
    return status;
}

be_status record_set_take(record_set *out, json_t *records, be_error *err)
{
    reading r = {.set = out, .place = {.file = "what was measured"}};
    TRY(begin(out, err));
    if (json_array_append(out->owner, records) != 0)
        FAIL(err, BE_NO_MEMORY, "no memory for records");
    return add_list(&r, records, err);
}

void record_set_free(record_set *set)
{
    memory_free_array(set->list);
    json_decref(set->owner);
    *set = (record_set){0};
}

/* ---------------------------------------------------------------- sweeps */

static be_status check_number(const json_t *line, const char *name, const record_place *place,
                              be_error *err)
{
    char text[300];
    double value = json_number_value(json_object_get(line, name));
    if (json_is_number(json_object_get(line, name)) && value > 0 && value < 1e18) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s, member \"%s\": expected a number above 0, found another value; the file was changed: "
         "begin anew without --resume",
         record_place_text(place, text), name);
}

static be_status check_texts(const json_t *line, const char *const *names, int count,
                             const record_place *place, be_error *err)
{
    char text[300];
    for (int i = 0; i < count; i++)
        if (!json_is_string(json_object_get(line, names[i])))
            FAIL(err, BE_BAD_DATA,
                 "%s, member \"%s\": expected a text, found none; the file was changed: begin anew "
                 "without --resume",
                 record_place_text(place, text), names[i]);
    return BE_OK;
}

static be_status check_point(const json_t *line, const json_t *header, record_place *place,
                             be_error *err)
{
    static const char *const names[] = {"side", "setting"};
    const json_t *contenders = json_object_get(line, "contenders");
    record_measured record;
    for (size_t i = 0; i < json_array_size(contenders); i++) {
        const json_t *contender = json_array_get(contenders, i);
        place->contender = i + 1;
        TRY(record_decode(contender, json_object_get(header, "environment"), place, &record, err));
        TRY(check_texts(contender, names, 2, place, err));
    }
    return BE_OK;
}

be_status record_check_sweep_line(const json_t *line, const json_t *header, const char *file,
                                  size_t number, be_error *err)
{
    static const char *const names[] = {"kind", "side"};
    record_place place = {.file = file, .unit = "line", .number = number};
    TRY(check_texts(line, names, 1, &place, err));
    TRY(check_number(line, "x", &place, err));
    const char *kind = json_string_value(json_object_get(line, "kind"));
    if (strcmp(kind, "point") == 0) return check_point(line, header, &place, err);
    TRY(check_texts(line, names, 2, &place, err));
    if (strcmp(kind, "screen") == 0) return BE_OK;
    TRY(check_number(line, "expected_s", &place, err));
    return check_number(line, "seconds", &place, err);
}
