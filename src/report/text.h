/* Numbers as people read them, and what the terminal can show.
 *
 * Every function writes into the caller's buffer and returns it; values that are not known (NAN,
 * negative counts) become "-".  Owns only the style, which main sets once, and whoever writes
 * HTML for a while. */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORT_TEXT_BYTES 240 /* a line of the widest page, also where characters take more */

typedef struct report_style {
    bool utf8;     /* the locale has it; else ASCII alone */
    bool color;    /* standard output is a terminal that wants colours */
    bool html;     /* sentences are paragraphs of HTML (report/html.h) */
    bool markdown; /* and of Markdown, where they are a document and no page of a terminal */
    int columns;   /* of the terminal; 0: not known, then 80 */
} report_style;

/* Of each thread its own. */
extern _Thread_local report_style report_look;

#define REPORT_COLUMNS_LEAST 40
#define REPORT_COLUMNS_MOST 160
#define REPORT_COLUMNS_READ 100 /* of sentences at most: longer lines read badly */

/* What a step of it is in this mode: "training"; of an operation alone "forward and backward". */
const char *report_mode(const char *workload, const char *mode);
bool report_is_operation(const char *workload);

/* Columns of a page, within the two bounds. */
int report_columns(void);

/* Three digits and the fitting unit: "812 us", "3.21 ms", "1.24 s", "2:03 min", "1:02 h". */
const char *report_seconds(double seconds, char out[REPORT_TEXT_BYTES]);

/* Both numbers in the unit of the first: "3.21 [3.18, 3.25] ms". */
const char *report_interval(double median, double low, double high, char out[REPORT_TEXT_BYTES]);

const char *report_count(double count, char out[REPORT_TEXT_BYTES]);  /* "1,199,882" */
const char *report_bytes(double bytes, char out[REPORT_TEXT_BYTES]);  /* "54.8 MiB" */
const char *report_flops(double flops, char out[REPORT_TEXT_BYTES]);  /* "0.39 GFLOP" */
const char *report_loss(double loss, char out[REPORT_TEXT_BYTES]);    /* at most 9 columns */
const char *report_number(double value, char out[REPORT_TEXT_BYTES]); /* "0.125", "3,204" */

/* A processor's name without the words that say nothing: "Intel Xeon". */
const char *report_hardware(const char *name, char out[REPORT_TEXT_BYTES]);

/* What the samples of a workload are, by its name, and what its rates count: "sequences" and
 * "tokens"; where it is not known, "samples". */
const char *report_samples(const char *workload, char out[REPORT_TEXT_BYTES]);
const char *report_units(const char *workload, char out[REPORT_TEXT_BYTES]);

const char *report_times(void); /* "×" or "x" */

#endif
