/* Tables and files of a sweep. */
#include "report/sweep.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "report/html.h"
#include "report/warnings.h"

static const char *x_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return report_count(report_real(record, point, x), out);
}

/* "0.412 [0.403, 0.421]"; without bounds that would say nothing. */
static const char *ratio_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double low = report_real(record, point, low), high = report_real(record, point, high);
    if (high > SWEEP_SCATTER * low)
        snprintf(out, REPORT_TEXT_BYTES, "%.3g [unknown]", report_real(record, point, ratio));
    else
        snprintf(out, REPORT_TEXT_BYTES, "%.3g [%.3g, %.3g]", report_real(record, point, ratio),
                 low, high);
    return out;
}

/* A name without the words that the other one begins or ends with too: "native cpu" beside "native
 * cuda:0" is "cpu", "native cpu 2 threads" beside "PyTorch cpu 2 threads" is "native". */
static const char *short_name(const char *name, const char *other, char out[REPORT_TEXT_BYTES])
{
    size_t start = 0, end = strlen(name), length = end, others = strlen(other);
    for (size_t i = 0; name[i] && name[i] == other[i]; i++)
        if (name[i] == ' ') start = i + 1;
    for (size_t i = 1; start + i < length && start + i < others; i++) {
        if (name[length - i] != other[others - i]) break;
        if (name[length - i] == ' ') end = length - i;
    }
    snprintf(out, REPORT_TEXT_BYTES, "%.*s", (int)(end - start), name + start);
    return out;
}

static const char *verdict_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    const char *verdict = report_string(record, point, verdict);
    const char *first = report_string(record, point, first),
               *second = report_string(record, point, second);
    if (strcmp(verdict, "FASTER") == 0) return short_name(first, second, out);
    if (strcmp(verdict, "SLOWER") == 0) return short_name(second, first, out);
    snprintf(out, REPORT_TEXT_BYTES, "%s", verdict);
    return out;
}

/* All points of all pairs as rows of their own; of one pair if `only` is given. */
static json_t *rows_of(const json_t *result, const json_t *only)
{
    static const char *const names[] = {MEMBER(pair, first), MEMBER(pair, second)};
    json_t *rows = json_array(), *pair, *point;
    size_t p, i;
    json_array_foreach(report_member(result, sweep, pairs), p, pair)
    {
        if (only && pair != only) continue;
        json_array_foreach(report_member(pair, pair, points), i, point)
        {
            json_t *row = json_copy(point);
            json_object_set_new(row, "kind", json_string("point"));
            json_object_set(row, "workload", report_member(result, sweep, workload));
            json_object_set(row, "axis", report_member(result, sweep, axis));
            for (int n = 0; n < 2; n++)
                json_object_set(row, names[n], json_object_get(pair, names[n]));
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

static be_status write_csv(const json_t *result, FILE *out, be_error *err)
{
    static const report_column columns[] = {{MEMBER(point, workload), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, axis), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, x), NULL, UNIT_NUMBER, NULL},
                                            {MEMBER(point, first), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, second), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, first_s), NULL, UNIT_SECONDS, NULL},
                                            {MEMBER(point, second_s), NULL, UNIT_SECONDS, NULL},
                                            {MEMBER(point, ratio), NULL, UNIT_NUMBER, NULL},
                                            {MEMBER(point, low), NULL, UNIT_NUMBER, NULL},
                                            {MEMBER(point, high), NULL, UNIT_NUMBER, NULL},
                                            {MEMBER(point, verdict), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, first_setting), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, second_setting), NULL, UNIT_TEXT, NULL},
                                            {MEMBER(point, runs), NULL, UNIT_COUNT, NULL},
                                            {MEMBER(point, runs_agreeing), NULL, UNIT_COUNT, NULL}};
    json_t *rows = rows_of(result, NULL);
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], rows, -1};
    be_status status = report_write(&sheet, REPORT_CSV, out, err);
    json_decref(rows);
    return status;
}

/* The points, then what was found for each pair. */
static be_status write_jsonl(const json_t *result, FILE *out, be_error *err)
{
    json_t *rows = rows_of(result, NULL), *pair;
    size_t p;
    json_array_foreach(report_member(result, sweep, pairs), p, pair)
    {
        json_t *line = json_copy(pair);
        json_object_set_new(line, "kind", json_string("pair"));
        json_object_set(line, "workload", report_member(result, sweep, workload));
        json_object_set(line, "axis", report_member(result, sweep, axis));
        json_object_set(line, "ended", report_member(result, sweep, ended));
        json_object_del(line, "points");
        json_array_append_new(rows, line);
    }
    report_sheet sheet = {.records = rows, .best = -1};
    be_status status = report_write(&sheet, REPORT_JSONL, out, err);
    json_decref(rows);
    return status;
}

/* ---------------------------------------------------------------- for people */

static void print_head(const json_t *result, FILE *out)
{
    char name[REPORT_TEXT_BYTES], from[REPORT_TEXT_BYTES], to[REPORT_TEXT_BYTES], line[700];
    const json_t *e = report_member(result, sweep, environment);
    report_hardware(report_string(e, environment, cpu.model), name);
    double cores = report_real(e, environment, cpu.cores);
    snprintf(line, sizeof line, "machine: %s, %s core%s; %s", name, report_count(cores, from),
             cores == 1 ? "" : "s", report_string(e, environment, system));
    if (!report_is_document()) report_paragraph(out, line, 2);
    snprintf(line, sizeof line, "data: %s", report_string(result, sweep, data));
    report_paragraph(out, line, 2);
    double batch = report_real(result, sweep, batch);
    text_buffer b = TEXT_BUFFER(line);
    text_add(
        &b, "%s, %s, %s: %s from %s to %s", report_string(result, sweep, workload),
        report_mode(report_string(result, sweep, workload), report_string(result, sweep, mode)),
        report_string(result, sweep, precision), report_string(result, sweep, noun),
        report_count(report_real(result, sweep, from), from),
        report_count(report_real(result, sweep, to), to));
    if (!isnan(batch)) text_add(&b, ", batch %.0f", batch);
    if (report_heading(out, line)) return;
    fprintf(out, "\n%s", report_look.color ? "\033[1m" : "");
    report_paragraph(out, line, 2);
    fprintf(out, "%s", report_look.color ? "\033[0m" : "");
}

static be_status write_pair(const json_t *result, const json_t *pair, report_format format,
                            FILE *out, be_error *err)
{
    const char *unit = report_is(result, sweep, total) ? "in all" : "a sample";
    const char *first = report_string(pair, pair, first),
               *second = report_string(pair, pair, second);
    char titles[2][REPORT_TEXT_BYTES];
    const report_column columns[] = {
        {MEMBER(point, x), report_string(result, sweep, axis), UNIT_COUNT, x_text},
        {MEMBER(point, first_s), short_name(first, second, titles[0]), UNIT_SECONDS, NULL},
        {MEMBER(point, second_s), short_name(second, first, titles[1]), UNIT_SECONDS, NULL},
        {MEMBER(point, ratio), "ratio [95 %]", UNIT_NUMBER, ratio_text},
        {MEMBER(point, verdict), "faster", UNIT_TEXT, verdict_text}};
    json_t *rows = rows_of(result, pair);
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], rows, -1};
    char line[300];
    snprintf(line, sizeof line, "%s / %s, time %s", first, second, unit);
    fprintf(out, "\n");
    report_paragraph(out, line, 2);
    be_status status = BE_OK;
    if (json_array_size(rows))
        status = report_write(&sheet, format, out, err);
    else
        report_paragraph(out, "nothing was measured", 0);
    json_decref(rows);
    fprintf(out, "\n");
    if (status == BE_OK && !report_look.html) sweep_print_findings(result, pair, out);
    return status;
}

/* "native cpu: 1 thread (batch 8), 2 threads (batch 16–4,096); native avx512 + oneDNN 2.6.3" */
static void print_settings(const json_t *result, const json_t *side, FILE *out)
{
    char line[1200], a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES];
    const char *ran = "";
    text_buffer all = TEXT_BUFFER(line);
    size_t i;
    json_t *stretch;
    const json_t *settings = report_member(side, side, settings);
    if (!json_array_size(settings)) return;
    text_add(&all, "%s ran as ", report_string(side, side, name));
    json_array_foreach(settings, i, stretch)
    {
        double from = report_real(stretch, stretch, from), to = report_real(stretch, stretch, to);
        text_add(&all, "%s%s", i ? ", " : "", report_string(stretch, stretch, setting));
        if (json_array_size(settings) > 1 && from < to)
            text_add(&all, " (%s %s to %s)", report_string(result, sweep, axis),
                     report_count(from, a), report_count(to, b));
        else if (json_array_size(settings) > 1)
            text_add(&all, " (%s %s)", report_string(result, sweep, axis), report_count(from, a));
        ran = report_string(stretch, stretch, implementation);
    }
    text_add(&all, "; %s", ran);
    report_paragraph(out, line, 2);
}

/* What happened, then what the machine is doubted for. */
static void print_notes(const json_t *result, FILE *out)
{
    const json_t *const lists[] = {report_member(result, sweep, notes),
                                   report_member(result, sweep, environment.warnings)};
    warnings_lines lines = {.count = 0};
    size_t i;
    json_t *item;
    for (int l = 0; l < 2; l++) json_array_foreach(lists[l], i, item)
        {
            sentence *s = warnings_next(&lines);
            if (s) sentence_add(s, "%s: %s", l ? "warning" : "note", json_string_value(item));
        }
    warnings_end(&lines, out);
}

static void print_end(const json_t *result, FILE *out)
{
    char line[1400];
    const char *end = report_string(result, sweep, ended),
               *file = report_string(result, sweep, file);
    size_t i;
    json_t *item;
    json_array_foreach(report_member(result, sweep, sides), i, item)
        print_settings(result, item, out);
    print_notes(result, out);
    /* The options are of the command: a document has no file that could be resumed. */
    bool here = !report_is_document();
    const char *next = !here                            ? "."
                       : strcmp(end, "time limit") == 0 ? ": a longer --max-time, with --resume, "
                                                          "goes on."
                                                        : "; --resume goes on.";
    const char *how = strcmp(end, "time limit") == 0 ? "The time was over before all was decided"
                      : strcmp(end, "interrupted") == 0
                          ? "Interrupted: these are the results so far"
                      : strcmp(end, "failed") == 0 ? "It failed: these are the results so far"
                                                   : "";
    double earlier = report_real(result, sweep, loaded);
    double measured = report_real(result, sweep, measured);
    text_buffer b = TEXT_BUFFER(line);
    text_add(&b, "%s%s%s%.0f run%s%s in %.0f s", how, *how ? next : "", *how ? " " : "", measured,
             measured == 1 ? "" : "s", earlier > 0 ? ", some of them before," : "",
             report_real(result, sweep, elapsed_s));
    if (here) text_add(&b, ", %s%s", *file ? "kept in " : "not kept", file);
    report_paragraph(out, line, 2);
}

/* What was found first, then the drawing, then the tables, folded away. */
static be_status write_html(const json_t *result, FILE *out, be_error *err)
{
    size_t p;
    json_t *pair;
    be_status status = BE_OK;
    print_head(result, out);
    json_array_foreach(report_member(result, sweep, pairs), p, pair)
        sweep_print_findings(result, pair, out);
    sweep_print_plot(result, out);
    html_fold_begin(out, "every point");
    json_array_foreach(report_member(result, sweep, pairs), p, pair)
    {
        if (status != BE_OK || report_is(pair, pair, beside)) continue;
        status = write_pair(result, pair, REPORT_TABLE, out, err);
    }
    html_fold_end(out);
    print_end(result, out);
    return status;
}

static be_status write_page(const json_t *result, report_format format, FILE *out, be_error *err)
{
    size_t p;
    json_t *pair;
    if (report_look.html) return write_html(result, out, err);
    print_head(result, out);
    json_array_foreach(report_member(result, sweep, pairs), p, pair)
    {
        if (report_is(pair, pair, beside))
            sweep_print_findings(result, pair, out);
        else
            TRY(write_pair(result, pair, format, out, err));
    }
    fprintf(out, "\n");
    if (sweep_is_plotted(result)) {
        const char *fence = format == REPORT_MD ? "```\n" : "";
        fputs(fence, out);
        sweep_print_plot(result, out);
        fprintf(out, "%s\n", fence);
    }
    print_end(result, out);
    return BE_OK;
}

be_status sweep_write(const json_t *result, report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {.records = result, .best = -1};
    switch (format) {
    case REPORT_JSON:
        return report_write(&sheet, REPORT_JSON, out, err);
    case REPORT_JSONL:
        return write_jsonl(result, out, err);
    case REPORT_CSV:
        return write_csv(result, out, err);
    case REPORT_TABLE:
    case REPORT_MD:
        break;
    }
    return write_page(result, format, out, err);
}
