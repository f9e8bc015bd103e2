/* Bars on one scale, each made of parts, for the terminal and as SVG.
 *
 * Borrows all that it is given.  A bar that is much longer than the shortest is cut, and that is
 * said. */
#ifndef REPORT_BARS_H
#define REPORT_BARS_H

#include <stdio.h>

#include "report/text.h"

#define BARS_PARTS_MAX 8

typedef struct bar {
    const char *name;
    double total;                 /* its length; a bar without any is not drawn */
    double low, high;             /* interval of the total; NAN: none */
    double parts[BARS_PARTS_MAX]; /* at least 0; only their shares of their sum count */
    const char *after;            /* text behind it */
} bar;

typedef struct bars {
    const char *title;
    const bar *bars;
    int count;
    const char *const *parts; /* their names */
    const char *letters;      /* of each part, where the terminal has no blocks */
    int part_count;           /* 1: no legend */
    const char *(*text)(double value, char out[REPORT_TEXT_BYTES]);
} bars;

/* One bar a line, as wide as the page, and a legend of the parts that somebody has. */
void bars_print(const bars *b, FILE *out);

/* An <svg> element for a page that has svg_style's rules, `width` pixels wide. */
void bars_write_inline(const bars *b, int width, FILE *out);

/* Inner parts of both: the length of the scale, beyond which bars are cut; 0: nothing to draw. */
double bars_scale(const bars *b);
bool bars_has_part(const bars *b, int part);

#endif
