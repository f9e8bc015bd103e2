/* A step explained, for people and for programs: phases, bars, ops, prediction and cause, all made
 * from the records alone.
 *
 * The records are those of bench (report/bench.h); those that were taken apart have "explain" as
 * well, and the fastest has "cause".  Times are seconds per step. */
#ifndef REPORT_EXPLAIN_H
#define REPORT_EXPLAIN_H

#include "report/bars.h"
#include "report/sheet.h"

#define EXPLAIN_SCHEMA 1
#define EXPLAIN_BARS_MAX 64

BE_CHECKED be_status explain_write(const json_t *records, report_format format, FILE *out,
                                   be_error *err);

/* A bar for each explained record, with what it borrows. */
typedef struct explain_drawn {
    bars bars;
    bar list[EXPLAIN_BARS_MAX];
    char names[EXPLAIN_BARS_MAX][REPORT_TEXT_BYTES];
} explain_drawn;

void explain_draw(const json_t *records, explain_drawn *out);

/* The same for the terminal, or as a figure of HTML. */
void explain_bars(const json_t *records, FILE *out);

/* The table of the ops of one record, the longest first. */
void explain_ops(const json_t *record, FILE *out);

/* The cause and what came out of its trial, in sentences. */
void explain_words(const json_t *records, FILE *out);

/* A Chrome trace (the JSON object format of the Trace Event Format) of an average step: a process
 * for each explained record, its phases and its ops end to end.  Free with free; NULL without
 * memory. */
char *explain_trace(const json_t *records);

#endif
