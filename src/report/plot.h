/* Curves on logarithmic or linear axes, for the terminal and as SVG: one description, and scales,
 * ticks and places computed once for both.
 *
 * Borrows all that it is given; writes to the given stream.  Knows nothing of what is plotted. */
#ifndef REPORT_PLOT_H
#define REPORT_PLOT_H

#include <stdio.h>

#include "report/text.h"

#define PLOT_SERIES_MAX 6
#define PLOT_TICKS_MAX 24

typedef enum plot_scale { PLOT_LOG, PLOT_LINEAR } plot_scale;

/* On a logarithmic axis all is above 0.  A point whose y is not finite is left out, and the line
 * has a gap there. */
typedef struct plot_point {
    double x, y;
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
    plot_scale x_scale, y_scale;
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

/* An <svg> element for a page that has svg_style's rules (report/svg.h), `width` pixels wide, with
 * a title and a description for those who do not see it. */
void plot_write_inline(const plot *p, int width, FILE *out);

/* What there is to see, as a text: "native cpu: 1.24 ms at 8, 98.1 ms at 4,096; …; crossing at 549
 * (512 to 570)". */
const char *plot_describe(const plot *p, char *out, size_t room);

/* Inner parts of both. */
typedef struct plot_span {
    double low, high; /* low < high; above 0 where it is logarithmic */
    bool linear;
} plot_span;

/* What the points (and their intervals) take; false if there are not two different x. */
bool plot_spans(const plot *p, plot_span *x, plot_span *y);
/* Where in the span a value is: 0 … 1. */
double plot_place(plot_span span, double value);
/* 1, 2, 5, 10, … in the span; whole decades alone where that is more than `limit`, its
 * ends where that leaves less than two.  On a linear one the multiples of 1, 2 or 5 times a power
 * of ten of which there are at most `limit`. */
int plot_ticks(plot_span span, int limit, double out[PLOT_TICKS_MAX]);
/* Can it be drawn? */
bool plot_shows(const plot *p, const plot_point *point);

#endif
