/* Tables and files of records. */
#include "report/sheet.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "report/html_element.h"

#define COLUMNS_MAX 48
#define FOLD_INDENT 2
#define TEXT_LEAST 8 /* columns of a text that is cut */

report_format report_format_find(const char *name)
{
    static const char *const names[] = {
#define X(id, text) text,
        REPORT_FORMAT_LIST(X)
#undef X
    };
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) return (report_format)i;
    return REPORT_TABLE;
}

const char *report_cell(const report_column *column, const json_t *record,
                        char out[REPORT_TEXT_BYTES])
{
    if (column->text) return column->text(record, out);
    double value = json_real_at(record, column->path);
    switch (column->unit) {
    case UNIT_COUNT:
        return report_count(value, out);
    case UNIT_SECONDS:
        return report_seconds(value, out);
    case UNIT_BYTES:
        return report_bytes(value, out);
    case UNIT_FLOPS:
        return report_flops(value, out);
    case UNIT_NUMBER:
        return report_number(value, out);
    case UNIT_TEXT:
    case UNIT_TIME:
        break;
    }
    return json_text_at(record, column->path);
}

static bool is_left(const report_column *column)
{
    return column->unit == UNIT_TEXT || column->unit == UNIT_TIME;
}

/* The columns of a table: their widths, and the blanks between two. */
typedef struct layout {
    size_t width[COLUMNS_MAX], gap;
    int last;                /* column that is shown */
    bool fresh[COLUMNS_MAX]; /* begins a line of its own, where one is too narrow for all */
} layout;

/* Write a cell, cut to its column's width; the last column has no blanks behind it. */
static void print_cell(FILE *out, const char *text, const layout *l, int column, bool is_left)
{
    size_t width = l->width[column], length = text_width(text);
    size_t bytes = text_cut(text, length > width ? width - 1 : length);
    size_t blanks = length > width ? 0 : width - length;
    if (!is_left) fprintf(out, "%*s", (int)blanks, "");
    fprintf(out, "%.*s%s", (int)bytes, text, length <= width ? "" : report_look.utf8 ? "…" : "~");
    bool ends = column == l->last || l->fresh[column + 1];
    if (!ends) fprintf(out, "%*s", (int)((is_left ? blanks : 0) + l->gap), "");
}

static size_t table_width(const layout *l, int columns)
{
    size_t total = 0;
    for (int c = 0; c < columns; c++)
        if (l->width[c]) total += l->width[c] + (c == l->last ? 0 : l->gap);
    return total;
}

/* Columns that fit into no line go to a next one, indented. */
static void fold_columns(const report_sheet *sheet, layout *l, size_t room)
{
    size_t width = 0;
    for (int c = 0; c < sheet->column_count; c++) {
        if (!l->width[c]) continue;
        if (width && width + l->gap + l->width[c] > room) {
            l->fresh[c] = true;
            width = FOLD_INDENT;
        } else if (width) {
            width += l->gap;
        }
        width += l->width[c];
    }
}

/* The widths that all cells want, none wider than a line. */
static void want_columns(const report_sheet *sheet, layout *l, size_t room)
{
    size_t i;
    json_t *record;
    char text[REPORT_TEXT_BYTES];
    *l = (layout){.gap = 2};
    for (int c = 0; c < sheet->column_count; c++) {
        const report_column *column = &sheet->columns[c];
        if (!column->title) continue;
        l->last = c;
        l->width[c] = text_width(column->title);
        json_array_foreach(sheet->records, i, record)
        {
            size_t length = text_width(report_cell(column, record, text));
            if (length > l->width[c]) l->width[c] = length;
        }
        if (l->width[c] > room - FOLD_INDENT) l->width[c] = room - FOLD_INDENT;
    }
}

/* How far a column may give way: a third of a text mostly tells one row from another. */
static size_t least_width(const report_column *column, size_t width)
{
    size_t third = (width + 2) / 3;
    if (column->unit != UNIT_TEXT || width <= TEXT_LEAST) return width;
    return third > TEXT_LEAST ? third : TEXT_LEAST;
}

/* If they want too much, the gaps and then the widest texts give way, of those as wide the last:
 * what stands first tells one row from another.  If that is not enough, the table folds and shows
 * them whole. */
static void fit_columns(const report_sheet *sheet, layout *l)
{
    size_t room = (size_t)report_columns();
    want_columns(sheet, l, room);
    if (table_width(l, sheet->column_count) > room) l->gap = 1;
    layout whole = *l;
    while (table_width(l, sheet->column_count) > room) {
        int widest = -1;
        for (int c = 0; c < sheet->column_count; c++)
            if (l->width[c] > least_width(&sheet->columns[c], whole.width[c]) &&
                (widest < 0 || l->width[c] >= l->width[widest]))
                widest = c;
        if (widest < 0) {
            *l = whole;
            fold_columns(sheet, l, room);
            return;
        }
        l->width[widest]--;
    }
}

/* The first column behind the line of a folded table that begins at `first`, or `first` where that
 * line says something of the record. */
static int behind_empty_line(const report_sheet *sheet, const layout *l, const json_t *record,
                             int first)
{
    char text[REPORT_TEXT_BYTES];
    int c = first;
    for (; c <= l->last && (c == first || !l->fresh[c]); c++)
        if (sheet->columns[c].title && *report_cell(&sheet->columns[c], record, text)) return first;
    return c;
}

static void print_row(const report_sheet *sheet, const layout *l, const json_t *record, FILE *out)
{
    char text[REPORT_TEXT_BYTES];
    for (int c = 0; c <= l->last; c++) {
        const report_column *column = &sheet->columns[c];
        if (!column->title) continue;
        if (l->fresh[c] && record) {
            int behind = behind_empty_line(sheet, l, record, c);
            if (behind > c) {
                c = behind - 1;
                continue;
            }
        }
        if (l->fresh[c]) fprintf(out, "\n%*s", FOLD_INDENT, "");
        print_cell(out, record ? report_cell(column, record, text) : column->title, l, c,
                   is_left(column));
    }
}

static void write_table(const report_sheet *sheet, FILE *out)
{
    layout l;
    size_t i;
    json_t *record;
    fit_columns(sheet, &l);
    fprintf(out, report_look.color ? "\033[1m" : "");
    print_row(sheet, &l, NULL, out);
    fprintf(out, report_look.color ? "\033[0m\n" : "\n");
    json_array_foreach(sheet->records, i, record)
    {
        bool stressed = report_look.color && (int)i == sheet->best;
        fprintf(out, stressed ? "\033[32m" : "");
        print_row(sheet, &l, record, out);
        fprintf(out, stressed ? "\033[0m\n" : "\n");
    }
}

static void write_md(const report_sheet *sheet, FILE *out)
{
    char text[REPORT_TEXT_BYTES];
    size_t i;
    json_t *record;
    fprintf(out, "|");
    for (int c = 0; c < sheet->column_count; c++)
        if (sheet->columns[c].title) {
            fputc(' ', out);
            report_markdown(out, sheet->columns[c].title);
            fprintf(out, " |");
        }
    fprintf(out, "\n|");
    for (int c = 0; c < sheet->column_count; c++)
        if (sheet->columns[c].title) fprintf(out, is_left(&sheet->columns[c]) ? "---|" : "---:|");
    fprintf(out, "\n");
    json_array_foreach(sheet->records, i, record)
    {
        fprintf(out, "|");
        for (int c = 0; c < sheet->column_count; c++) {
            if (!sheet->columns[c].title) continue;
            fputc(' ', out);
            report_markdown(out, report_cell(&sheet->columns[c], record, text));
            fprintf(out, " |");
        }
        fprintf(out, "\n");
    }
}

/* RFC 4180: quoted where it holds a comma, a quote or the end of a line. */
static void print_csv(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static be_status write_csv(const report_sheet *sheet, FILE *out, be_error *err)
{
    size_t i;
    json_t *record;
    for (int c = 0; c < sheet->column_count; c++)
        fprintf(out, "%s%s", c ? "," : "", sheet->columns[c].path);
    fprintf(out, "\n");
    json_array_foreach(sheet->records, i, record)
    {
        for (int c = 0; c < sheet->column_count; c++) {
            const json_t *member = json_at(record, sheet->columns[c].path);
            if (c) fputc(',', out);
            if (!member || json_is_null(member)) continue;
            if (json_is_string(member)) {
                print_csv(out, json_string_value(member));
                continue;
            }
            char *text =
                json_dumps(member, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
            if (!text) FAIL(err, BE_NO_MEMORY, "no memory for a cell of the results");
            print_csv(out, text);
            free(text);
        }
        fprintf(out, "\n");
    }
    return BE_OK;
}

static be_status write_json(const json_t *value, size_t flags, FILE *out, be_error *err)
{
    /* The stream keeps an error of writing, in every format, for whoever closes it. */
    if (json_dumpf(value, out, flags | JSON_REAL_PRECISION(9)) != 0 && !ferror(out))
        FAIL(err, BE_NO_MEMORY, "no memory for the results as JSON");
    fputc('\n', out);
    return BE_OK;
}

/* End tags that HTML can do without are left out: a report may have thousands of rows. */
void report_write_html(const report_sheet *sheet, const char *caption, FILE *out)
{
    char text[REPORT_TEXT_BYTES];
    size_t i;
    json_t *record;
    html_table_begin(out, caption);
    fprintf(out, "<thead><tr>");
    for (int c = 0; c < sheet->column_count; c++)
        if (sheet->columns[c].title)
            html_cell(out, "th", !is_left(&sheet->columns[c]), sheet->columns[c].title);
    fprintf(out, "<tbody>\n");
    json_array_foreach(sheet->records, i, record)
    {
        fprintf(out, (int)i == sheet->best ? "<tr class=best>" : "<tr>");
        for (int c = 0; c < sheet->column_count; c++)
            if (sheet->columns[c].title)
                html_cell(out, "td", !is_left(&sheet->columns[c]),
                          report_cell(&sheet->columns[c], record, text));
        fprintf(out, "\n");
    }
    html_table_end(out);
}

be_status report_write(const report_sheet *sheet, report_format format, FILE *out, be_error *err)
{
    size_t i;
    json_t *record;
    MUST(sheet->column_count <= COLUMNS_MAX);
    if (report_look.html && (format == REPORT_TABLE || format == REPORT_MD)) {
        report_write_html(sheet, NULL, out);
        return BE_OK;
    }
    switch (format) {
    case REPORT_TABLE:
        write_table(sheet, out);
        break;
    case REPORT_MD:
        write_md(sheet, out);
        break;
    case REPORT_CSV:
        return write_csv(sheet, out, err);
    case REPORT_JSON:
        return write_json(sheet->records, JSON_INDENT(2), out, err);
    case REPORT_JSONL:
        json_array_foreach(sheet->records, i, record)
            TRY(write_json(record, JSON_COMPACT, out, err));
        break;
    }
    return BE_OK;
}

void report_markdown(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        bool tag = *at == '<' && (isalpha((unsigned char)at[1]) || (at[1] && strchr("/!?", at[1])));
        bool link = at > text && *at == '(' && at[-1] == ']';
        if (tag)
            fputs("&lt;", out);
        else if (link || *at == '|')
            fprintf(out, "\\%c", *at);
        else
            fputc(*at == '\n' || *at == '\r' ? ' ' : *at, out);
    }
}

bool report_is_document(void)
{
    return report_look.html || report_look.markdown;
}

bool report_heading(FILE *out, const char *text)
{
    if (report_look.html) {
        html_element(out, "h3", "", "%s", text);
    } else if (report_look.markdown) {
        fprintf(out, "\n### ");
        report_markdown(out, text);
        fprintf(out, "\n\n");
    }
    return report_is_document();
}

void report_paragraph(FILE *out, const char *text, int indent)
{
    if (report_look.html) {
        fprintf(out, strncmp(text, "warning:", 8) ? "<p>" : "<p class=\"aside\">");
        html_text(out, text);
        fprintf(out, "</p>\n");
    } else if (report_look.markdown) {
        report_markdown(out, text);
        fprintf(out, "\n\n");
    } else {
        report_wrap(out, text, 0, indent);
    }
}

void report_wrap(FILE *out, const char *text, int at, int indent)
{
    int columns = report_columns();
    text_wrap(out, text, columns > REPORT_COLUMNS_READ ? REPORT_COLUMNS_READ : columns, at, indent);
}
