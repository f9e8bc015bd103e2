/* See compare.h. */
#include "report/compare.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "report/contender.h"
#include "report/sentence.h"
#include "workloads/workload.h"

#define COLUMNS_MAX 30
#define TITLE_BYTES 40

/* ---------------------------------------------------------------- cells */

/* What a letter has in a row: NULL where it has none. */
static const json_t *of(const json_t *row, const char *group, const char *letter)
{
    return json_object_get(json_object_get(row, group), letter);
}

static double number_of(const json_t *row, const char *group, const char *letter)
{
    const json_t *value = of(row, group, letter);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* "0.98 [0.97, 0.99] FASTER" */
static const char *ratio_text(double ratio, double low, double high, const char *verdict,
                              char out[REPORT_TEXT_BYTES])
{
    if (isnan(ratio)) return strcpy(out, "-");
    if (isnan(low) || isnan(high))
        snprintf(out, REPORT_TEXT_BYTES, "%.3g %s", ratio, verdict);
    else
        snprintf(out, REPORT_TEXT_BYTES, "%.3g [%.3g, %.3g] %s", ratio, low, high, verdict);
    return out;
}

/* "256", "256, width 2": the batch and what of the variant is not its own. */
static const char *batch_text(const json_t *row, char out[REPORT_TEXT_BYTES])
{
    text_buffer b = text_begin(out, REPORT_TEXT_BYTES);
    text_add(&b, "%.0f", report_real(row, compare_row, batch));
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        double value = json_real_at(row, workload_dimension_names[d]);
        if (value > (d == WORKLOAD_WIDTH ? 1 : 0))
            text_add(&b, ", %s %.0f", workload_dimension_names[d], value);
    }
    return out;
}

static const char *engine_text(const json_t *row, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s", contender_title(row));
    return out;
}

/* ---------------------------------------------------------------- the table */

typedef struct page {
    report_column columns[COLUMNS_MAX];
    char paths[COLUMNS_MAX][TITLE_BYTES], titles[COLUMNS_MAX][TITLE_BYTES];
    int count;
} page;

static void add_column(page *p, const char *path, const char *title, report_unit unit)
{
    MUST(p->count < COLUMNS_MAX);
    snprintf(p->paths[p->count], TITLE_BYTES, "%s", path);
    snprintf(p->titles[p->count], TITLE_BYTES, "%s", title);
    p->columns[p->count] = (report_column){p->paths[p->count], p->titles[p->count], unit, NULL};
    p->count++;
}

static void add_letter(page *p, const char *group, const char *letter, const char *title,
                       report_unit unit)
{
    char path[TITLE_BYTES];
    snprintf(path, sizeof path, "%s.%s", group, letter);
    add_column(p, path, title, unit);
}

/* "0.98 [0.97, 0.99] FASTER" of a letter; a cell knows its row alone, so each has its own. */
static const char *against(const json_t *row, const char *letter, char out[REPORT_TEXT_BYTES])
{
    const char *verdict = json_string_value(of(row, MEMBER(compare_row, verdict), letter));
    return ratio_text(number_of(row, MEMBER(compare_row, ratio), letter),
                      number_of(row, MEMBER(compare_row, ratio_low), letter),
                      number_of(row, MEMBER(compare_row, ratio_high), letter),
                      verdict ? verdict : "", out);
}

#define LETTER_LIST(X) X(A) X(B) X(C) X(D) X(E) X(F) X(G) X(H)
#define X(letter)                                                                       \
    static const char *against_##letter(const json_t *row, char out[REPORT_TEXT_BYTES]) \
    {                                                                                   \
        return against(row, #letter, out);                                              \
    }
LETTER_LIST(X)
#undef X

static const char *(*const against_text[])(const json_t *, char[REPORT_TEXT_BYTES]) = {
#define X(letter) against_##letter,
    LETTER_LIST(X)
#undef X
};

static void add_sides(page *p, const json_t *result)
{
    const json_t *sides = report_member(result, comparisons, sides);
    const char *base = report_string(result, comparisons, baseline);
    size_t s;
    json_t *side;
    json_array_foreach(sides, s, side)
        add_letter(p, MEMBER(compare_row, step_s), report_string(side, compare_side, letter),
                   report_string(side, compare_side, letter), UNIT_SECONDS);
    json_array_foreach(sides, s, side)
    {
        char title[TITLE_BYTES];
        const char *letter = report_string(side, compare_side, letter);
        snprintf(title, sizeof title, "%s / %s", letter, base);
        if (strcmp(letter, base) == 0) continue;
        add_letter(p, MEMBER(compare_row, ratio), letter, title, UNIT_NUMBER);
        p->columns[p->count - 1].text = against_text[letter[0] - 'A'];
    }
}

/* What a row is of. */
static void add_row(page *p)
{
    add_column(p, MEMBER(compare_row, workload), "workload", UNIT_TEXT);
    add_column(p, MEMBER(compare_row, engine), "engine", UNIT_TEXT);
    p->columns[p->count - 1].text = engine_text;
    add_column(p, MEMBER(compare_row, device), "device", UNIT_TEXT);
    add_column(p, MEMBER(compare_row, precision), "type", UNIT_TEXT);
    add_column(p, MEMBER(compare_row, batch), "batch", UNIT_COUNT);
    p->columns[p->count - 1].text = batch_text;
}

static bool is_known(const json_t *result, const char *group, const char *letter)
{
    size_t r;
    json_t *row;
    json_array_foreach(report_member(result, comparisons, rows), r,
                       row) if (!isnan(number_of(row, group, letter))) return true;
    return false;
}

/* What a side gives for a joule and for its price, where a sensor told it and a price was given. */
static be_status write_yields(const json_t *result, report_format format, FILE *out, be_error *err)
{
    static const struct {
        const char *group, *title;
        report_unit unit;
    } yields[] = {{MEMBER(compare_row, samples_per_j), "%s, a joule", UNIT_NUMBER},
                  {MEMBER(compare_row, samples_per_price), "%s, a unit of price", UNIT_COUNT}};
    page p = {.count = 0};
    size_t s;
    json_t *side;
    add_row(&p);
    int before = p.count;
    for (size_t y = 0; y < sizeof yields / sizeof *yields; y++)
        json_array_foreach(report_member(result, comparisons, sides), s, side)
        {
            char title[TITLE_BYTES];
            const char *letter = report_string(side, compare_side, letter);
            if (!is_known(result, yields[y].group, letter)) continue;
            snprintf(title, sizeof title, yields[y].title, letter);
            add_letter(&p, yields[y].group, letter, title, yields[y].unit);
        }
    if (p.count == before) return BE_OK;
    report_sheet sheet = {p.columns, p.count, report_member(result, comparisons, rows), -1};
    fprintf(out, "\n");
    report_paragraph(
        out, "samples for a joule (a second's, per watt), and for one unit of the price", 2);
    fprintf(out, "\n");
    return report_write(&sheet, format, out, err);
}

static be_status write_table(const json_t *result, report_format format, FILE *out, be_error *err)
{
    page p = {.count = 0};
    add_row(&p);
    add_sides(&p, result);
    report_sheet sheet = {p.columns, p.count, report_member(result, comparisons, rows), -1};
    return report_write(&sheet, format, out, err);
}

/* Every number of every side. */
static be_status write_csv(const json_t *result, FILE *out, be_error *err)
{
    static const char *const groups[] = {
        MEMBER(compare_row, step_s),        MEMBER(compare_row, step_low_s),
        MEMBER(compare_row, step_high_s),   MEMBER(compare_row, samples_per_s),
        MEMBER(compare_row, threads),       MEMBER(compare_row, ratio),
        MEMBER(compare_row, ratio_low),     MEMBER(compare_row, ratio_high),
        MEMBER(compare_row, verdict),       MEMBER(compare_row, epochs_s),
        MEMBER(compare_row, epochs_j),      MEMBER(compare_row, epochs_price),
        MEMBER(compare_row, samples_per_j), MEMBER(compare_row, samples_per_price)};
    static const char *const names[] = {MEMBER(compare_row, workload),  MEMBER(compare_row, mode),
                                        MEMBER(compare_row, engine),    MEMBER(compare_row, device),
                                        MEMBER(compare_row, precision), MEMBER(compare_row, batch)};
    json_t *rows = json_array(), *row, *side;
    size_t r, s;
    report_column columns[COLUMNS_MAX];
    int count = 0;
    json_array_foreach(report_member(result, comparisons, rows), r, row)
        json_array_foreach(report_member(result, comparisons, sides), s, side)
    {
        const char *letter = report_string(side, compare_side, letter);
        json_t *line = json_object();
        if (!of(row, MEMBER(compare_row, step_s), letter)) continue;
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            json_object_set(line, names[n], json_object_get(row, names[n]));
        json_object_set(line, "side", report_member(side, compare_side, title));
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            json_object_set(line, groups[g], (json_t *)of(row, groups[g], letter));
        json_array_append_new(rows, line);
    }
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        columns[count++] = (report_column){names[n], NULL, UNIT_TEXT, NULL};
    columns[count++] = (report_column){MEMBER(compare_row, side), NULL, UNIT_TEXT, NULL};
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        columns[count++] = (report_column){groups[g], NULL, UNIT_NUMBER, NULL};
    report_sheet sheet = {columns, count, rows, -1};
    be_status status = report_write(&sheet, REPORT_CSV, out, err);
    json_decref(rows);
    return status;
}

/* ---------------------------------------------------------------- sentences */

static void print_sides(const json_t *result, FILE *out)
{
    const char *base = report_string(result, comparisons, baseline);
    size_t s;
    json_t *side;
    json_array_foreach(report_member(result, comparisons, sides), s, side)
    {
        char line[400];
        text_buffer b = TEXT_BUFFER(line);
        const char *letter = report_string(side, compare_side, letter);
        double price = report_real(side, compare_side, price_per_hour);
        text_add(&b, "%s: %s", letter, report_string(side, compare_side, title));
        if (price >= 0) text_add(&b, ", %.4g per hour", price);
        if (strcmp(letter, base) == 0) text_add(&b, "; the others are held against it");
        report_paragraph(out, line, 2);
    }
}

/* What is not alike, before any number. */
static void print_differences(const json_t *result, FILE *out)
{
    const char *base = report_string(result, comparisons, baseline);
    size_t i;
    json_t *d;
    json_array_foreach(report_member(result, comparisons, differences), i, d)
    {
        char line[500];
        text_buffer b = TEXT_BUFFER(line);
        const char *value = report_string(d, difference, value),
                   *other = report_string(d, difference, baseline);
        double rows = report_real(d, difference, rows), all = report_real(d, difference, of);
        text_add(&b, "not alike: %s: %s in %s, %s in %s", report_string(d, difference, setting),
                 *value ? value : "unknown", report_string(d, difference, letter),
                 *other ? other : "unknown", base);
        if (rows < all) text_add(&b, " (%.0f of %.0f rows)", rows, all);
        report_paragraph(out, line, 2);
    }
    fprintf(out, "\n");
}

static void print_means(const json_t *result, FILE *out)
{
    const char *base = report_string(result, comparisons, baseline), *letter;
    json_t *mean, *lacks;
    sentence s = {0};
    json_object_foreach(report_member(result, comparisons, means), letter, mean)
    {
        char text[REPORT_TEXT_BYTES];
        if (json_is_null(mean)) continue;
        sentence_add(
            &s, "%s / %s: %s, the geometric mean over %.0f row%s that all have", letter, base,
            ratio_text(report_real(mean, mean, ratio), report_real(mean, mean, low),
                       report_real(mean, mean, high), report_string(mean, mean, verdict), text),
            report_real(mean, mean, rows), report_real(mean, mean, rows) == 1 ? "" : "s");
        sentence_end(&s, out);
    }
    size_t rows = json_array_size(report_member(result, comparisons, rows));
    json_object_foreach(report_member(result, comparisons, missing), letter, lacks)
    {
        double count = json_number_value(lacks);
        if (count < 1) continue;
        sentence_add(&s, "%s lacks %.0f of %zu rows", letter, count, rows);
        sentence_end(&s, out);
    }
    sentence_add(&s,
                 "Ratios are of the time of a sample; the sides were not measured side by side, "
                 "so that what changed between them (load, heat) is in the ratios.");
    sentence_end(&s, out);
}

/* ---------------------------------------------------------------- who is fastest */

static int by_time(const void *a, const void *b)
{
    double x = report_real(*(json_t *const *)a, ranking, epochs_s);
    double y = report_real(*(json_t *const *)b, ranking, epochs_s);
    return (x > y) - (x < y);
}

/* Of the first row of a workload the baseline's time on its processor, else its fastest. */
static double base_of(const json_t *lines, const char *base)
{
    double fastest = NAN;
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        double seconds = report_real(line, ranking, epochs_s);
        if (strcmp(report_string(line, ranking, letter), base) != 0) continue;
        if (contender_is_cpu(line)) return seconds;
        fastest = fmin(seconds, fastest);
    }
    return fastest;
}

/* The lines of a workload, the fastest first: each side's engines and devices at their best batch.
 */
static json_t *ranking_of(const json_t *result, const char *workload)
{
    json_t *lines = json_array(), *row, *side;
    size_t r, s;
    json_array_foreach(report_member(result, comparisons, rows), r, row)
    {
        if (strcmp(report_string(row, compare_row, workload), workload) != 0) continue;
        json_array_foreach(report_member(result, comparisons, sides), s, side)
        {
            const char *letter = report_string(side, compare_side, letter);
            json_t *line = json_copy(row);
            double seconds = number_of(row, MEMBER(compare_row, epochs_s), letter);
            size_t at = 0;
            json_object_set(line, "letter", report_member(side, compare_side, letter));
            json_object_set(line, "title", report_member(side, compare_side, title));
            json_object_set(line, "device_name",
                            (json_t *)of(row, MEMBER(compare_row, device_name), letter));
            json_object_set_new(line, "epochs_s", json_of_real(seconds));
            json_object_set_new(
                line, "epochs_j",
                json_of_real(number_of(row, MEMBER(compare_row, epochs_j), letter)));
            json_object_set_new(
                line, "epochs_price",
                json_of_real(number_of(row, MEMBER(compare_row, epochs_price), letter)));
            while (at < json_array_size(lines)) {
                json_t *other = json_array_get(lines, at);
                if (by_time(&line, &other) < 0) break;
                at++;
            }
            if (seconds > 0) json_array_insert(lines, at, line);
            json_decref(line);
        }
    }
    return lines;
}

static const char *times_text(const json_t *line, char out[REPORT_TEXT_BYTES])
{
    double times = report_real(line, ranking, speed_up);
    snprintf(out, REPORT_TEXT_BYTES, "%.*f%s", times < 9.995 ? 2 : 1, times, report_times());
    return out;
}

static const char *device_text(const json_t *line, char out[REPORT_TEXT_BYTES])
{
    const char *name = report_string(line, ranking, device_name);
    char hardware[REPORT_TEXT_BYTES];
    report_hardware(name, hardware);
    snprintf(out, REPORT_TEXT_BYTES, "%.16s%s%.40s", report_string(line, ranking, device),
             *name ? " " : "", hardware);
    return out;
}

static be_status write_ranking(const json_t *result, const char *workload, report_format format,
                               FILE *out, be_error *err)
{
    static const report_column columns[] = {
        {MEMBER(ranking, letter), "", UNIT_TEXT, NULL},
        {MEMBER(ranking, engine), "engine", UNIT_TEXT, engine_text},
        {MEMBER(ranking, device), "device", UNIT_TEXT, device_text},
        {MEMBER(ranking, precision), "type", UNIT_TEXT, NULL},
        {MEMBER(ranking, batch), "batch", UNIT_COUNT, batch_text},
        {MEMBER(ranking, epochs_s), "in all", UNIT_SECONDS, NULL},
        {MEMBER(ranking, speed_up), "speed-up", UNIT_NUMBER, times_text},
        {MEMBER(ranking, epochs_j), "joules", UNIT_NUMBER, NULL},
        {MEMBER(ranking, epochs_price), "costs", UNIT_NUMBER, NULL},
    };
    json_t *lines = ranking_of(result, workload), *line;
    double base = base_of(lines, report_string(result, comparisons, baseline));
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], lines, 0};
    be_status status = BE_OK;
    size_t i;
    char head[200];
    json_array_foreach(lines, i, line) json_object_set_new(
        line, "speed_up", json_of_real(base / report_real(line, ranking, epochs_s)));
    snprintf(head, sizeof head,
             "%.60s, %.0f epochs, start included; the speed-up is over %s on its processor",
             workload, report_real(result, comparisons, epochs),
             report_string(result, comparisons, baseline));
    if (json_array_size(lines)) {
        fprintf(out, "\n");
        report_paragraph(out, head, 2);
        fprintf(out, "\n");
        status = report_write(&sheet, format, out, err);
    }
    json_decref(lines);
    return status;
}

/* One for each workload, where a training is asked for. */
static be_status write_rankings(const json_t *result, report_format format, FILE *out,
                                be_error *err)
{
    json_t *rows = report_member(result, comparisons, rows), *row, *before;
    size_t r;
    if (isnan(report_real(result, comparisons, epochs))) return BE_OK;
    json_array_foreach(rows, r, row)
    {
        const char *workload = report_string(row, compare_row, workload);
        bool is_repeated = false;
        for (size_t k = 0; k < r; k++) {
            before = json_array_get(rows, k);
            is_repeated |= strcmp(report_string(before, compare_row, workload), workload) == 0;
        }
        if (!is_repeated) TRY(write_ranking(result, workload, format, out, err));
    }
    return BE_OK;
}

static be_status write_page(const json_t *result, report_format format, FILE *out, be_error *err)
{
    print_sides(result, out);
    print_differences(result, out);
    TRY(write_table(result, format, out, err));
    fprintf(out, "\n");
    print_means(result, out);
    TRY(write_yields(result, format, out, err));
    return write_rankings(result, format, out, err);
}

be_status compare_write(const json_t *result, report_format format, FILE *out, be_error *err)
{
    json_t *whole = json_array();
    json_array_append(whole, (json_t *)result);
    report_sheet sheet = {.records = whole, .best = -1};
    be_status status = BE_OK;
    if (format == REPORT_JSON || format == REPORT_JSONL)
        status = report_write(&sheet, format, out, err);
    json_decref(whole);
    TRY(status);
    if (format == REPORT_CSV) return write_csv(result, out, err);
    if (format != REPORT_TABLE && format != REPORT_MD) return BE_OK;
    report_style before = report_look;
    report_look.markdown |= format == REPORT_MD; /* a machine's name is no markup */
    status = write_page(result, format, out, err);
    report_look = before;
    return status;
}
