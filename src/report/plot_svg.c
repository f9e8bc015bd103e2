/* Plots as SVG: no script, no font and no colour but its own, and both kinds of ground. */
#include <math.h>

#include "core/text.h"
#include "report/plot.h"

#define W 760.0
#define H 470.0
#define LEFT 78.0
#define RIGHT 22.0
#define TOP 46.0
#define BOTTOM 92.0

typedef struct frame {
    plot_span x, y;
    FILE *out;
} frame;

static double across(const frame *f, double x)
{
    return LEFT + plot_place(f->x, x) * (W - LEFT - RIGHT);
}

static double down(const frame *f, double y)
{
    return TOP + (1 - plot_place(f->y, y)) * (H - TOP - BOTTOM);
}

static void write_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else
            fputc(*text, out);
    }
}

static void write_label(FILE *out, double x, double y, const char *anchor, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    write_text(out, text);
    fprintf(out, "</text>\n");
}

/* The colours of Okabe and Ito, which stay apart for all kinds of eyes; on dark ground lighter. */
static void write_style(FILE *out)
{
    static const char *const light[PLOT_SERIES_MAX] = {"#0072b2", "#d55e00", "#009e73",
                                                       "#aa4499", "#8a6d00", "#555555"};
    static const char *const dark[PLOT_SERIES_MAX] = {"#56b4e9", "#ff9f4d", "#2fd3a3",
                                                      "#e29fd0", "#f0e442", "#bbbbbb"};
    fprintf(out, "<style>\nsvg{background:#fff}text{font:13px system-ui,sans-serif;fill:#222}"
                 ".title{font-size:15px;font-weight:600}.grid{stroke:#ddd}.axis{stroke:#444}"
                 ".mark{stroke:#444;stroke-dasharray:4 3}.band{fill:#888;fill-opacity:.22}"
                 ".line{fill:none;stroke-width:2}.bar{stroke-width:1.3}\n");
    for (int s = 0; s < PLOT_SERIES_MAX; s++)
        fprintf(out, ".s%d{stroke:%s}.f%d{fill:%s}", s, light[s], s, light[s]);
    fprintf(out, "\n@media (prefers-color-scheme:dark){svg{background:#15181c}text{fill:#e6e6e6}"
                 ".grid{stroke:#333940}.axis,.mark{stroke:#bbb}");
    for (int s = 0; s < PLOT_SERIES_MAX; s++)
        fprintf(out, ".s%d{stroke:%s}.f%d{fill:%s}", s, dark[s], s, dark[s]);
    fprintf(out, "}\n</style>\n");
}

static void write_axes(const frame *f, const plot *p)
{
    double ticks[PLOT_TICKS_MAX], last = -100;
    char label[REPORT_TEXT_BYTES];
    int count = plot_ticks(f->x, 14, ticks);
    for (int t = 0; t < count; t++) {
        double x = across(f, ticks[t]);
        fprintf(f->out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                x, TOP, x, H - BOTTOM);
        if (x - last < 44) continue;
        write_label(f->out, x, H - BOTTOM + 18, "middle", p->x_text(ticks[t], label));
        last = x;
    }
    count = plot_ticks(f->y, 12, ticks);
    for (int t = 0; t < count; t++) {
        double y = down(f, ticks[t]);
        fprintf(f->out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                LEFT, y, W - RIGHT, y);
        write_label(f->out, LEFT - 8, y + 4, "end", p->y_text(ticks[t], label));
    }
    fprintf(f->out, "<path class=\"axis\" fill=\"none\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", LEFT, TOP,
            H - BOTTOM, W - RIGHT);
    write_label(f->out, (LEFT + W - RIGHT) / 2, H - BOTTOM + 38, "middle", p->x_title);
}

static void write_marks(const frame *f, const plot *p)
{
    char x_text[REPORT_TEXT_BYTES];
    for (int m = 0; m < p->mark_count; m++) {
        const plot_mark *mark = &p->marks[m];
        double low = across(f, mark->low), high = across(f, mark->high), x = across(f, mark->x);
        fprintf(f->out,
                "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                low, TOP, fmax(high - low, 1), H - TOP - BOTTOM);
        fprintf(f->out, "<line class=\"mark\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                x, TOP, x, H - BOTTOM);
        write_label(f->out, x, TOP - 4, "middle", p->x_text(mark->x, x_text));
    }
}

static void write_series(const frame *f, const plot_series *s, int index)
{
    fprintf(f->out, "<polyline class=\"line s%d\" points=\"", index);
    for (int i = 0; i < s->count; i++)
        fprintf(f->out, "%.1f,%.1f ", across(f, s->points[i].x), down(f, s->points[i].y));
    fprintf(f->out, "\"/>\n");
    for (int i = 0; i < s->count; i++) {
        const plot_point *at = &s->points[i];
        double x = across(f, at->x);
        if (at->low > 0 && at->high > at->low)
            fprintf(f->out,
                    "<path class=\"bar s%d\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>\n",
                    index, x, down(f, at->low), down(f, at->high), x - 4, down(f, at->low), x - 4,
                    down(f, at->high));
        fprintf(f->out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", index, x,
                down(f, at->y));
    }
}

static void write_legend(const frame *f, const plot *p)
{
    double x = LEFT, y = H - 18;
    for (int s = 0; s < p->series_count; s++) {
        fprintf(f->out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>\n", s, x + 5,
                y - 4);
        write_label(f->out, x + 16, y, "start", p->series[s].name);
        x += 36 + 7.2 * (double)text_width(p->series[s].name);
    }
    if (!p->mark_count) return;
    fprintf(f->out, "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\"/>\n", x,
            y - 11);
    write_label(f->out, x + 20, y, "start", "crossing, 95 % interval");
}

void plot_write_svg(const plot *p, FILE *out)
{
    frame f = {.out = out};
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
            "height=\"%.0f\" role=\"img\">\n<title>",
            W, H, W, H);
    write_text(out, p->title);
    fprintf(out, "</title>\n");
    write_style(out);
    fprintf(out, "<text class=\"title\" x=\"%.1f\" y=\"18\">", LEFT);
    write_text(out, p->title);
    fprintf(out, "</text>\n");
    if (plot_spans(p, &f.x, &f.y)) {
        write_axes(&f, p);
        write_marks(&f, p);
        for (int s = 0; s < p->series_count; s++) write_series(&f, &p->series[s], s);
        write_legend(&f, p);
    } else {
        write_label(out, W / 2, H / 2, "middle", "nothing was measured at two places");
    }
    fprintf(out, "</svg>\n");
}
