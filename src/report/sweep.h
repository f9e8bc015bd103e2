/* The page of a sweep, made from its result alone: tables, sentences, a plot.
 *
 * The result is an object: workload, axis, noun, from, to, sides (name, settings, missing), pairs
 * (first, second, points, crossings, undecided, winner), notes, ended, file, environment. */
#ifndef REPORT_SWEEP_H
#define REPORT_SWEEP_H

#include "report/sheet.h"

/* Bounds of a ratio that are farther apart, high / low, say nothing. */
#define SWEEP_SCATTER 100.0

/* json is the whole result; jsonl a line a point, then a line a pair; csv the points. */
BE_CHECKED be_status sweep_write(const json_t *result, report_format format, FILE *out,
                                 be_error *err);

/* The plot of all sides as an SVG file. */
void sweep_write_svg(const json_t *result, FILE *out);

/* The plot for the terminal, or as a figure of HTML; nothing where two places were not measured. */
bool sweep_is_plotted(const json_t *result);
void sweep_print_plot(const json_t *result, FILE *out);

/* What was found for a pair: a sentence for each crossing or stretch. */
void sweep_print_findings(const json_t *result, const json_t *pair, FILE *out);

#endif
