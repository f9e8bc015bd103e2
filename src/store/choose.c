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

static be_status from_file(const char *path, json_t *records, be_error *err)
{
    store *own = NULL;
    import_count count;
    store_filter all = {.since_s = -1, .until_s = -1};
    TRY(store_open(&own, ":memory:", err));
    be_status status = import_file(own, path, &count, err);
    if (status == BE_OK) status = store_read(own, &all, add_line, records, err);
    store_close(own);
    return status;
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

static be_status from_store(store *s, const char *name, store_filter *filter, char title[200],
                            be_error *err)
{
    int64_t left = 0;
    json_t *runs = json_array();
    be_status status = BE_OK;
    if (may_be_commit(name)) {
        filter->commit = name;
        filter->most = 1;
        status = store_list(s, filter, runs, &left, err);
        snprintf(title, 200, "build %.190s", name);
    }
    if (status == BE_OK && !json_array_size(runs)) {
        *filter = (store_filter){.machine = name, .since_s = -1, .until_s = -1};
        status = store_list(s, filter, runs, &left, err);
        if (status == BE_OK) status = find_machine(name, runs, title, err);
    }
    filter->most = 0;
    json_decref(runs);
    return status;
}

be_status choose_records(store *s, const char *name, json_t *records, char title[200],
                         be_error *err)
{
    store_filter filter = {.since_s = -1, .until_s = -1};
    if (is_number(name)) {
        filter.run = strtoll(name, NULL, 10);
        TRY(store_check_run(s, filter.run, err));
        snprintf(title, 200, "run %s", name);
    } else if (file_exists(name)) {
        const char *slash = strrchr(name, '/');
        snprintf(title, 200, "%.199s", slash ? slash + 1 : name);
        return from_file(name, records, err);
    } else {
        TRY(from_store(s, name, &filter, title, err));
    }
    return store_read(s, &filter, add_line, records, err);
}
