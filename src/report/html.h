/* HTML as text: folds, figures, and a whole page around them.
 *
 * Writes to the given stream, which keeps its own faults.  There is no script and nothing of the
 * network; a page says so itself by its Content-Security-Policy.
 *
 * The sentences of all pages (bench_write_reasons, sweep_print_findings, advice_write_sentences, …)
 * become paragraphs, and their tables tables, between html_begin_look and html_end_look. */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "report/bars.h"
#include "report/html_element.h"
#include "report/plot.h"
#include "report/sheet.h"

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
