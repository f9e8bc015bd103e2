/* Bars as SVG. */
#include <math.h>

#include "core/text.h"
#include "report/bars.h"
#include "report/svg.h"

#define ROW 30.0     /* a bar and what is between two */
#define HEIGHT 16.0  /* of a bar */
#define RIGHT 128.0  /* for the text behind a bar */
#define NARROW 520.0 /* below it the names stand above their bars */
#define NAME_MOST 220.0

typedef struct frame {
    const bars *b;
    double left, right, scale; /* where bars begin and end; the value at their end */
    bool stacked;              /* names above */
    FILE *out;
} frame;

static double across(const frame *f, double value)
{
    return f->left + fmin(value / f->scale, 1) * (f->right - f->left);
}

static void write_parts(const frame *f, const bar *one, double y)
{
    double sum = 0, x = f->left, length = across(f, one->total) - f->left;
    for (int p = 0; p < f->b->part_count; p++) sum += fmax(one->parts[p], 0);
    for (int p = 0; p < f->b->part_count; p++) {
        if (!(one->parts[p] > 0)) continue;
        double wide = length * one->parts[p] / sum;
        fprintf(f->out,
                "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\"/>", p, x,
                y, fmax(wide, 0.6), HEIGHT);
        x += wide;
    }
    fprintf(f->out, "\n");
}

static void write_whisker(const frame *f, const bar *one, double y)
{
    if (!(one->low > 0) || !(one->high > one->low) || one->high > f->scale) return;
    double low = across(f, one->low), high = across(f, one->high), middle = y + HEIGHT / 2;
    if (high - low < 1.5) return;
    fprintf(f->out, "<path class=\"whisker\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8\"/>\n",
            low, middle, high, low, middle - 4, high, middle - 4);
}

static void write_bar(const frame *f, const bar *one, double y)
{
    char text[REPORT_TEXT_BYTES], label[REPORT_TEXT_BYTES];
    bool is_cut = one->total > f->scale * 1.0001;
    double top = f->stacked ? y + 18 : y;
    if (f->stacked)
        svg_label(f->out, f->left, y + 12, "start", "", one->name);
    else
        svg_label(f->out, f->left - 10, y + 12.5, "end", "", one->name);
    write_parts(f, one, top);
    write_whisker(f, one, top);
    snprintf(label, sizeof label, "%s%.200s", is_cut ? "» " : "",
             one->after ? one->after : f->b->text(one->total, text));
    double behind = fmax(across(f, one->total), one->high <= f->scale ? across(f, one->high) : 0);
    svg_label(f->out, behind + 8, top + 12.5, "start", "dim", label);
}

static double write_legend(const frame *f, double y, double width)
{
    double x = f->stacked ? f->left : 0;
    for (int p = 0; p < f->b->part_count; p++) {
        if (!bars_has_part(f->b, p)) continue;
        double wide = 34 + svg_text_width(f->b->parts[p]);
        if (x > 0 && x + wide > width) {
            x = 0;
            y += 20;
        }
        if (f->out) {
            fprintf(f->out,
                    "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\"/>", p, x,
                    y - 10);
            svg_label(f->out, x + 17, y, "start", "", f->b->parts[p]);
        }
        x += wide;
    }
    return y + 8;
}

/* "native on 2 threads: 2.23 ms; …" */
static const char *describe(const bars *b, char *out, size_t room)
{
    char text[REPORT_TEXT_BYTES];
    text_buffer t = text_begin(out, room);
    for (int i = 0; i < b->count; i++)
        if (b->bars[i].total > 0)
            text_add(&t, "%s%s: %s", t.used ? "; " : "", b->bars[i].name,
                     b->text(b->bars[i].total, text));
    return out;
}

void bars_write_inline(const bars *b, int width, FILE *out)
{
    frame f = {.b = b, .scale = bars_scale(b), .stacked = width < NARROW, .out = NULL};
    char text[2000];
    double names = 0, row, y = 2;
    int rows = 0;
    if (!(f.scale > 0)) return;
    for (int i = 0; i < b->count; i++) {
        rows += b->bars[i].total > 0;
        names = fmax(names, svg_text_width(b->bars[i].name));
    }
    f.left = f.stacked ? 0 : fmin(names, NAME_MOST) + 12;
    f.right = width - RIGHT;
    row = f.stacked ? ROW + 16 : ROW;
    double height = 6 + rows * row;
    if (b->part_count > 1) height = write_legend(&f, height + 10, width);
    f.out = out;
    svg_begin(out, width, height, b->title, describe(b, text, sizeof text));
    for (int i = 0; i < b->count; i++) {
        if (!(b->bars[i].total > 0)) continue;
        write_bar(&f, &b->bars[i], y);
        y += row;
    }
    if (b->part_count > 1) write_legend(&f, 6 + rows * row + 10, width);
    svg_end(out);
}
