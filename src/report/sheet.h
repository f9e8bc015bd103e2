/* Records in the five forms: table, json, jsonl, csv, md.
 *
 * A record is a JSON object.  json and jsonl write all of it; the others write the columns of the
 * sheet, each of which names a member by its path.  Owns nothing; writes to the given stream. */
#ifndef REPORT_SHEET_H
#define REPORT_SHEET_H

#include <jansson.h>
#include <stdio.h>

#include "core/status.h"
#include "report/members.h"
#include "report/text.h"

#define REPORT_FORMAT_LIST(X) \
    X(TABLE, "table")         \
    X(JSON, "json")           \
    X(JSONL, "jsonl")         \
    X(CSV, "csv")             \
    X(MD, "md")

typedef enum report_format {
#define X(name, text) REPORT_##name,
    REPORT_FORMAT_LIST(X)
#undef X
} report_format;

/* The format of this name; REPORT_TABLE for NULL. */
report_format report_format_find(const char *name);

typedef enum report_unit {
    UNIT_TEXT, /* at the left, as a time is; where a page is narrow it is cut */
    UNIT_TIME, /* a day and an hour, of which a part says nothing */
    UNIT_COUNT,
    UNIT_SECONDS,
    UNIT_BYTES,
    UNIT_FLOPS,
    UNIT_NUMBER,
} report_unit;

typedef struct report_column {
    const char *path;  /* of the member: "step_s.median"; also the column's name in CSV */
    const char *title; /* in table and md; NULL: in CSV only */
    report_unit unit;
    /* Makes the cell's text of the whole record instead; may be NULL. */
    const char *(*text)(const json_t *record, char out[REPORT_TEXT_BYTES]);
} report_column;

typedef struct report_sheet {
    const report_column *columns;
    int column_count;
    const json_t *records; /* an array */
    int best;              /* the row to stress, −1: none */
} report_sheet;

/* What stands in a column of a record's row. */
const char *report_cell(const report_column *column, const json_t *record,
                        char out[REPORT_TEXT_BYTES]);

/* In the look of HTML, table and md are an HTML table. */
BE_CHECKED be_status report_write(const report_sheet *sheet, report_format format, FILE *out,
                                  be_error *err);

/* As a table of HTML: the titled columns, numbers at the right, the best row marked.  NULL: no
 * caption. */
void report_write_html(const report_sheet *sheet, const char *caption, FILE *out);

/* Words wrapped at the page's columns, or at REPORT_COLUMNS_READ: the first line begins at column
 * `at`, which the caller has reached, the others are indented. */
void report_wrap(FILE *out, const char *text, int at, int indent);

/* Is it a document, which tells of the machine in a place of its own? */
bool report_is_document(void);

/* A heading of a document; false, and nothing, on a terminal. */
bool report_heading(FILE *out, const char *text);

/* A text in Markdown, where it shall be no markup. */
void report_markdown(FILE *out, const char *text);

/* A paragraph, wrapped likewise, its lines after the first indented; in HTML a <p>. */
void report_paragraph(FILE *out, const char *text, int indent);

#endif
