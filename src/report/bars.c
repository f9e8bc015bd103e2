/* Bars in the terminal. */
#include "report/bars.h"

#include <math.h>
#include <string.h>

#include "core/text.h"
#include "report/sheet.h"

#define NAME_COLUMNS 24
#define BAR_COLUMNS_MOST 84
#define RATIO_MAX 20.0 /* beyond it the shortest bar would be a few columns: bars are cut */

static const char *const blocks[BARS_PARTS_MAX] = {"░", "▚", "█", "▓", "▒", "▪", "·", "╌"};
static const int colors[BARS_PARTS_MAX] = {36, 35, 32, 34, 33, 31, 90, 90};

double bars_scale(const bars *b)
{
    double longest = 0, shortest = INFINITY;
    for (int i = 0; i < b->count; i++) {
        double total = b->bars[i].total;
        if (!(total > 0) || isinf(total)) continue;
        longest = fmax(longest, total);
        shortest = fmin(shortest, total);
    }
    return longest > 0 ? fmin(longest, shortest * RATIO_MAX) : 0;
}

bool bars_has_part(const bars *b, int part)
{
    for (int i = 0; i < b->count; i++)
        if (b->bars[i].parts[part] > 0) return true;
    return false;
}

/* Columns of each part: whole ones that add up to the bar's, by the largest remainder. */
static void share_out(const bars *b, const bar *one, int columns, int out[BARS_PARTS_MAX])
{
    double rest[BARS_PARTS_MAX], sum = 0;
    int free_columns = columns;
    for (int p = 0; p < b->part_count; p++) sum += fmax(one->parts[p], 0);
    for (int p = 0; p < b->part_count; p++) {
        double exact = one->parts[p] > 0 ? columns * one->parts[p] / sum : 0;
        out[p] = (int)exact;
        rest[p] = exact - out[p];
        free_columns -= out[p];
    }
    for (; free_columns > 0; free_columns--) {
        int widest = 0;
        for (int p = 1; p < b->part_count; p++)
            if (rest[p] > rest[widest]) widest = p;
        if (rest[widest] <= 0) return;
        out[widest]++;
        rest[widest] = 0;
    }
}

static void draw(const bars *b, int part, int columns, FILE *out)
{
    if (!columns) return;
    if (report_look.color) fprintf(out, "\033[%dm", colors[part]);
    for (int c = 0; c < columns; c++) {
        if (report_look.utf8)
            fputs(blocks[part], out);
        else
            fputc(b->letters[part], out);
    }
    if (report_look.color) fprintf(out, "\033[0m");
}

static int bar_columns(void)
{
    int columns = report_columns() - NAME_COLUMNS - 12;
    return columns > BAR_COLUMNS_MOST ? BAR_COLUMNS_MOST : columns;
}

static void draw_bar(const bars *b, const bar *one, double scale, FILE *out)
{
    int width[BARS_PARTS_MAX] = {0};
    char text[REPORT_TEXT_BYTES];
    bool is_cut = one->total > scale * 1.0001;
    int columns = is_cut ? bar_columns() : (int)lround(bar_columns() * one->total / scale);
    fprintf(out, "%.*s%*s", NAME_COLUMNS, one->name,
            text_width(one->name) < NAME_COLUMNS ? NAME_COLUMNS - (int)text_width(one->name) : 0,
            "");
    share_out(b, one, columns < 1 ? 1 : columns, width);
    for (int p = 0; p < b->part_count; p++) draw(b, p, width[p], out);
    fprintf(out, "%s %s\n", is_cut ? report_look.utf8 ? "»" : ">" : "",
            one->after ? one->after : b->text(one->total, text));
}

static void print_legend(const bars *b, FILE *out)
{
    int at = 0;
    for (int p = 0; p < b->part_count; p++) {
        if (!bars_has_part(b, p)) continue;
        int width = (at ? 4 : 2) + (int)strlen(b->parts[p]);
        if (at + width > report_columns()) {
            fprintf(out, "\n");
            width -= 2;
            at = 0;
        }
        fprintf(out, at ? "  " : "");
        draw(b, p, 1, out);
        fprintf(out, " %s", b->parts[p]);
        at += width;
    }
    fprintf(out, "\n");
}

void bars_print(const bars *b, FILE *out)
{
    double scale = bars_scale(b);
    bool is_cut = false;
    char text[REPORT_TEXT_BYTES];
    if (!(scale > 0)) return;
    for (int i = 0; i < b->count; i++) {
        if (!(b->bars[i].total > 0)) continue;
        draw_bar(b, &b->bars[i], scale, out);
        is_cut |= b->bars[i].total > scale * 1.0001;
    }
    if (b->part_count > 1) print_legend(b, out);
    if (is_cut)
        fprintf(out, "One scale for all; bars longer than %s are cut (%s).\n", b->text(scale, text),
                report_look.utf8 ? "»" : ">");
}
