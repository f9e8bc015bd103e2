/* The break-even points in sentences, and in a plot. */
#include <math.h>
#include <string.h>

#include "core/text.h"
#include "report/html.h"
#include "report/sweep.h"

#define POINTS_MAX 256
#define MARKS_MAX 256

/* ---------------------------------------------------------------- sentences */

/* "batch", "steps": what stands before or behind a number. */
static const char *place(const json_t *result, const char *number, char out[REPORT_TEXT_BYTES])
{
    const char *name = report_string(result, sweep, axis);
    if (strcmp(name, "steps") == 0)
        snprintf(out, REPORT_TEXT_BYTES, "%.40s steps", number);
    else
        snprintf(out, REPORT_TEXT_BYTES, "%.20s %.40s", name, number);
    return out;
}

/* With its decimals where it would else look like an end of its interval, or like another one. */
static const char *crossing_text(const json_t *at, char out[REPORT_TEXT_BYTES])
{
    double x = report_real(at, crossing, x), whole = round(x);
    if (whole > report_real(at, crossing, low) && whole < report_real(at, crossing, high))
        return report_count(x, out);
    snprintf(out, REPORT_TEXT_BYTES, "%.1f", x);
    return out;
}

static void say_crossings(const json_t *result, const json_t *pair, FILE *out)
{
    char x[REPORT_TEXT_BYTES], low[REPORT_TEXT_BYTES], high[REPORT_TEXT_BYTES];
    char where[REPORT_TEXT_BYTES], line[600];
    size_t i;
    json_t *at;
    json_array_foreach(report_member(pair, pair, crossings), i, at)
    {
        snprintf(line, sizeof line, "below %s (%s%s%s) %s is faster, above it %s.",
                 place(result, crossing_text(at, x), where),
                 report_count(report_real(at, crossing, low), low), report_look.utf8 ? "–" : "-",
                 report_count(report_real(at, crossing, high), high),
                 report_string(at, crossing, faster_below),
                 report_string(at, crossing, faster_above));
        fprintf(out, "%s", report_look.color ? "\033[1m" : "");
        report_paragraph(out, line, 2);
        fprintf(out, "%s", report_look.color ? "\033[0m" : "");
    }
}

/* Of the places that were measured, which need not be all of the range. */
static void say_winner(const json_t *result, const json_t *pair, FILE *out)
{
    char from[REPORT_TEXT_BYTES], to[REPORT_TEXT_BYTES], at[REPORT_TEXT_BYTES], line[600];
    char where[REPORT_TEXT_BYTES];
    const char *winner = report_string(pair, pair, winner);
    const json_t *points = report_member(pair, pair, points);
    size_t count = json_array_size(points);
    const json_t *first = json_array_get(points, 0), *last = json_array_get(points, count - 1);
    double least = report_real(pair, pair, least_ratio);
    bool whole = json_array_size(report_member(pair, pair, undecided)) == 0;
    if (!*winner || !count) return;
    place(result, report_count(report_real(first, point, x), from), where);
    if (count == 1)
        snprintf(line, sizeof line,
                 "at %s %s is faster, by at least %.2f%s; nothing else was measured.", where,
                 winner, least, report_times());
    else
        snprintf(line, sizeof line,
                 "no crossing from %s to %s: %s is faster %s, by at least %.2f%s (at %s).", where,
                 report_count(report_real(last, point, x), to), winner,
                 whole ? "everywhere" : "wherever that is sure", least, report_times(),
                 report_count(report_real(pair, pair, least_at), at));
    report_paragraph(out, line, 2);
}

static void say_undecided(const json_t *result, const json_t *pair, FILE *out)
{
    char from[REPORT_TEXT_BYTES], to[REPORT_TEXT_BYTES], where[REPORT_TEXT_BYTES], line[600];
    size_t i;
    json_t *at;
    json_array_foreach(report_member(pair, pair, undecided), i, at)
    {
        double low = report_real(at, stretch, ratio_low),
               high = report_real(at, stretch, ratio_high);
        text_buffer b = TEXT_BUFFER(line);
        text_add(&b, "undecided between %s and %s: ",
                 place(result, report_count(report_real(at, stretch, from), from), where),
                 report_count(report_real(at, stretch, to), to));
        if (high > SWEEP_SCATTER * low)
            text_add(&b,
                     "the times scatter too much to tell who wins; stop other programs, or give "
                     "more --max-time.");
        else
            text_add(&b,
                     "the ratio of their times is between %.2f and %.2f there, too close to 1 or "
                     "too noisy to say who wins.",
                     low, high);
        report_paragraph(out, line, 2);
    }
}

/* A row whose interval leaves out 1 and that is called UNSURE all the same. */
static void say_strictness(const json_t *pair, FILE *out)
{
    size_t i;
    json_t *point;
    json_array_foreach(report_member(pair, pair, points), i, point)
    {
        bool apart = report_real(point, point, low) > 1 || report_real(point, point, high) < 1;
        if (!apart || strcmp(report_string(point, point, verdict), "UNSURE") != 0) continue;
        report_paragraph(out,
                         "UNSURE with 1 outside of its 95 % interval: among that many places one "
                         "counts from three standard errors on, or from two between places of the "
                         "same winner.",
                         2);
        return;
    }
}

static void say_whole(const json_t *pair, FILE *out)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], steps[REPORT_TEXT_BYTES], line[1200];
    text_buffer all = TEXT_BUFFER(line);
    size_t i;
    json_t *run;
    const json_t *runs = report_member(pair, pair, whole);
    if (!json_array_size(runs)) return;
    text_add(&all, "whole trainings, run to check that: ");
    json_array_foreach(runs, i, run)
    {
        text_add(&all, "%s%s steps on %s in %s (%s computed)", i ? "; " : "",
                 report_count(report_real(run, whole, x), steps), report_string(run, whole, side),
                 report_seconds(report_real(run, whole, seconds), a),
                 report_seconds(report_real(run, whole, expected_s), b));
    }
    text_add(&all, ".");
    report_paragraph(out, line, 2);
}

/* What a framework takes beside the native engine on the same device. */
static void say_cost(const json_t *result, const json_t *pair, FILE *out)
{
    char from[REPORT_TEXT_BYTES], to[REPORT_TEXT_BYTES], where[REPORT_TEXT_BYTES], line[600];
    const json_t *points = report_member(pair, pair, points);
    size_t count = json_array_size(points);
    if (!count) return;
    const json_t *first = json_array_get(points, 0), *last = json_array_get(points, count - 1);
    snprintf(line, sizeof line, "%s takes %.2f%s the time of %s at %s, %.2f%s at %s.",
             report_string(pair, pair, second), 1 / report_real(first, point, ratio),
             report_times(), report_string(pair, pair, first),
             place(result, report_count(report_real(first, point, x), from), where),
             1 / report_real(last, point, ratio), report_times(),
             report_count(report_real(last, point, x), to));
    report_paragraph(out, line, 2);
}

void sweep_print_findings(const json_t *result, const json_t *pair, FILE *out)
{
    if (report_is(pair, pair, beside)) {
        say_cost(result, pair, out);
        return;
    }
    say_crossings(result, pair, out);
    say_winner(result, pair, out);
    say_undecided(result, pair, out);
    say_strictness(pair, out);
    say_whole(pair, out);
}

/* ---------------------------------------------------------------- plot */

static const char *x_text(double x, char out[REPORT_TEXT_BYTES])
{
    return report_count(x, out);
}

typedef struct gathered {
    plot_series series[PLOT_SERIES_MAX];
    plot_point points[PLOT_SERIES_MAX][POINTS_MAX];
    plot_mark marks[MARKS_MAX];
    plot p;
    char title[200];
} gathered;

/* In ascending order; a place that is there already is left. */
static void add_point(gathered *g, int s, const json_t *point, const char *side)
{
    char low[24], high[24], median[24];
    plot_series *series = &g->series[s];
    plot_point *points = g->points[s];
    double x = report_real(point, point, x);
    int at = series->count;
    snprintf(median, sizeof median, "%s_s", side);
    snprintf(low, sizeof low, "%s_low_s", side);
    snprintf(high, sizeof high, "%s_high_s", side);
    if (!(json_real_at(point, median) > 0)) return;
    while (at > 0 && points[at - 1].x > x) at--;
    if ((at > 0 && points[at - 1].x == x) || series->count == POINTS_MAX) return;
    memmove(points + at + 1, points + at, (size_t)(series->count - at) * sizeof *points);
    points[at] = (plot_point){x, json_real_at(point, median), json_real_at(point, low),
                              json_real_at(point, high)};
    series->count++;
}

static void add_pair(gathered *g, const json_t *pair, const char *side)
{
    size_t i;
    json_t *point;
    int s = 0;
    const char *name = json_text_at(pair, side);
    while (s < g->p.series_count && strcmp(g->series[s].name, name) != 0) s++;
    if (s == PLOT_SERIES_MAX) return;
    if (s == g->p.series_count) {
        g->series[s] = (plot_series){.name = name, .points = g->points[s]};
        g->p.series_count++;
    }
    json_array_foreach(report_member(pair, pair, points), i, point) add_point(g, s, point, side);
}

static void gather(gathered *g, const json_t *result)
{
    size_t i, c;
    json_t *pair, *at;
    bool total = report_is(result, sweep, total);
    *g = (gathered){.p = {.title = g->title,
                          .x_title = report_string(result, sweep, noun),
                          .y_title = total ? "time from start to end" : "time of a sample",
                          .series = g->series,
                          .marks = g->marks,
                          .x_text = x_text,
                          .y_text = report_seconds}};
    snprintf(g->title, sizeof g->title, "%s: %s by %s", report_string(result, sweep, workload),
             g->p.y_title, g->p.x_title);
    json_array_foreach(report_member(result, sweep, pairs), i, pair)
    {
        add_pair(g, pair, "first");
        add_pair(g, pair, "second");
        if (report_is(pair, pair, beside)) continue; /* none was searched there */
        json_array_foreach(report_member(pair, pair, crossings), c, at)
        {
            if (g->p.mark_count == MARKS_MAX) break;
            g->marks[g->p.mark_count++] =
                (plot_mark){report_real(at, crossing, x), report_real(at, crossing, low),
                            report_real(at, crossing, high)};
        }
    }
}

bool sweep_is_plotted(const json_t *result)
{
    gathered g;
    plot_span x, y;
    gather(&g, result);
    return plot_spans(&g.p, &x, &y);
}

void sweep_print_plot(const json_t *result, FILE *out)
{
    gathered g;
    gather(&g, result);
    if (report_look.html)
        html_plot(&g.p, false, out);
    else
        plot_print(&g.p, out);
}

void sweep_write_svg(const json_t *result, FILE *out)
{
    gathered g;
    gather(&g, result);
    plot_write_svg(&g.p, out);
}
