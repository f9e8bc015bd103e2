/* What is to be doubted about a measurement, for people: a line for each kind of warning with the
 * contenders that have it, what matters most first, and no more lines than an answer bears.  All of
 * them are in the records ("warned", "warnings"). */
#ifndef REPORT_WARNINGS_H
#define REPORT_WARNINGS_H

#include "report/sentence.h"
#include "report/sheet.h"
#include "run/warning.h"

#define WARNINGS_MOST 4 /* lines below one answer */

/* `records` are of one group (report/bench.h); `machine`: also those of the environment.  Kinds
 * behind `last` are left out. */
void warnings_write(const json_t *records, warning_kind last, bool machine, FILE *out);

/* Texts grow into lines, of which the first WARNINGS_MOST are shown; the last of these says how
 * many more there are in the records. */
typedef struct warnings_lines {
    sentence shown[WARNINGS_MOST];
    int count, left_out;
} warnings_lines;

/* The next line to fill, NULL where there is no room for it. */
sentence *warnings_next(warnings_lines *lines);
void warnings_end(warnings_lines *lines, FILE *out);

/* A line for each different text of the records that it is not empty for: "WHO, WHO", `other`, the
 * text. */
typedef const char *warnings_text(const json_t *record);
void warnings_write_texts(const json_t *records, warnings_text *text_of, const char *other,
                          FILE *out);

/* The same of the lists of texts at `path`, in at most WARNINGS_MOST lines. */
void warnings_write_lists(const json_t *records, const char *path, FILE *out);

#endif
