/* See svg.h. */
#include "report/svg.h"

#include "core/text.h"
#include "report/html_element.h"

/* The colours of Okabe and Ito, which stay apart for all kinds of eyes; on dark ground lighter. The
 * last two are greys, for what is idle. */
static const char *const light[SVG_SERIES] = {"#0072b2", "#d55e00", "#009e73", "#aa4499",
                                              "#8a6d00", "#c0392b", "#98a1aa", "#cdd3d9"};
static const char *const dark[SVG_SERIES] = {"#56b4e9", "#ff9f4d", "#2fd3a3", "#e29fd0",
                                             "#e0c84a", "#ff8a80", "#727b84", "#4b535b"};

static void write_palette(FILE *out, const char *ground, const char *const colors[SVG_SERIES])
{
    fprintf(out, ":root{%s", ground);
    for (int s = 0; s < SVG_SERIES; s++) fprintf(out, ";--s%d:%s", s, colors[s]);
    fprintf(out, "}");
}

void svg_style(FILE *out)
{
    static const char on_light[] =
        "--ground:#fff;--ink:#1a1d21;--muted:#5d6670;--line:#dfe3e8;--accent:#0072b2;color-scheme:"
        "light dark";
    static const char on_dark[] =
        "--ground:#14171b;--ink:#e7e9ec;--muted:#9ba4ae;--line:#2d333a;--accent:#56b4e9";
    static const char on_paper[] =
        "--ground:#fff;--ink:#000;--muted:#444;--line:#ccc;--accent:#0072b2;color-scheme:light";
    write_palette(out, on_light, light);
    fprintf(out, "\n@media screen and (prefers-color-scheme:dark){");
    write_palette(out, on_dark, dark);
    fprintf(out, "}\n@media print{");
    write_palette(out, on_paper, light);
    fprintf(out, "}\n"
                 "svg text{font:13px system-ui,sans-serif;fill:var(--ink);"
                 "font-variant-numeric:tabular-nums}"
                 "svg .dim{fill:var(--muted)}"
                 "svg .strong{font-size:15px;font-weight:600}"
                 "svg .grid{stroke:var(--line)}"
                 "svg .axis{stroke:var(--muted);fill:none}"
                 "svg .mark{stroke:var(--ink);stroke-dasharray:4 3}"
                 "svg .band{fill:var(--muted);fill-opacity:.2}"
                 "svg .line{fill:none;stroke-width:2;stroke-linejoin:round}"
                 "svg .bar{fill:none;stroke-width:1.3}"
                 "svg .whisker{stroke:var(--ink);fill:none}\n");
    for (int s = 0; s < SVG_SERIES; s++)
        fprintf(out, "svg .s%d{stroke:var(--s%d)}svg .f%d{fill:var(--s%d)}", s, s, s, s);
    fprintf(out, "\n");
}

void svg_begin(FILE *out, double width, double height, const char *title, const char *description)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
            "height=\"%.0f\" role=\"img\">\n",
            width, height, width, height);
    html_element(out, "title", "", "%s", title);
    if (*description) html_element(out, "desc", "", "%s", description);
}

void svg_end(FILE *out)
{
    fprintf(out, "</svg>\n");
}

void svg_label(FILE *out, double x, double y, const char *anchor, const char *class,
               const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", x, y, anchor);
    if (*class) fprintf(out, " class=\"%s\"", class);
    fprintf(out, ">");
    html_text(out, text);
    fprintf(out, "</text>\n");
}

double svg_text_width(const char *text)
{
    return 7.2 * (double)text_width(text);
}
