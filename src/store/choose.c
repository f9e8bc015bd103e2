/* See choose.h. */
#include "store/choose.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "store/import.h"

#define COMMIT_LEAST 4 /* characters by which a build is named at least */

static be_status add_line(void *context, const char *line, int64_t run, be_error *err)
{
    json_t *record = NULL;
    json_source source = {"a kept record", "a record in JSON",
                          "the database was changed by another program"};
    TRY(json_parse(&record, line, strlen(line), &source, err));
    json_array_append_new(context,
                          json_pack("{s:I, s:o}", "run", (json_int_t)run, "record", record));
    return BE_OK;
}

static bool is_number(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && digits < 18 && !name[digits];
}

static bool may_be_commit(const char *name)
{
    size_t length = strlen(name), digits = 0;
    while (isxdigit((unsigned char)name[digits])) digits++;
    return digits >= COMMIT_LEAST && (digits == length || strcmp(name + digits, "-dirty") == 0);
}

/* Another machine than that of the first run, or NULL. */
static const char *other_machine(const json_t *runs)
{
    const char *first = json_text_at(json_array_get(runs, 0), "machine");
    for (size_t i = 1; i < json_array_size(runs); i++) {
        const char *machine = json_text_at(json_array_get(runs, i), "machine");
        if (strcmp(machine, first) != 0) return machine;
    }
    return NULL;
}

static be_status find_machine(const char *name, const json_t *runs, char title[200], be_error *err)
{
    const char *first = json_text_at(json_array_get(runs, 0), "machine");
    const char *other = other_machine(runs);
    if (!json_array_size(runs))
        FAIL(err, BE_USAGE,
             "expected the number of a run, a file of records, the beginning of a commit or a part "
             "of a machine's name, found \"%s\"; 'breakeven runs' lists what is kept",
             name);
    if (other)
        FAIL(err, BE_USAGE,
             "\"%s\": expected a part of one machine's name, found it in \"%s\" and \"%s\"; give "
             "more of the name",
             name, first, other);
    snprintf(title, 200, "%.199s", first);
    return BE_OK;
}

static be_status find_kept(store *s, const char *name, store_filter *filter, char title[200],
                           be_error *err)
{
    int64_t rest = 0;
    json_t *runs = json_array();
    be_status status = BE_OK;
    if (may_be_commit(name)) {
        filter->commit = name;
        filter->limit = 1;
        status = store_list(s, filter, runs, &rest, err);
        snprintf(title, 200, "build %.190s", name);
    }
    if (status == BE_OK && !json_array_size(runs)) {
        *filter = (store_filter){.machine = name, .since_s = -1, .until_s = -1};
        status = store_list(s, filter, runs, &rest, err);
        if (status == BE_OK) status = find_machine(name, runs, title, err);
    }
    filter->limit = 0;
    json_decref(runs);
    return status;
}

/* What a name stands for. */
typedef struct choice {
    store *of;  /* where its runs are */
    store *own; /* made for a file; else NULL */
    store_filter filter;
} choice;

static be_status open_file(choice *c, const char *path, be_error *err)
{
    import_count count;
    TRY(store_open(&c->own, ":memory:", err));
    c->of = c->own;
    return import_file(c->own, path, &count, err);
}

/* To be closed in any case. */
static be_status open_choice(choice *c, store *s, const char *name, char title[200], be_error *err)
{
    *c = (choice){.of = s, .filter = {.since_s = -1, .until_s = -1}};
    if (is_number(name)) {
        c->filter.run = strtoll(name, NULL, 10);
        snprintf(title, 200, "run %s", name);
        return store_check_run(s, c->filter.run, err);
    }
    if (!file_exists(name)) return find_kept(s, name, &c->filter, title, err);
    const char *slash = strrchr(name, '/');
    snprintf(title, 200, "%.199s", slash ? slash + 1 : name);
    return open_file(c, name, err);
}

be_status choose_records(store *s, const char *name, json_t *records, char title[200],
                         be_error *err)
{
    choice c;
    be_status status = open_choice(&c, s, name, title, err);
    if (status == BE_OK) status = store_read(c.of, &c.filter, add_line, records, err);
    store_close(c.own);
    return status;
}

/* ---------------------------------------------------------------- whole runs */

static be_status collect_line(void *context, const char *line, int64_t run, be_error *err)
{
    json_t *whole = context, *record = NULL;
    json_source source = {"a kept record", "a record in JSON",
                          "the database was changed by another program"};
    (void)run;
    TRY(json_parse(&record, line, strlen(line), &source, err));
    json_array_append_new(json_object_get(whole, "records"), record);
    json_array_append_new(json_object_get(whole, "lines"), json_string(line));
    return BE_OK;
}

static be_status collect_run(store *s, json_t *run, json_t *runs, be_error *err)
{
    store_filter one = {.since_s = -1, .until_s = -1};
    json_t *whole = json_pack("{s:O, s:[], s:[], s:[]}", "run", run, "notes", "records", "lines");
    one.run = json_integer_value(json_object_get(run, "run"));
    TRY(json_check(whole, "a run", err));
    json_array_append_new(runs, whole);
    TRY(store_read(s, &one, collect_line, whole, err));
    return store_notes(s, one.run, json_object_get(whole, "notes"), err);
}

be_status choose_collect(store *s, const store_filter *filter, json_t *runs, be_error *err)
{
    int64_t rest = 0;
    json_t *list = json_array();
    be_status status = store_list(s, filter, list, &rest, err);
    /* The list has the newest first. */
    for (size_t i = json_array_size(list); status == BE_OK && i-- > 0;)
        status = collect_run(s, json_array_get(list, i), runs, err);
    json_decref(list);
    return status;
}

be_status choose_runs(store *s, const char *name, json_t *runs, be_error *err)
{
    choice c;
    char title[200];
    be_status status = open_choice(&c, s, name, title, err);
    if (status == BE_OK) status = choose_collect(c.of, &c.filter, runs, err);
    store_close(c.own);
    return status;
}
