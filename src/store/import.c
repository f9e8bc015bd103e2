/* See import.h. */
#include "store/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "data/gzip.h"
#include "run/record_decode.h"

#define RUNS_MOST 1000 /* machines and builds of one file */
#define INPUT_MOST_BYTES ((size_t)1 << 28)

typedef struct import_run {
    int64_t id;
    char machine[160], commit[80];
} import_run;

typedef struct importing {
    store *store;
    const char *name;
    record_place place;
    json_t *header;   /* of a sweep: its environment stands for that of its records */
    const char *line; /* of the record at hand, where it can be kept as it stands; else NULL */
    size_t line_bytes;
    record_index index;
    void *buffer; /* a line that is scanned */
    size_t buffer_room;
    import_run *runs;
    size_t run_count, run_room;
    import_count *count;
} importing;

/* ---------------------------------------------------------------- runs */

static int64_t time_of(const json_t *record)
{
    struct tm utc = {0};
    const char *text = json_text_at(record, "time");
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return *text && end && !*end ? (int64_t)timegm(&utc) : -1;
}

/* That of a machine and build, made with the first record of its own. */
static be_status find_run(importing *i, import_run *of, int64_t began_s, be_error *err)
{
    for (size_t r = i->run_count; r-- > 0;)
        if (strcmp(i->runs[r].machine, of->machine) == 0 &&
            strcmp(i->runs[r].commit, of->commit) == 0) {
            of->id = i->runs[r].id;
            return BE_OK;
        }
    if (i->run_count == RUNS_MOST)
        FAIL(err, BE_BAD_DATA,
             "%s: expected records of at most %d machines and builds, found more; import it in "
             "parts",
             i->name, RUNS_MOST);
    void *runs = i->runs;
    be_status status = memory_grow(&runs, &i->run_room, i->run_count + 1, sizeof *i->runs, err);
    i->runs = runs;
    TRY(status);
    store_run facts = {.command = "import",
                       .source = i->name,
                       .machine = *of->machine ? of->machine : NULL,
                       .commit = *of->commit ? of->commit : NULL,
                       .began_s = began_s};
    TRY(store_add_run(i->store, &facts, &of->id, err));
    i->runs[i->run_count++] = *of;
    return BE_OK;
}

static void take_commit(import_run *of, const char *commit)
{
    text_clean(commit, strlen(commit), false, of->commit, sizeof of->commit);
}

static void count_record(importing *i, int64_t id)
{
    if (id)
        i->count->added++;
    else
        i->count->known++;
}

static be_status add(importing *i, const json_t *record, be_error *err)
{
    const json_t *environment = json_object_get(record, "environment");
    import_run of;
    int64_t id = 0;
    store_machine_of(environment, of.machine);
    take_commit(&of, store_commit_of(environment));
    TRY(find_run(i, &of, time_of(record), err));
    if (i->line) {
        store_record entry = store_record_of(record, i->line, i->line_bytes);
        TRY(store_add_line(i->store, of.id, &entry, &id, err));
    } else {
        TRY(store_add_record(i->store, of.id, record, &id, err));
    }
    count_record(i, id);
    return BE_OK;
}

/* ---------------------------------------------------------------- records */

static be_status add_measured(importing *i, json_t *record, be_error *err)
{
    record_measured read;
    json_t *environment = json_object_get(i->header, "environment");
    TRY(record_decode(record, environment, &i->place, &read, err));
    if (!json_is_object(json_object_get(record, "environment"))) {
        json_object_set(record, "environment", environment);
        i->line = NULL;
    }
    return add(i, record, err);
}

/* A point of a sweep's file has the records of its contenders; what it printed has none. */
static be_status add_point(importing *i, const json_t *point, be_error *err)
{
    json_t *contenders = json_object_get(point, "contenders"), *record;
    char place[300];
    size_t c;
    if (!json_is_array(contenders))
        FAIL(err, BE_BAD_DATA,
             "%s, member \"contenders\": expected a list of records, found none: this is what a "
             "sweep printed; take the file that it kept",
             record_place_text(&i->place, place));
    json_array_foreach(contenders, c, record)
    {
        i->place.contender = c + 1;
        TRY(add_measured(i, record, err));
    }
    i->place.contender = 0;
    return BE_OK;
}

/* Of the other kinds a run may have: they say whose they are, and nothing is computed from them. */
static be_status add_other(importing *i, const json_t *record, be_error *err)
{
    record_measured whose = {.place = i->place};
    const json_t *schema = json_object_get(record, "schema");
    const json_t *workload = json_object_get(record, "workload");
    if (json_integer_value(schema) != RECORD_SCHEMA)
        return record_refuse(&whose, "schema", "1", schema, err);
    if (!json_is_string(workload))
        return record_refuse(&whose, "workload", "a text", workload, err);
    return add(i, record, err);
}

static be_status add_value(importing *i, json_t *value, be_error *err)
{
    static const char *const others[] = {"epoch", "advice", "workers"};
    static const char *const passed[] = {"screen", "whole", "pair"};
    const char *kind = json_string_value(json_object_get(value, "kind"));
    char place[300], text[60];
    if (kind && strcmp(kind, "bench") == 0) return add_measured(i, value, err);
    if (kind && strcmp(kind, "point") == 0) return add_point(i, value, err);
    if (kind && strcmp(kind, "sweep") == 0 && json_object_get(value, "pairs"))
        return add_other(i, value, err);
    if (kind && strcmp(kind, "sweep") == 0) {
        json_decref(i->header);
        i->header = json_incref(value);
        return BE_OK;
    }
    for (size_t k = 0; kind && k < sizeof others / sizeof *others; k++)
        if (strcmp(kind, others[k]) == 0) return add_other(i, value, err);
    for (size_t k = 0; kind && k < sizeof passed / sizeof *passed; k++)
        if (strcmp(kind, passed[k]) == 0) return BE_OK;
    FAIL(
        err, BE_BAD_DATA,
        "%s, member \"kind\": expected bench, point, epoch, advice or workers, found %s; take what "
        "'breakeven … --format jsonl' or 'breakeven runs export' writes",
        record_place_text(&i->place, place),
        json_found(json_object_get(value, "kind"), text, sizeof text));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether no blank stands between its parts: as all that breakeven writes.  A zero byte, which
 * jansson passes over, would end the line where it is kept. */
static bool is_compact(const char *text, size_t length)
{
    bool inside = false;
    for (size_t at = 0; at < length; at++) {
        if (text[at] == '"') inside = !inside;
        if (inside && text[at] == '\\')
            at++;
        else if (!inside && (is_blank(text[at]) || !text[at]))
            return false;
    }
    return true;
}

/* A line that its writer printed so is kept as it is: to print it again takes as long as to read
 * it. */
static void take_line(importing *i, const char *text, size_t length)
{
    i->line = is_compact(text, length) ? text : NULL;
    i->line_bytes = length;
}

/* One value: a record, or all of them as a list. */
static be_status add_text(importing *i, const char *text, size_t length, be_error *err)
{
    char place[300];
    json_source source = {.name = record_place_text(&i->place, place),
                          .expected = "a record in JSON ('breakeven bench … --format jsonl')",
                          .next = "nothing of the file is taken"};
    json_t *value = NULL, *item;
    size_t n;
    TRY(json_parse(&value, text, length, &source, err));
    be_status status = BE_OK;
    if (json_is_array(value)) {
        i->place.unit = "record";
        json_array_foreach(value, n, item)
        {
            i->place.number = n + 1;
            if (status == BE_OK) status = add_value(i, item, err);
        }
    } else {
        bool whole = json_object_get(value, "contenders") == NULL;
        if (whole) take_line(i, text, length);
        status = add_value(i, value, err);
        i->line = NULL;
    }
    json_decref(value);
    return status;
}

/* Nearly all lines are records of bench as breakeven wrote them, and are taken without a value made
 * of them.  What cannot be taken so is no fault yet: add_text judges it. */
static be_status add_scanned(importing *i, const char *text, size_t length, bool *is_scanned,
                             be_error *err)
{
    record_measured r;
    import_run of;
    int64_t id = 0;
    TRY(memory_grow(&i->buffer, &i->buffer_room, length + 1, 1, err));
    char *copy = i->buffer;
    memcpy(copy, text, length);
    copy[length] = 0;
    *is_scanned = record_scan(&i->index, copy, length, &r) && strcmp(r.kind, "bench") == 0;
    if (!*is_scanned) return BE_OK;
    store_machine_text(r.environment.cpu.model, (double)r.environment.cpu.threads,
                       (double)r.environment.memory_bytes, of.machine);
    take_commit(&of, r.environment.build.commit);
    TRY(find_run(i, &of, r.time, err));
    store_record entry = {text, length, r.kind, r.workload, r.engine, r.device};
    TRY(store_add_line(i->store, of.id, &entry, &id, err));
    count_record(i, id);
    return BE_OK;
}

/* ---------------------------------------------------------------- files */

static be_status add_lines(importing *i, const char *text, size_t length, be_error *err)
{
    size_t blanks = 0;
    while (blanks < length && is_blank(text[blanks])) blanks++;
    if (blanks < length && text[blanks] == '[') return add_text(i, text, length, err);
    for (size_t at = 0; at < length; i->place.number++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t bytes = end ? (size_t)(end - text) - at : length - at, whole = bytes;
        while (bytes && is_blank(text[at + bytes - 1])) bytes--;
        bool is_scanned = bytes == 0;
        if (!is_scanned) TRY(add_scanned(i, text + at, bytes, &is_scanned, err));
        if (!is_scanned) TRY(add_text(i, text + at, bytes, err));
        at += whole + 1;
    }
    return BE_OK;
}

/* Standard input until its end. */
static be_status read_input(void **out, size_t *bytes, be_error *err)
{
    size_t capacity = 0, got = 1;
    *bytes = 0;
    while (got > 0) {
        TRY(memory_grow(out, &capacity, *bytes + 65536, 1, err));
        TRY(file_read_some(STDIN_FILENO, (char *)*out + *bytes, capacity - *bytes, &got,
                           "standard input", err));
        *bytes += got;
        if (*bytes > INPUT_MOST_BYTES)
            FAIL(err, BE_BAD_DATA,
                 "standard input: expected at most %zu MiB of records, found more; give a file",
                 INPUT_MOST_BYTES >> 20);
    }
    return BE_OK;
}

/* A run of which every record was there already is none. */
static be_status drop_empty_runs(importing *i, be_error *err)
{
    for (size_t r = 0; r < i->run_count; r++) {
        bool was_empty = false;
        TRY(store_drop_empty(i->store, i->runs[r].id, &was_empty, err));
        i->count->runs += !was_empty;
    }
    return BE_OK;
}

static be_status add_all(importing *i, const char *text, size_t length, be_error *err)
{
    TRY(store_begin(i->store, err));
    be_error own = {0};
    be_status status = add_lines(i, text, length, &own);
    /* What it quotes of the file goes to terminals. */
    if (status != BE_OK && err) {
        *err = own;
        text_clean(own.text, strlen(own.text), true, err->text, sizeof err->text);
    }
    if (status == BE_OK) status = drop_empty_runs(i, err);
    if (status == BE_OK && !i->count->added) {
        store_take_back(i->store); /* as if it had not been asked for, numbers of runs among it */
        return BE_OK;
    }
    return store_end(i->store, status, err);
}

static be_status import_plain(store *s, const char *name, const char *text, size_t length,
                              import_count *out, be_error *err)
{
    importing i = {.store = s,
                   .name = name,
                   .place = {.file = name, .unit = "line", .number = 1},
                   .count = out};
    *out = (import_count){0};
    record_index_make(&i.index);
    be_status status = add_all(&i, text, length, err);
    json_decref(i.header);
    memory_free_array(i.runs);
    memory_free_array(i.buffer);
    if (status != BE_OK) *out = (import_count){0};
    return status;
}

static bool is_gzip(const char *text, size_t length)
{
    return length > 2 && (unsigned char)text[0] == 0x1F && (unsigned char)text[1] == 0x8B;
}

static be_status inflate_all(gzip_reader *r, void **out, size_t *bytes, be_error *err)
{
    size_t capacity = 0, got = 1;
    *bytes = 0;
    while (got > 0) {
        TRY(memory_grow(out, &capacity, *bytes + 65536, 1, err));
        TRY(gzip_read_some(r, (char *)*out + *bytes, capacity - *bytes, &got, err));
        *bytes += got;
        if (*bytes > INPUT_MOST_BYTES)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected at most %zu MiB of records once it is inflated, found more; inflate "
                 "it to a file",
                 gzip_name(r), INPUT_MOST_BYTES >> 20);
    }
    return gzip_end(r, err);
}

be_status import_text(store *s, const char *name, const char *text, size_t length,
                      import_count *out, be_error *err)
{
    void *plain = NULL;
    size_t bytes = 0;
    gzip_reader *r = NULL;
    if (!is_gzip(text, length)) return import_plain(s, name, text, length, out, err);
    *out = (import_count){0};
    TRY(gzip_open_memory(&r, text, length, name, err));
    be_status status = inflate_all(r, &plain, &bytes, err);
    gzip_close(r);
    if (status == BE_OK) status = import_plain(s, name, plain, bytes, out, err);
    memory_free_array(plain);
    return status;
}

be_status import_file(store *s, const char *path, import_count *out, be_error *err)
{
    bool input = strcmp(path, "-") == 0;
    const void *mapped = NULL;
    void *read = NULL;
    size_t bytes = 0;
    *out = (import_count){0};
    be_status status =
        input ? read_input(&read, &bytes, err) : file_map(&mapped, &bytes, path, err);
    if (status == BE_OK)
        status =
            import_text(s, input ? "standard input" : path, input ? read : mapped, bytes, out, err);
    memory_free_array(read);
    file_unmap(mapped, bytes);
    return status;
}
