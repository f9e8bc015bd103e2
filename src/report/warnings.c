/* See warnings.h. */
#include "report/warnings.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "report/contender.h"

#define NAMES_MOST 3 /* else two, and how many more */
#define NAMES_BYTES (4 * REPORT_TEXT_BYTES)

static const char *const sentences[] = {
#define X(id, word, text) text,
    WARNING_LIST(X)
#undef X
};

/* ---------------------------------------------------------------- names */

typedef bool is_chosen(const json_t *record, const void *context);

/* "native on 2 threads, PyTorch on 2 threads and 3 more". */
static const char *names_of(const json_t *records, is_chosen *choose, const void *context,
                            char out[NAMES_BYTES])
{
    char who[REPORT_TEXT_BYTES];
    size_t count = 0, names = 0, i;
    json_t *record;
    json_array_foreach(records, i, record) count += choose(record, context);
    text_buffer b = text_begin(out, NAMES_BYTES);
    size_t limit = count > NAMES_MOST ? NAMES_MOST - 1 : count;
    json_array_foreach(records, i, record)
    {
        if (names == limit || !choose(record, context)) continue;
        text_add(&b, "%s%.50s", names ? ", " : "", contender_who(record, who));
        names++;
    }
    if (names < count) text_add(&b, " and %zu more", count - names);
    return out;
}

/* ---------------------------------------------------------------- kinds */

/* The index of the record's warning of this kind, -1 if it has none. */
static int index_of(const json_t *record, warning_kind kind)
{
    size_t i;
    json_t *warned;
    json_array_foreach(report_member(record, bench, warned), i, warned)
    {
        if (strcmp(report_string(warned, warned, kind), warning_word(kind)) == 0) return (int)i;
    }
    return -1;
}

static bool has_kind(const json_t *record, const void *context)
{
    return index_of(record, *(const warning_kind *)context) >= 0;
}

/* The largest share of all that have it. */
static double largest(const json_t *records, warning_kind kind)
{
    size_t i;
    json_t *record;
    double result = (double)NAN;
    json_array_foreach(records, i, record)
    {
        int at = index_of(record, kind);
        const json_t *warned = json_array_get(report_member(record, bench, warned), (size_t)at);
        if (at >= 0 && !(report_real(warned, warned, value) <= result))
            result = report_real(warned, warned, value);
    }
    return result;
}

/* What the first record that has it says itself. */
static const char *own_text(const json_t *records, warning_kind kind)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        int at = index_of(record, kind);
        const json_t *texts = report_member(record, bench, warnings);
        const char *text = at < 0 ? NULL : json_string_value(json_array_get(texts, (size_t)at));
        if (text) return text;
    }
    return "";
}

static void add_kind(const json_t *records, warning_kind kind, warnings_lines *lines)
{
    char names[NAMES_BYTES];
    size_t i, having = 0;
    json_t *record;
    json_array_foreach(records, i, record) having += has_kind(record, &kind);
    sentence *s = having ? warnings_next(lines) : NULL;
    if (!s) return;
    names_of(records, has_kind, &kind, names);
    bool all = having > 1 && having == json_array_size(records);
    sentence_add(s, "warning: %s%s", all ? "" : names, all ? "" : ": ");
    if (sentences[kind][0])
        sentence_add(s, sentences[kind], 100 * largest(records, kind));
    else
        sentence_add(s, "%s", own_text(records, kind));
}

/* Those of the environment that the program's own warning does not say already. */
static void add_machine(const json_t *records, warnings_lines *lines)
{
    const json_t *texts = report_member(json_array_get(records, 0), bench, environment.warnings);
    const char *build = own_text(records, WARNING_BUILD);
    size_t i;
    json_t *text;
    json_array_foreach(texts, i, text)
    {
        if (strcmp(build, json_string_value(text)) == 0) continue;
        sentence *s = warnings_next(lines);
        if (s) sentence_add(s, "warning: %s", json_string_value(text));
    }
}

void warnings_write(const json_t *records, warning_kind last, bool machine, FILE *out)
{
    warnings_lines lines = {.count = 0};
    for (int kind = 0; kind <= (int)last; kind++) {
        add_kind(records, (warning_kind)kind, &lines);
        if (kind == WARNING_BUILD && machine) add_machine(records, &lines);
    }
    warnings_end(&lines, out);
}

/* ---------------------------------------------------------------- lines */

sentence *warnings_next(warnings_lines *lines)
{
    if (lines->count < WARNINGS_MOST) return &lines->shown[lines->count++];
    lines->left_out++;
    return NULL;
}

void warnings_end(warnings_lines *lines, FILE *out)
{
    if (lines->left_out)
        sentence_add(&lines->shown[WARNINGS_MOST - 1], " (%d more: --format jsonl)",
                     lines->left_out);
    for (int i = 0; i < lines->count; i++) sentence_end(&lines->shown[i], out);
}

/* ---------------------------------------------------------------- texts */

typedef struct like {
    warnings_text *text_of;
    const char *text;
} like;

static bool is_like(const json_t *record, const void *context)
{
    const like *l = context;
    return strcmp(l->text_of(record), l->text) == 0;
}

void warnings_write_texts(const json_t *records, warnings_text *text_of, const char *other,
                          FILE *out)
{
    size_t count = json_array_size(records);
    for (size_t i = 0; i < count; i++) {
        char names[NAMES_BYTES];
        like l = {text_of, text_of(json_array_get(records, i))};
        bool is_repeated = !*l.text;
        for (size_t k = 0; k < i && !is_repeated; k++)
            is_repeated = is_like(json_array_get(records, k), &l);
        if (is_repeated) continue;
        sentence s = {0};
        sentence_add(&s, "%s%s%s", names_of(records, is_like, &l, names), other, l.text);
        sentence_end(&s, out);
    }
}

typedef struct listed {
    const char *path;
    const json_t *text;
} listed;

static bool lists_it(const json_t *record, const void *context)
{
    const listed *l = context;
    size_t n;
    json_t *text;
    json_array_foreach(json_at(record, l->path), n, text)
    {
        if (json_equal(text, l->text)) return true;
    }
    return false;
}

void warnings_write_lists(const json_t *records, const char *path, FILE *out)
{
    warnings_lines lines = {.count = 0};
    size_t i, n;
    json_t *record, *text;
    json_array_foreach(records, i, record)
    {
        json_array_foreach(json_at(record, path), n, text)
        {
            char names[NAMES_BYTES];
            listed l = {path, text};
            bool is_repeated = false;
            for (size_t k = 0; k < i && !is_repeated; k++)
                is_repeated = lists_it(json_array_get(records, k), &l);
            sentence *s = is_repeated ? NULL : warnings_next(&lines);
            if (s)
                sentence_add(s, "%s: %s", names_of(records, lists_it, &l, names),
                             json_string_value(text));
        }
    }
    warnings_end(&lines, out);
}
