/* Bars of phases, drawn to one scale. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "report/contender.h"
#include "report/explain.h"
#include "report/explain_sides.h"

#define NAME_COLUMNS 24
#define BAR_COLUMNS_MOST 84
#define RATIO_MAX 20.0 /* beyond it the shortest bar would be a few columns: bars are cut */

static const char letters[EXPLAIN_PHASES] = {'d', 'u', 'F', 'B', 'O', 'l', '.', '-'};
static const char *const blocks[EXPLAIN_PHASES] = {"░", "▚", "█", "▓", "▒", "▪", "·", "╌"};
static const int colors[EXPLAIN_PHASES] = {36, 35, 32, 34, 33, 31, 90, 90};

/* Columns of each phase: whole ones that add up to the bar's, by the largest remainder. */
static void share_out(const json_t *record, int columns, int out[EXPLAIN_PHASES])
{
    double rest[EXPLAIN_PHASES], total = report_real(record, explained, explain.phases_sum_s);
    int left = columns;
    for (int p = 0; p < EXPLAIN_PHASES; p++) {
        char path[64];
        snprintf(path, sizeof path, "explain.phases_s.%s", explain_phase_names[p]);
        double seconds = json_real_at(record, path);
        double exact = seconds > 0 && total > 0 ? columns * seconds / total : 0;
        out[p] = (int)exact;
        rest[p] = exact - out[p];
        left -= out[p];
    }
    for (; left > 0; left--) {
        int most = 0;
        for (int p = 1; p < EXPLAIN_PHASES; p++)
            if (rest[p] > rest[most]) most = p;
        if (rest[most] <= 0) return;
        out[most]++;
        rest[most] = 0;
    }
}

static void draw(int phase, int columns, FILE *out)
{
    if (!columns) return;
    if (report_look.color) fprintf(out, "\033[%dm", colors[phase]);
    for (int c = 0; c < columns; c++) {
        if (report_look.utf8)
            fputs(blocks[phase], out);
        else
            fputc(letters[phase], out);
    }
    if (report_look.color) fprintf(out, "\033[0m");
}

static int bar_columns(void)
{
    int columns = report_columns() - NAME_COLUMNS - 12;
    return columns > BAR_COLUMNS_MOST ? BAR_COLUMNS_MOST : columns;
}

static void draw_bar(const json_t *record, double scale_s, FILE *out)
{
    int width[EXPLAIN_PHASES];
    char text[REPORT_TEXT_BYTES];
    double step = report_real(record, explained, explain.phases_sum_s);
    bool cut = step > scale_s * 1.0001;
    int columns = cut ? bar_columns() : (int)lround(bar_columns() * step / scale_s);
    contender_who(record, text);
    fprintf(out, "%.*s%*s", NAME_COLUMNS, text,
            text_width(text) < NAME_COLUMNS ? NAME_COLUMNS - (int)text_width(text) : 0, "");
    share_out(record, columns < 1 ? 1 : columns, width);
    for (int p = 0; p < EXPLAIN_PHASES; p++) draw(p, width[p], out);
    fprintf(out, "%s %s\n", cut ? report_look.utf8 ? "»" : ">" : "", report_seconds(step, text));
}

static bool is_drawn(const json_t *records, int phase)
{
    size_t i;
    json_t *record;
    char path[64];
    snprintf(path, sizeof path, "explain.phases_s.%s", explain_phase_names[phase]);
    json_array_foreach(records, i, record) if (json_real_at(record, path) > 0) return true;
    return false;
}

/* Of the phases that somebody has. */
static void write_legend(const json_t *records, FILE *out)
{
    int at = 0;
    for (int p = 0; p < EXPLAIN_PHASES; p++) {
        static const char *const titles[EXPLAIN_PHASES] = {
            "data",      "upload",    "forward",        "backward",
            "optimizer", "loss read", "waits for host", "other idle"};
        if (!is_drawn(records, p)) continue;
        int width = (at ? 4 : 2) + (int)strlen(titles[p]);
        if (at + width > report_columns()) {
            fprintf(out, "\n");
            width -= 2;
            at = 0;
        }
        fprintf(out, at ? "  " : "");
        draw(p, 1, out);
        fprintf(out, " %s", titles[p]);
        at += width;
    }
    fprintf(out, "\n");
}

void explain_bars(const json_t *records, FILE *out)
{
    size_t i;
    json_t *record;
    double longest = 0, shortest = INFINITY;
    char text[REPORT_TEXT_BYTES];
    json_array_foreach(records, i, record)
    {
        double step = report_real(record, explained, explain.phases_sum_s);
        if (!explain_has(record) || !(step > 0)) continue;
        longest = fmax(longest, step);
        shortest = fmin(shortest, step);
    }
    if (!(longest > 0)) return;
    double scale_s = fmin(longest, shortest * RATIO_MAX);
    json_array_foreach(records, i, record) if (explain_has(record)) draw_bar(record, scale_s, out);
    write_legend(records, out);
    if (longest > scale_s)
        fprintf(out, "One scale for all; bars longer than %s are cut (%s).\n",
                report_seconds(scale_s, text), report_look.utf8 ? "»" : ">");
}
