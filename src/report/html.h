/* HTML as text: escaping, elements, tables, folds, figures, and a whole page around them.
 *
 * Writes to the given stream, which keeps its own faults.  Whatever text goes in comes out as text:
 * no markup of a record, a note or a name reaches a browser.  There is no script and nothing of the
 * network; a page says so itself by its Content-Security-Policy.
 *
 * The sentences of all pages (bench_write_reasons, sweep_print_findings, advice_write_sentences, …)
 * become paragraphs, and their tables tables, between html_begin_look and html_end_look. */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "report/bars.h"
#include "report/plot.h"
#include "report/sheet.h"

/* A text, for content and for values of attributes in double quotes.  What HTML cannot hold
 * (control characters, bytes that are no UTF-8) becomes U+FFFD. */
void html_text(FILE *out, const char *text);

/* <tag class="class">text</tag> and a newline; class "": none.  The text is escaped as a whole, and
 * cut behind 4,000 bytes. */
void html_element(FILE *out, const char *tag, const char *class, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The table of a sheet: its titled columns, numbers at the right, the best row marked.  NULL: no
 * caption. */
void html_table(const report_sheet *sheet, const char *caption, FILE *out);

/* The same of texts, row by row: the first of a row stands at the left, the others at the right.  A
 * row of "th" is a head. */
void html_table_begin(FILE *out, const char *caption);
void html_row(FILE *out, const char *tag, const char *const cells[], int count);
void html_table_end(FILE *out);

/* A drawing with its title, in two sizes of which the page shows the one that fits; below it, in a
 * fold, its numbers as a table if `numbers`.  Nothing where there is nothing to draw. */
void html_plot(const plot *p, bool numbers, FILE *out);
void html_bars(const bars *b, bool numbers, FILE *out);

/* The plots between the two stand side by side where there is room. */
void html_beside_begin(FILE *out);
void html_plot_beside(const plot *p, FILE *out);
void html_beside_end(FILE *out);

/* What is between them is folded away; the summary is what stands there instead. */
void html_fold_begin(FILE *out, const char *summary);
void html_fold_end(FILE *out);

/* Until the end, this thread's sentences and tables come as HTML. */
report_style html_begin_look(void);
void html_end_look(report_style before);

/* The rules of all of that, those of svg_style among them: the text of a style sheet. */
void html_style(FILE *out);

/* A whole page, complete in itself, up to <main>, and from </main> on. */
void html_page_begin(FILE *out, const char *title);
void html_page_end(FILE *out);

#endif
