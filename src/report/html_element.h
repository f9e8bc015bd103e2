/* The elements of HTML, for all that draws and writes: escaping, elements, rows of tables.
 *
 * Whatever text goes in comes out as text: no markup of a record, a note or a name reaches a
 * browser. */
#ifndef REPORT_HTML_ELEMENT_H
#define REPORT_HTML_ELEMENT_H

#include <stdbool.h>
#include <stdio.h>

/* A text, for content and for values of attributes in double quotes.  What HTML cannot hold
 * (control characters, bytes that are no UTF-8) becomes U+FFFD. */
void html_text(FILE *out, const char *text);

/* <tag class="class">text</tag> and a newline; class "": none.  The text is escaped as a whole, and
 * cut behind 4,000 bytes. */
void html_element(FILE *out, const char *tag, const char *class, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A table of texts, row by row: the first of a row stands at the left, the others at the right.  A
 * row of "th" is a head. */
void html_table_begin(FILE *out, const char *caption);
void html_row(FILE *out, const char *tag, const char *const cells[], int count);
void html_table_end(FILE *out);

/* One cell of a row that the caller writes; a number stands at the right. */
void html_cell(FILE *out, const char *tag, bool number, const char *text);

#endif
