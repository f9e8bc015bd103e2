/* The sheet of explain. */
#include "report/explain.h"
#include "report/explain_sides.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/contender.h"
#include "report/html.h"
#include "report/warnings.h"

#define OPS_SHOWN 8
#define OPS_BEYOND 1.02 /* more than the step: said */

static const char *percent(double share, char out[REPORT_TEXT_BYTES])
{
    if (!isfinite(share)) return strcpy(out, "-");
    double value = fabs(100 * share);
    snprintf(out, REPORT_TEXT_BYTES, value < 9.95 ? "%.1f %%" : "%.0f %%", value);
    return out;
}

/* ---------------------------------------------------------------- phases and prediction */

#define PHASES_COLUMN(phase)                                \
    {                                                       \
        "explain.phases_s." phase, NULL, UNIT_SECONDS, NULL \
    }

/* Of CSV; table and md have them a row each, which reads better at 80 columns. */
static const report_column columns[] = {
    {MEMBER(bench, workload), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, engine), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, device), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, threads), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, batch), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, status), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, step_s.median), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, samples_per_s), NULL, UNIT_NUMBER, NULL},
    {MEMBER(explained, explain.wall_s), NULL, UNIT_SECONDS, NULL},
    PHASES_COLUMN("data"),
    PHASES_COLUMN("upload"),
    PHASES_COLUMN("forward"),
    PHASES_COLUMN("backward"),
    PHASES_COLUMN("optimizer"),
    PHASES_COLUMN("loss_read"),
    PHASES_COLUMN("idle_host"),
    PHASES_COLUMN("idle_other"),
    {MEMBER(explained, explain.phases_sum_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(explained, explain.missing), NULL, UNIT_NUMBER, NULL},
    {MEMBER(explained, explain.launches), NULL, UNIT_COUNT, NULL},
    {MEMBER(explained, explain.synchronisations), NULL, UNIT_COUNT, NULL},
    {MEMBER(explained, explain.upload_bytes), NULL, UNIT_BYTES, NULL},
    {MEMBER(explained, explain.download_bytes), NULL, UNIT_BYTES, NULL},
    {MEMBER(explained, explain.floor_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(explained, explain.bound), NULL, UNIT_TEXT, NULL},
    {MEMBER(explained, explain.predicted_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(explained, explain.predicted_error), NULL, UNIT_NUMBER, NULL},
    {MEMBER(explained, cause.verdict), NULL, UNIT_TEXT, NULL},
    {MEMBER(explained, cause.kind), NULL, UNIT_TEXT, NULL},
    {MEMBER(explained, cause.tried.action), NULL, UNIT_TEXT, NULL},
    {MEMBER(explained, cause.tried.ratio), NULL, UNIT_NUMBER, NULL},
    {MEMBER(explained, cause.tried.verdict), NULL, UNIT_TEXT, NULL},
};

typedef struct row {
    const char *path, *title;
    report_unit unit;
} row;

static const row rows[] = {
    {MEMBER(bench, step_s.median), "measured step", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.data), "data", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.upload), "upload", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.forward), "forward", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.backward), "backward", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.optimizer), "optimizer", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.loss_read), "loss read", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.idle_host), "idle, waits for host", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_s.idle_other), "other idle", UNIT_SECONDS},
    {MEMBER(explained, explain.phases_sum_s), "phases together", UNIT_SECONDS},
    {MEMBER(explained, explain.launches), "launches", UNIT_COUNT},
    {MEMBER(explained, explain.synchronisations), "synchronisations", UNIT_COUNT},
    {MEMBER(explained, explain.upload_bytes), "bytes up", UNIT_BYTES},
    {MEMBER(explained, explain.download_bytes), "bytes down", UNIT_BYTES},
    {MEMBER(explained, explain.predicted_s), "predicted step", UNIT_SECONDS},
    {MEMBER(explained, explain.floor_s), "hardware's floor", UNIT_SECONDS},
};
enum { ROWS = sizeof rows / sizeof rows[0], CONTENDERS_MAX = 16, ACROSS = 4 };
enum { NAME_WIDTH = 22, VALUE_WIDTH = 26 };

static const char *cell(const json_t *record, const row *r, char out[REPORT_TEXT_BYTES])
{
    double value = json_real_at(record, r->path);
    if (value == 0) return strcpy(out, "0");
    return r->unit == UNIT_COUNT   ? report_count(value, out)
           : r->unit == UNIT_BYTES ? report_bytes(value, out)
                                   : report_seconds(value, out);
}

static void print_line(const char *const *cells, int count, bool md, FILE *out)
{
    fprintf(out, md ? "| %s |" : "%s", cells[0]);
    if (!md) fprintf(out, "%*s", NAME_WIDTH - (int)text_width(cells[0]), "");
    for (int c = 1; c < count; c++) {
        int blanks = VALUE_WIDTH - (int)text_width(cells[c]);
        if (md)
            fprintf(out, " %s |", cells[c]);
        else
            fprintf(out, " %*s%s", blanks > 0 ? blanks : 0, "", cells[c]);
    }
    fprintf(out, "\n");
}

/* A column for each record. */
static void write_phases(const json_t *const *records, int count, bool md, FILE *out)
{
    char text[ACROSS + 1][REPORT_TEXT_BYTES];
    const char *cells[ACROSS + 1] = {"a step"};
    bool bold = !md && report_look.color;
    for (int c = 0; c < count; c++) cells[c + 1] = contender_who(records[c], text[c]);
    fprintf(out, "%s", bold ? "\033[1m" : "");
    print_line(cells, count + 1, md, out);
    fprintf(out, "%s", bold ? "\033[0m" : "");
    for (int c = 0; c <= count; c++) cells[c] = c ? "---:" : "---";
    if (md) print_line(cells, count + 1, md, out);
    for (int r = 0; r < ROWS; r++) {
        cells[0] = rows[r].title;
        for (int c = 0; c < count; c++) cells[c + 1] = cell(records[c], &rows[r], text[c]);
        print_line(cells, count + 1, md, out);
    }
    fprintf(out, "\n");
}

static void say_sums(const json_t *record, FILE *out)
{
    char who[REPORT_TEXT_BYTES], sum[REPORT_TEXT_BYTES], wall[REPORT_TEXT_BYTES],
        share[REPORT_TEXT_BYTES], floor_s[REPORT_TEXT_BYTES], predicted[REPORT_TEXT_BYTES],
        error[REPORT_TEXT_BYTES], text[1000];
    double missing = report_real(record, explained, explain.missing);
    double seconds = report_real(record, bench, step_s.median);
    double apart = report_real(record, explained, explain.wall_s) / seconds - 1;
    text_buffer b = TEXT_BUFFER(text);
    text_add(&b, "%s: phases add up to %s of the %s step (%s %s).", contender_who(record, who),
             report_seconds(report_real(record, explained, explain.phases_sum_s), sum),
             report_seconds(report_real(record, explained, explain.wall_s), wall),
             percent(missing, share), missing < 0 ? "too much" : "missing");
    if (fabs(apart) > 0.03)
        text_add(&b, " Taken apart, the step took %s %s than when it was measured.",
                 percent(apart, share), apart > 0 ? "more" : "less");
    if (isfinite(report_real(record, explained, explain.predicted_s)))
        text_add(&b, " Predicted: %s, %s too %s (calibration points predict one another to %s).",
                 report_seconds(report_real(record, explained, explain.predicted_s), predicted),
                 percent(report_real(record, explained, explain.predicted_error), error),
                 report_real(record, explained, explain.predicted_error) > 0 ? "long" : "short",
                 percent(report_real(record, explained, explain.calibration.left_out), share));
    double ops = report_real(record, explained, explain.ops_sum_s) /
                 report_real(record, explained, explain.wall_s);
    if (ops > OPS_BEYOND)
        text_add(&b,
                 " Its ops add up to %s of the step, because they overlap or are slowed by "
                 "being watched: their shares are of that sum.",
                 percent(ops, share));
    double lowest = report_real(record, explained, explain.floor_s);
    if (lowest > 1e-9)
        text_add(&b, " The hardware's floor is %s, set by %s.", report_seconds(lowest, floor_s),
                 report_string(record, explained, explain.bound));
    report_paragraph(out, text, 2);
}

/* ---------------------------------------------------------------- ops */

static int by_seconds(const void *a, const void *b)
{
    double x = report_real(*(json_t *const *)a, op, seconds);
    double y = report_real(*(json_t *const *)b, op, seconds);
    return (x < y) - (x > y);
}

static const char *op_limit(const json_t *op, char out[REPORT_TEXT_BYTES])
{
    char share[REPORT_TEXT_BYTES];
    if (!isfinite(report_real(op, op, limit_share))) return strcpy(out, "-");
    bool arithmetic = strcmp(report_string(op, op, bound), "arithmetic") == 0;
    snprintf(out, REPORT_TEXT_BYTES, "%s %s", percent(report_real(op, op, limit_share), share),
             arithmetic ? "arith." : report_string(op, op, bound));
    return out;
}

static const char *op_share(const json_t *op, char out[REPORT_TEXT_BYTES])
{
    return percent(report_real(op, op, share), out);
}

static const char *op_predicted(const json_t *op, char out[REPORT_TEXT_BYTES])
{
    return report_seconds(report_real(op, op, predicted_s), out);
}

/* An op's id, shortened for people: aten::max_pool2d_backward becomes max_pool2d bwd. */
static const char *op_name(const json_t *op, char out[REPORT_TEXT_BYTES])
{
    static const char *const prefixes[] = {"aten::", "autograd::", "_MklNative", "_Mkl"};
    static const char *const longs[] = {"_backward", "Backprop", "_with_indices"};
    static const char *const shorts[] = {" bwd", " bwd ", ""};
    const char *from = report_string(op, op, op);
    size_t length = 0, skip = 0;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !skip; i++)
        if (strncmp(from, prefixes[i], strlen(prefixes[i])) == 0) skip = strlen(prefixes[i]);
    for (from += skip; *from && length + 8 < REPORT_TEXT_BYTES;) {
        size_t i = 0;
        while (i < 3 && strncmp(from, longs[i], strlen(longs[i])) != 0) i++;
        if (i < 3)
            length += (size_t)snprintf(out + length, REPORT_TEXT_BYTES - length, "%s", shorts[i]);
        else
            out[length++] = *from;
        from += i < 3 ? strlen(longs[i]) : 1;
    }
    while (length && out[length - 1] == ' ') length--;
    out[length] = 0;
    return out;
}

static const report_column op_columns[] = {
    {MEMBER(op, op), "op", UNIT_TEXT, op_name},
    {MEMBER(op, name), "layer", UNIT_TEXT, NULL},
    {MEMBER(op, phase), "phase", UNIT_TEXT, NULL},
    {MEMBER(op, seconds), "time", UNIT_SECONDS, NULL},
    {MEMBER(op, share), "share", UNIT_NUMBER, op_share},
    {MEMBER(op, predicted_s), "pred.", UNIT_SECONDS, op_predicted},
    {MEMBER(op, implementation), "by", UNIT_TEXT, NULL},
    {MEMBER(op, limit_share), "of its limit", UNIT_TEXT, op_limit},
};

static void write_ops(const json_t *record, report_format format, FILE *out)
{
    const json_t *ops = report_member(record, explained, explain.ops);
    size_t count = json_array_size(ops);
    char text[REPORT_TEXT_BYTES];
    void *memory = NULL;
    if (!count || memory_alloc(&memory, count * sizeof(json_t *), "ops to sort", NULL) != BE_OK)
        return;
    json_t **sorted = memory;
    for (size_t i = 0; i < count; i++) sorted[i] = json_array_get(ops, i);
    qsort(sorted, count, sizeof *sorted, by_seconds);
    json_t *rows = json_array();
    double rest = 0;
    for (size_t i = 0; i < count; i++)
        if (i < OPS_SHOWN)
            json_array_append(rows, sorted[i]);
        else
            rest += report_real(sorted[i], op, share);
    if (!report_look.html) fprintf(out, "ops of %s\n", contender_who(record, text));
    if (format == REPORT_MD) fprintf(out, "\n");
    report_sheet sheet = {op_columns, sizeof op_columns / sizeof *op_columns, rows, -1};
    be_error unused;
    if (report_write(&sheet, format, out, &unused) == BE_OK && count > OPS_SHOWN)
        fprintf(out, "%s%zu more: %s\n", format == REPORT_MD ? "\n" : "", count - OPS_SHOWN,
                percent(rest, text));
    fprintf(out, "\n");
    json_decref(rows);
    memory_free(sorted);
}

void explain_ops(const json_t *record, FILE *out)
{
    write_ops(record, REPORT_TABLE, out);
}

/* ---------------------------------------------------------------- all of it */

static const char *failure_of(const json_t *record)
{
    const char *error = report_string(record, bench, error);
    return *error ? error : report_string(record, explained, explain.error);
}

static void write_doubts(const json_t *records, FILE *out)
{
    warnings_write_texts(records, failure_of, " is missing: ", out);
    warnings_write_lists(records, MEMBER(explained, explain.notes), out);
    warnings_write(records, WARNING_IDLE, true, out);
}

/* All of them across: a page scrolls. */
static void write_html_phases(const json_t *const *records, int count, FILE *out)
{
    char text[CONTENDERS_MAX + 1][REPORT_TEXT_BYTES];
    const char *cells[CONTENDERS_MAX + 1] = {"a step"};
    for (int c = 0; c < count; c++) cells[c + 1] = contender_who(records[c], text[c]);
    html_table_begin(out, NULL);
    html_row(out, "th", cells, count + 1);
    for (int r = 0; r < ROWS; r++) {
        cells[0] = rows[r].title;
        for (int c = 0; c < count; c++) cells[c + 1] = cell(records[c], &rows[r], text[c]);
        html_row(out, "td", cells, count + 1);
    }
    html_table_end(out);
}

/* Why first, then the bars; the numbers are folded away. */
static void write_html(const json_t *records, const json_t *const *explained, int count, FILE *out)
{
    const json_t *first = json_array_get(records, 0);
    char text[REPORT_TEXT_BYTES], name[REPORT_TEXT_BYTES + 20];
    snprintf(name, sizeof name, "%.60s, %.20s, batch %.0f: where a step goes",
             report_string(first, bench, workload), report_string(first, bench, precision),
             report_real(first, bench, batch));
    report_heading(out, name);
    explain_words(records, out);
    explain_bars(records, out);
    for (int c = 0; c < count; c++) say_sums(explained[c], out);
    html_fold_begin(out, "phases, launches and bytes");
    write_html_phases(explained, count, out);
    html_fold_end(out);
    for (int c = 0; c < count; c++) {
        snprintf(name, sizeof name, "ops of %.230s", contender_who(explained[c], text));
        html_fold_begin(out, name);
        write_ops(explained[c], REPORT_TABLE, out);
        html_fold_end(out);
    }
    write_doubts(records, out);
}

static void write_people(const json_t *records, report_format format, FILE *out)
{
    const json_t *explained[CONTENDERS_MAX], *first = json_array_get(records, 0);
    int count = 0;
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record) if (explain_has(record) && count < CONTENDERS_MAX)
        explained[count++] = record;
    if (report_look.html) {
        write_html(records, explained, count, out);
        return;
    }
    fprintf(out, "%s%s, %s, batch %.0f\n\n", format == REPORT_MD ? "## " : "",
            report_string(first, bench, workload), report_string(first, bench, precision),
            report_real(first, bench, batch));
    int across = (report_columns() - NAME_WIDTH) / (VALUE_WIDTH + 1);
    across = across < 1 ? 1 : across > ACROSS ? ACROSS : across;
    for (int at = 0; at < count; at += across)
        write_phases(explained + at, count - at < across ? count - at : across, format == REPORT_MD,
                     out);
    if (format == REPORT_MD) fprintf(out, "```\n");
    explain_bars(records, out);
    fprintf(out, format == REPORT_MD ? "```\n\n" : "\n");
    for (int c = 0; c < count; c++) say_sums(explained[c], out);
    if (count) fprintf(out, "\n");
    for (int c = 0; c < count; c++) write_ops(explained[c], format, out);
    explain_words(records, out);
    write_doubts(records, out);
}

be_status explain_write(const json_t *records, report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {columns, sizeof columns / sizeof *columns, records, -1};
    if (format != REPORT_TABLE && format != REPORT_MD)
        return report_write(&sheet, format, out, err);
    write_people(records, format, out);
    return BE_OK;
}
