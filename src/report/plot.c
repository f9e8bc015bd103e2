/* Plots in the terminal. */
#include "report/plot.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "report/sheet.h"

#define LEFT 9 /* columns of the labels */
#define WIDTH_MOST 109
#define HEIGHT 15

typedef struct cell {
    const char *glyph; /* NULL: blank */
    int color;         /* of the series; -1 none */
} cell;

typedef struct canvas {
    int width;
    cell cells[HEIGHT][WIDTH_MOST];
    cell axis[WIDTH_MOST];
    plot_span x, y;
} canvas;

static const char *const colors[PLOT_SERIES_MAX] = {"36", "33", "35", "32", "34", "31"};

static const char *marker(int series)
{
    static const char *const fine[PLOT_SERIES_MAX] = {"●", "▲", "■", "◆", "○", "△"};
    static const char *const plain[PLOT_SERIES_MAX] = {"o", "x", "#", "*", "@", "%"};
    return report_look.utf8 ? fine[series] : plain[series];
}

static const char *glyph(const char *fine, const char *plain)
{
    return report_look.utf8 ? fine : plain;
}

/* ---------------------------------------------------------------- scales */

static void widen(plot_span *span, double value)
{
    if (!isfinite(value) || (!span->linear && value <= 0)) return;
    span->low = fmin(span->low, value);
    span->high = fmax(span->high, value);
}

bool plot_shows(const plot *p, const plot_point *point)
{
    return isfinite(point->y) && (p->y_scale == PLOT_LINEAR || point->y > 0) &&
           isfinite(point->x) && (p->x_scale == PLOT_LINEAR || point->x > 0);
}

/* Room above and below the highest and the lowest. */
static void loosen(plot_span *y)
{
    double room = y->linear ? fmax((y->high - y->low) * 0.04, fabs(y->high) * 1e-9 + 1e-12) : 0;
    y->low = y->linear ? y->low - room : y->low / 1.05;
    y->high = y->linear ? y->high + room : y->high * 1.05;
}

bool plot_spans(const plot *p, plot_span *x, plot_span *y)
{
    *x = (plot_span){INFINITY, -INFINITY, p->x_scale == PLOT_LINEAR};
    *y = (plot_span){INFINITY, -INFINITY, p->y_scale == PLOT_LINEAR};
    for (int s = 0; s < p->series_count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            const plot_point *point = &p->series[s].points[i];
            if (!plot_shows(p, point)) continue;
            widen(x, point->x);
            widen(y, point->y);
            widen(y, point->low);
            widen(y, point->high);
        }
    if (!(x->low < x->high)) return false;
    loosen(y);
    return true;
}

double plot_place(plot_span span, double value)
{
    if (span.linear) return (value - span.low) / (span.high - span.low);
    return log(value / span.low) / log(span.high / span.low);
}

static int ticks_of(plot_span span, bool decades, double out[PLOT_TICKS_MAX])
{
    static const double steps[] = {1, 2, 5};
    int count = 0;
    for (double decade = pow(10, floor(log10(span.low))); decade <= span.high; decade *= 10)
        for (int s = 0; s < (decades ? 1 : 3); s++) {
            double value = decade * steps[s];
            bool inside = value >= span.low * 0.999 && value <= span.high * 1.001;
            if (inside && count < PLOT_TICKS_MAX) out[count++] = value;
        }
    return count;
}

static int linear_ticks(plot_span span, int limit, double out[PLOT_TICKS_MAX])
{
    static const double steps[] = {1, 2, 5, 10};
    double least = (span.high - span.low) / (limit > 2 ? limit : 2), decade;
    double step = 0;
    int count = 0;
    if (limit > PLOT_TICKS_MAX - 1) limit = PLOT_TICKS_MAX - 1;
    decade = pow(10, floor(log10(least)));
    for (int s = 0; s < 4 && step < least; s++) step = decade * steps[s];
    for (double k = ceil(span.low / step - 1e-9); k * step <= span.high + step * 1e-9; k++)
        if (count < PLOT_TICKS_MAX) out[count++] = k == 0 ? 0 : k * step;
    return count;
}

int plot_ticks(plot_span span, int limit, double out[PLOT_TICKS_MAX])
{
    int count = span.linear ? linear_ticks(span, limit, out) : ticks_of(span, false, out);
    if (count > limit && !span.linear) count = ticks_of(span, true, out);
    if (count > 1) return count;
    out[0] = span.low;
    out[1] = span.high;
    return 2;
}

/* ---------------------------------------------------------------- drawing */

static int column_of(const canvas *c, double x)
{
    return (int)lround(fmin(fmax(plot_place(c->x, x), 0), 1) * (c->width - 1));
}

static int row_of(const canvas *c, double y)
{
    return (int)lround((1 - fmin(fmax(plot_place(c->y, y), 0), 1)) * (HEIGHT - 1));
}

/* The line between two neighbours, straight on the page. */
static void draw_line(canvas *c, const plot_point *a, const plot_point *b, int series)
{
    int from = column_of(c, a->x), to = column_of(c, b->x);
    for (int column = from + 1; column < to; column++) {
        double share = (double)(column - from) / (to - from);
        double y =
            c->y.linear ? a->y + share * (b->y - a->y) : exp(log(a->y) + share * log(b->y / a->y));
        c->cells[row_of(c, y)][column] = (cell){glyph("·", "."), series};
    }
}

static void draw_series(canvas *c, const plot *p, const plot_series *s, int series)
{
    for (int i = 0; i + 1 < s->count; i++)
        if (plot_shows(p, &s->points[i]) && plot_shows(p, &s->points[i + 1]))
            draw_line(c, &s->points[i], &s->points[i + 1], series);
    for (int i = 0; i < s->count; i++)
        if (plot_shows(p, &s->points[i]))
            c->cells[row_of(c, s->points[i].y)][column_of(c, s->points[i].x)] =
                (cell){marker(series), series};
}

static void draw_mark(canvas *c, const plot_mark *mark)
{
    int low = column_of(c, mark->low), high = column_of(c, mark->high), at = column_of(c, mark->x);
    for (int column = low; column <= high; column++) c->axis[column] = (cell){glyph("━", "="), -1};
    c->axis[at] = (cell){glyph("╋", "#"), -1};
    for (int row = 0; row < HEIGHT; row++) c->cells[row][at] = (cell){glyph("┆", "|"), -1};
}

static void print_cell(const cell *at, FILE *out)
{
    bool colored = at->glyph && report_look.color;
    if (colored && at->color >= 0) fprintf(out, "\033[%sm", colors[at->color]);
    if (colored && at->color < 0) fprintf(out, "\033[1m");
    fputs(at->glyph ? at->glyph : " ", out);
    if (colored) fprintf(out, "\033[0m");
}

/* Up to the last cell that is no blank. */
static void print_cells(const cell *cells, int width, FILE *out)
{
    int last = width - 1;
    while (last >= 0 && !cells[last].glyph) last--;
    for (int column = 0; column <= last; column++) print_cell(&cells[column], out);
    fputc('\n', out);
}

static void print_rows(const canvas *c, const plot *p, FILE *out)
{
    double ticks[PLOT_TICKS_MAX];
    int count = plot_ticks(c->y, HEIGHT / 2, ticks);
    for (int row = 0; row < HEIGHT; row++) {
        char label[REPORT_TEXT_BYTES] = "";
        for (int t = 0; t < count; t++)
            if (row_of(c, ticks[t]) == row) p->y_text(ticks[t], label);
        fprintf(out, "%*s%s %s", LEFT - (int)text_width(label), "", label,
                label[0] ? glyph("┤", "+") : glyph("│", "|"));
        print_cells(c->cells[row], c->width, out);
    }
}

static void print_axis(canvas *c, const plot *p, FILE *out)
{
    char line[WIDTH_MOST + 1], label[REPORT_TEXT_BYTES];
    double ticks[PLOT_TICKS_MAX];
    int count = plot_ticks(c->x, c->width / 7, ticks), free_from = 0;
    memset(line, ' ', (size_t)c->width);
    line[c->width] = 0;
    for (int column = 0; column < c->width; column++)
        if (!c->axis[column].glyph) c->axis[column] = (cell){glyph("─", "-"), -1};
    for (int t = 0; t < count; t++) {
        int at = column_of(c, ticks[t]), length = (int)strlen(p->x_text(ticks[t], label));
        int from = at - length / 2;
        if (from + length > c->width) from = c->width - length;
        if (from < free_from) continue;
        memcpy(line + from, label, (size_t)length);
        free_from = from + length + 2;
    }
    fprintf(out, "%*s %s", LEFT, "", glyph("└", "+"));
    print_cells(c->axis, c->width, out);
    for (int end = c->width; end > 0 && line[end - 1] == ' '; end--) line[end - 1] = 0;
    fprintf(out, "%*s%s\n", LEFT + 2, "", line);
}

static void print_legend(const plot *p, FILE *out)
{
    char text[600];
    text_buffer b = TEXT_BUFFER(text);
    for (int s = 0; s < p->series_count; s++)
        text_add(&b, "%s %s   ", marker(s), p->series[s].name);
    if (p->mark_count)
        text_add(&b, "%s crossing, %s its interval", glyph("┆", "|"), glyph("━", "="));
    fprintf(out, "%*s", LEFT + 2, "");
    report_wrap(out, text, LEFT + 2, LEFT + 2);
}

void plot_print(const plot *p, FILE *out)
{
    canvas c = {.width = report_columns() - LEFT - 2};
    if (c.width > WIDTH_MOST) c.width = WIDTH_MOST;
    if (!plot_spans(p, &c.x, &c.y)) return;
    fprintf(out, "%s by %s\n", p->y_title, p->x_title);
    for (int m = 0; m < p->mark_count; m++) draw_mark(&c, &p->marks[m]);
    for (int s = 0; s < p->series_count; s++) draw_series(&c, p, &p->series[s], s);
    print_rows(&c, p, out);
    print_axis(&c, p, out);
    print_legend(p, out);
}
