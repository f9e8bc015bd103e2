/* See html.h. */
#include "report/html.h"

#include "report/svg.h"

#define WIDE 720
#define NARROW 340
#define BESIDE 420

/* ---------------------------------------------------------------- figures */

void html_fold_begin(FILE *out, const char *summary)
{
    fprintf(out, "<details>");
    html_element(out, "summary", "", "%s", summary);
}

void html_fold_end(FILE *out)
{
    fprintf(out, "</details>\n");
}

static void begin_figure(FILE *out, const char *title)
{
    fprintf(out, "<figure>");
    html_element(out, "figcaption", "", "%s", title);
}

/* The drawing once for a wide page and once for a narrow one. */
static void begin_size(FILE *out, int width)
{
    fprintf(out, "<div class=%s>", width == WIDE ? "wide" : "narrow");
}

static void write_points(const plot *p, FILE *out)
{
    const char *const head[] = {"", p->x_title, p->y_title, "from", "to"};
    char x[REPORT_TEXT_BYTES], y[REPORT_TEXT_BYTES], low[REPORT_TEXT_BYTES];
    char high[REPORT_TEXT_BYTES];
    bool bounds = false;
    for (int s = 0; s < p->series_count; s++)
        for (int i = 0; i < p->series[s].count; i++)
            bounds |= p->series[s].points[i].high > p->series[s].points[i].low;
    html_fold_begin(out, "the numbers of this drawing");
    html_table_begin(out, NULL);
    html_row(out, "th", head, bounds ? 5 : 3);
    for (int s = 0; s < p->series_count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            const plot_point *at = &p->series[s].points[i];
            const char *const cells[] = {p->series[s].name, p->x_text(at->x, x),
                                         p->y_text(at->y, y), p->y_text(at->low, low),
                                         p->y_text(at->high, high)};
            html_row(out, "td", cells, bounds ? 5 : 3);
        }
    html_table_end(out);
    html_fold_end(out);
}

void html_plot(const plot *p, bool numbers, FILE *out)
{
    static const int sizes[] = {WIDE, NARROW};
    plot_span x, y;
    if (!plot_spans(p, &x, &y)) return;
    begin_figure(out, p->title);
    for (int s = 0; s < 2; s++) {
        begin_size(out, sizes[s]);
        plot_write_inline(p, sizes[s], out);
        fprintf(out, "</div>");
    }
    if (numbers) write_points(p, out);
    fprintf(out, "</figure>\n");
}

void html_beside_begin(FILE *out)
{
    fprintf(out, "<div class=beside>\n");
}

void html_plot_beside(const plot *p, FILE *out)
{
    plot_span x, y;
    if (!plot_spans(p, &x, &y)) return;
    begin_figure(out, p->title);
    plot_write_inline(p, BESIDE, out);
    fprintf(out, "</figure>\n");
}

void html_beside_end(FILE *out)
{
    fprintf(out, "</div>\n");
}

static void write_parts(const bars *b, FILE *out)
{
    char cells[BARS_PARTS_MAX + 1][REPORT_TEXT_BYTES];
    const char *row[BARS_PARTS_MAX + 2] = {"", "in all"};
    int count = 2;
    for (int p = 0; b->part_count > 1 && p < b->part_count; p++)
        if (bars_has_part(b, p)) row[count++] = b->parts[p];
    html_fold_begin(out, "the numbers of this drawing");
    html_table_begin(out, NULL);
    html_row(out, "th", row, count);
    for (int i = 0; i < b->count; i++) {
        row[0] = b->bars[i].name;
        row[1] = b->text(b->bars[i].total, cells[BARS_PARTS_MAX]);
        count = 2;
        for (int p = 0; b->part_count > 1 && p < b->part_count; p++)
            if (bars_has_part(b, p)) row[count++] = b->text(b->bars[i].parts[p], cells[p]);
        html_row(out, "td", row, count);
    }
    html_table_end(out);
    html_fold_end(out);
}

void html_bars(const bars *b, bool numbers, FILE *out)
{
    static const int sizes[] = {WIDE, NARROW};
    double scale = bars_scale(b);
    bool is_cut = false;
    char text[REPORT_TEXT_BYTES];
    if (!(scale > 0)) return;
    begin_figure(out, b->title);
    for (int s = 0; s < 2; s++) {
        begin_size(out, sizes[s]);
        bars_write_inline(b, sizes[s], out);
        fprintf(out, "</div>");
    }
    for (int i = 0; i < b->count && !is_cut; i++) is_cut = b->bars[i].total > scale * 1.0001;
    if (is_cut)
        html_element(out, "p", "dim", "One scale for all; bars longer than %s are cut (»).",
                     b->text(scale, text));
    if (numbers) write_parts(b, out);
    fprintf(out, "</figure>\n");
}

/* ---------------------------------------------------------------- look and page */

report_style html_begin_look(void)
{
    report_style before = report_look;
    report_look = (report_style){.utf8 = true, .html = true, .columns = REPORT_COLUMNS_MOST};
    return before;
}

void html_end_look(report_style before)
{
    report_look = before;
}

void html_style(FILE *out)
{
    static const char rules[] =
        "*{box-sizing:border-box}"
        "body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,"
        "sans-serif;-webkit-text-size-adjust:100%}"
        "main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}"
        "h1,h2,h3{line-height:1.25;font-weight:650;text-wrap:balance}"
        "h1{font-size:1.75rem;margin:0 0 .25rem}"
        "h2{font-size:1.3rem;margin:3.5rem 0 .25rem;padding-top:1rem;border-top:1px solid "
        "var(--line)}"
        "h3{font-size:1.05rem;margin:2.25rem 0 .5rem}"
        "p{margin:.5rem 0;max-width:44rem;overflow-wrap:anywhere}"
        "ul{margin:.5rem 0;padding-left:1.1rem;max-width:44rem}li{margin:.3rem 0}"
        "a{color:var(--accent);text-underline-offset:.15em}"
        "a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid "
        "var(--accent);outline-offset:2px}"
        ".dim,caption,figcaption,dt,.aside{color:var(--muted)}"
        ".aside,figure p{font-size:.9rem;margin:.25rem 0}"
        ".verdict p{font-size:1.15rem;margin:.75rem 0}"
        ".verdict p:first-child{font-size:1.3rem}\n"
        /* A shadow at an edge behind which there is more of a table.  What is off the screen is
         * laid out when it comes there: of a report with many tables that is most of the time. */
        ".scroll{overflow-x:auto;margin:.75rem 0;content-visibility:auto;"
        "contain-intrinsic-size:auto 12rem;background:"
        "linear-gradient(90deg,var(--ground) 40%,transparent) 0/2rem 100% no-repeat local,"
        "linear-gradient(270deg,var(--ground) 40%,transparent) 100%/2rem 100% no-repeat local,"
        "linear-gradient(90deg,var(--line),transparent) 0/.7rem 100% no-repeat,"
        "linear-gradient(270deg,var(--line),transparent) 100%/.7rem 100% no-repeat}"
        "table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}"
        "caption{text-align:left;padding:0 0 .4rem}"
        "th,td{text-align:left;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);"
        "white-space:nowrap;vertical-align:baseline}"
        "th{font-weight:500;color:var(--muted)}"
        ".n{text-align:right}.best td{font-weight:650}.best td:first-child{color:var(--accent)}"
        ".text td{white-space:normal}\n"
        "figure{margin:1.25rem 0;break-inside:avoid}"
        "figcaption{font-size:.9rem;margin-bottom:.4rem}"
        ".beside{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));"
        "gap:0 2rem}"
        "svg{display:block;max-width:100%;height:auto;overflow:visible}"
        ".narrow{display:none}"
        "details{margin:.6rem 0;font-size:.9rem}"
        "summary{cursor:pointer;color:var(--muted);width:max-content;max-width:100%}"
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:.5rem 0;"
        "font-size:.9rem}dd{margin:0;overflow-wrap:anywhere}"
        "pre{font:.8rem/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}\n"
        "@media(max-width:48rem){.wide{display:none}.narrow{display:block}"
        "main{padding:1.25rem 1rem 3rem}h1{font-size:1.45rem}h2{margin-top:2.5rem}"
        "dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .4rem}}\n"
        "@media print{body{font-size:10.5pt}main{max-width:none;padding:0}.wide{display:block}"
        ".narrow,.screen{display:none}.scroll{overflow:visible;background:none;"
        "content-visibility:visible}"
        "table{font-size:8.5pt}"
        "thead{display:table-header-group}tr{break-inside:avoid}h2,h3{break-after:avoid}}\n";
    svg_style(out);
    fputs(rules, out);
}

void html_page_begin(FILE *out, const char *title)
{
    fprintf(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                 "style-src 'unsafe-inline'\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    html_element(out, "title", "", "%s", title);
    fprintf(out, "<style>\n");
    html_style(out);
    fprintf(out, "</style></head>\n<body><main>\n");
}

void html_page_end(FILE *out)
{
    fprintf(out, "</main></body></html>\n");
}
