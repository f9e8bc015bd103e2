/* A report: runs as one document that says first what was found, then shows and lists it, and tells
 * on what machine and how it was measured.
 *
 * Made from the runs alone.  Whatever text is in a record or a note comes out as text. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "report/sheet.h"

/* A list of runs as choose_runs gives them (store/choose.h): objects of run, notes, records, lines.
 */
typedef struct report_page {
    const json_t *runs;
    const json_t *comparison; /* of the runs (report/compare.h); NULL: none */
} report_page;

/* One file of HTML, complete in itself: no script, nothing of the network, readable on a telephone
 * and on paper; the records are in it to be saved. */
BE_CHECKED be_status page_write_html(const report_page *page, FILE *out, be_error *err);

/* One run of them as a piece of another page, which has html_style's rules. */
BE_CHECKED be_status page_write_run(const json_t *run, FILE *out, be_error *err);

/* The same in Markdown, without the records. */
BE_CHECKED be_status page_write_md(const report_page *page, FILE *out, be_error *err);

/* A row for each measured record, epoch, point and crossing of a sweep, and candidate of an advice;
 * "kind" tells which, and "run" whose.  RFC 4180; what a row has not is empty. */
BE_CHECKED be_status page_write_csv(const report_page *page, FILE *out, be_error *err);

#endif
