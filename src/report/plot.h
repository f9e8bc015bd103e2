/* Curves on logarithmic axes, for the terminal and as SVG.
 *
 * Borrows all that it is given; writes to the given stream.  Knows nothing of what is plotted. */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include <stdio.h>

#include "report/text.h"

#define PLOT_SERIES_MAX 6
#define PLOT_TICKS_MAX 24

typedef struct plot_point {
    double x, y;      /* above 0 */
    double low, high; /* interval of y; NAN: none */
} plot_point;

typedef struct plot_series {
    const char *name;
    const plot_point *points; /* ascending x */
    int count;
} plot_series;

/* A place on the x axis with its interval. */
typedef struct plot_mark {
    double x, low, high;
} plot_mark;

typedef struct plot {
    const char *title, *x_title, *y_title;
    const plot_series *series;
    int series_count; /* at most PLOT_SERIES_MAX */
    const plot_mark *marks;
    int mark_count;
    const char *(*x_text)(double x, char out[REPORT_TEXT_BYTES]);
    const char *(*y_text)(double y, char out[REPORT_TEXT_BYTES]);
} plot;

/* As wide as the page, up to 120 columns; nothing if there are not two different x. */
void plot_print(const plot *p, FILE *out);

/* A whole SVG file, readable on light and on dark ground. */
void plot_write_svg(const plot *p, FILE *out);

/* Inner parts of both. */
typedef struct plot_span {
    double low, high; /* above 0, low < high */
} plot_span;

/* What the points (and their intervals) take; false if there are not two different x. */
bool plot_spans(const plot *p, plot_span *x, plot_span *y);
/* Where in the span a value is: 0 … 1. */
double plot_place(plot_span span, double value);
/* 1, 2, 5, 10, … in the span; whole decades alone where that is more than `most`, its
 * ends where that leaves less than two. */
int plot_ticks(plot_span span, int most, double out[PLOT_TICKS_MAX]);

#endif
