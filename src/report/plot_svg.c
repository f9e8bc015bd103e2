/* Plots as SVG. */
#include <math.h>

#include "core/text.h"
#include "report/plot.h"
#include "report/svg.h"

#define WIDTH_OF_FILE 760
#define LEFT 70.0
#define RIGHT 18.0
#define TOP 24.0
#define AXIS_ROOM 48.0 /* below the axis: its numbers and its title */
#define LEGEND_ROW 22.0
#define MARKERS_MOST 60 /* points of a series that are marked one by one */
#define DESCRIPTION_BYTES 2000

typedef struct frame {
    plot_span x, y;
    double width, bottom, height; /* bottom: where the x axis is */
    FILE *out;
} frame;

static double across(const frame *f, double x)
{
    return LEFT + plot_place(f->x, x) * (f->width - LEFT - RIGHT);
}

static double down(const frame *f, double y)
{
    return TOP + (1 - plot_place(f->y, y)) * (f->bottom - TOP);
}

static void write_x_axis(const frame *f, const plot *p)
{
    double ticks[PLOT_TICKS_MAX], last = -100;
    char label[REPORT_TEXT_BYTES];
    int count = plot_ticks(f->x, f->width < 500 ? 6 : 12, ticks);
    for (int t = 0; t < count; t++) {
        double x = across(f, ticks[t]);
        const char *text = p->x_text(ticks[t], label);
        double half = svg_text_width(text) / 2;
        fprintf(f->out, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>", x, f->bottom);
        if (x - half < last + 8) continue;
        bool ends = x + half > f->width;
        svg_label(f->out, ends ? f->width - 1 : x, f->bottom + 20, ends ? "end" : "middle", "dim",
                  text);
        last = x + half;
    }
    fprintf(f->out, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", LEFT, f->bottom,
            f->width - RIGHT);
    svg_label(f->out, (LEFT + f->width - RIGHT) / 2, f->bottom + 40, "middle", "dim", p->x_title);
}

static void write_y_axis(const frame *f, const plot *p)
{
    double ticks[PLOT_TICKS_MAX];
    char label[REPORT_TEXT_BYTES];
    int count = plot_ticks(f->y, f->y.linear ? 6 : 12, ticks);
    for (int t = 0; t < count; t++) {
        double y = down(f, ticks[t]);
        fprintf(f->out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", LEFT, y, f->width - RIGHT);
        svg_label(f->out, LEFT - 8, y + 4.5, "end", "dim", p->y_text(ticks[t], label));
    }
}

static void write_marks(const frame *f, const plot *p)
{
    char x_text[REPORT_TEXT_BYTES];
    for (int m = 0; m < p->mark_count; m++) {
        const plot_mark *mark = &p->marks[m];
        double low = across(f, mark->low), high = across(f, mark->high), x = across(f, mark->x);
        fprintf(f->out,
                "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                low, TOP, fmax(high - low, 1), f->bottom - TOP);
        fprintf(f->out, "<path class=\"mark\" d=\"M%.1f %.1fV%.1f\"/>\n", x, TOP, f->bottom);
        svg_label(f->out, x, TOP - 7, "middle", "", p->x_text(mark->x, x_text));
    }
}

static void write_line(const frame *f, const plot *p, const plot_series *s, int index)
{
    bool pen = false; /* is down */
    fprintf(f->out, "<path class=\"line s%d\" d=\"", index);
    for (int i = 0; i < s->count; i++) {
        const plot_point *at = &s->points[i];
        bool is_shown = plot_shows(p, at);
        if (is_shown)
            fprintf(f->out, "%c%.1f %.1f", pen ? 'L' : 'M', across(f, at->x), down(f, at->y));
        pen = is_shown;
    }
    fprintf(f->out, "\"/>\n");
}

static void write_points(const frame *f, const plot *p, const plot_series *s, int index)
{
    for (int i = 0; i < s->count; i++) {
        const plot_point *at = &s->points[i];
        double x = across(f, at->x);
        if (!plot_shows(p, at)) continue;
        if (at->high > at->low && (f->y.linear || at->low > 0))
            fprintf(f->out,
                    "<path class=\"bar s%d\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>",
                    index, x, down(f, at->low), down(f, at->high), x - 4, down(f, at->low), x - 4,
                    down(f, at->high));
        fprintf(f->out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", index, x,
                down(f, at->y));
    }
}

/* The names in as many rows as they take; how many.  Written only where f->out is. */
static int write_legend(const frame *f, const plot *p)
{
    static const char crossing[] = "crossing, 95 % interval";
    double x = LEFT, y = f->bottom + AXIS_ROOM + 14;
    int rows = 1, items = p->series_count + (p->mark_count > 0);
    for (int s = 0; s < items; s++) {
        bool mark = s == p->series_count;
        const char *name = mark ? crossing : p->series[s].name;
        double wide = 40 + svg_text_width(name);
        if (x > LEFT && x + wide > f->width) {
            x = LEFT;
            y += LEGEND_ROW;
            rows++;
        }
        if (f->out && mark)
            fprintf(f->out,
                    "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"12\"/>",
                    x - 2, y - 10);
        else if (f->out)
            fprintf(f->out, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>", s, x + 5,
                    y - 4);
        if (f->out) svg_label(f->out, x + 17, y, "start", "", name);
        x += wide;
    }
    return rows;
}

static void write_body(frame *f, const plot *p, FILE *out)
{
    f->out = out;
    if (!plot_spans(p, &f->x, &f->y)) {
        svg_label(out, f->width / 2, f->height / 2, "middle", "",
                  "nothing was measured at two places");
        return;
    }
    write_y_axis(f, p);
    write_marks(f, p);
    write_x_axis(f, p);
    for (int s = 0; s < p->series_count; s++) {
        write_line(f, p, &p->series[s], s);
        if (p->series[s].count <= MARKERS_MOST) write_points(f, p, &p->series[s], s);
    }
    write_legend(f, p);
}

static frame frame_of(const plot *p, int width, double title_room)
{
    frame f = {.width = width, .bottom = TOP + title_room + fmin(width * 0.5, 330)};
    f.height = f.bottom + AXIS_ROOM + 6 + LEGEND_ROW * write_legend(&f, p);
    return f;
}

void plot_write_inline(const plot *p, int width, FILE *out)
{
    char text[DESCRIPTION_BYTES];
    frame f = frame_of(p, width, 0);
    svg_begin(out, f.width, f.height, p->title, plot_describe(p, text, sizeof text));
    write_body(&f, p, out);
    svg_end(out);
}

void plot_write_svg(const plot *p, FILE *out)
{
    char text[DESCRIPTION_BYTES];
    frame f = frame_of(p, WIDTH_OF_FILE, 0);
    svg_begin(out, f.width, f.height + LEGEND_ROW, p->title, plot_describe(p, text, sizeof text));
    fprintf(out, "<style>\n");
    svg_style(out);
    fprintf(out, "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"var(--ground)\"/>\n");
    svg_label(out, LEFT, 18, "start", "strong", p->title);
    fprintf(out, "<g transform=\"translate(0 %.0f)\">\n", LEGEND_ROW);
    write_body(&f, p, out);
    fprintf(out, "</g>\n");
    svg_end(out);
}

/* ---------------------------------------------------------------- in words */

/* The first and the last point that are shown; false if there is none. */
static bool find_ends(const plot *p, const plot_series *s, const plot_point **first,
                      const plot_point **last)
{
    *first = *last = NULL;
    for (int i = 0; i < s->count; i++) {
        if (!plot_shows(p, &s->points[i])) continue;
        if (!*first) *first = &s->points[i];
        *last = &s->points[i];
    }
    return *first != NULL;
}

const char *plot_describe(const plot *p, char *out, size_t room)
{
    char x[REPORT_TEXT_BYTES], y[REPORT_TEXT_BYTES], z[REPORT_TEXT_BYTES];
    const plot_point *first, *last;
    text_buffer b = text_begin(out, room);
    text_add(&b, "%s by %s. ", p->y_title, p->x_title);
    for (int s = 0; s < p->series_count; s++) {
        if (!find_ends(p, &p->series[s], &first, &last)) continue;
        text_add(&b, "%s: %s at %s", p->series[s].name, p->y_text(first->y, y),
                 p->x_text(first->x, x));
        if (last != first) text_add(&b, ", %s at %s", p->y_text(last->y, y), p->x_text(last->x, x));
        text_add(&b, ". ");
    }
    for (int m = 0; m < p->mark_count; m++)
        text_add(&b, "Crossing at %s (%s to %s). ", p->x_text(p->marks[m].x, x),
                 p->x_text(p->marks[m].low, y), p->x_text(p->marks[m].high, z));
    return out;
}
