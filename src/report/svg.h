/* Drawings as SVG: the parts that plots and bars share, and the rules by which they look.
 *
 * No script, no font and no colour of another place; light and dark ground, and paper. */
#ifndef REPORT_SVG_H
#define REPORT_SVG_H

#include <stdio.h>

#define SVG_SERIES 8 /* colours that tell series apart */

/* Style sheet rules: the palette as custom properties of :root (--ink, --muted, --line, --ground,
 * --accent, --s0 … --s7), for light ground, dark ground and paper, and the classes of drawings.  A
 * page has them once, an SVG file within itself. */
void svg_style(FILE *out);

/* <svg> with its size in pixels, and a name and a description for those who do not see it. */
void svg_begin(FILE *out, double width, double height, const char *title, const char *description);
void svg_end(FILE *out);

/* A text; the anchor is "start", "middle" or "end", the class "" for none. */
void svg_label(FILE *out, double x, double y, const char *anchor, const char *class,
               const char *text);

/* What a text takes in the drawings' font, about, in pixels. */
double svg_text_width(const char *text);

#endif
