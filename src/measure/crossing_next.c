/* Where to measure next. */
#include <math.h>
#include <string.h>

#include "measure/crossing.h"
#include "measure/crossing_points.h"

#define GRID_LEAST 5
#define GRID_MOST 14
#define REPEATS 4        /* runs of one position at most */
#define REPEATS_APART 5  /* where they do not agree */
#define RUNS_TO_SETTLE 2 /* kept for each point that decides */
#define INSIDE_MOST 14   /* runs for one crossing at most */
#define DIP_GAP 0.15     /* least gap, as a log, that is searched for a dip */

typedef struct search {
    const crossing_point *points; /* as measured */
    int count;
    const crossing_options *options;
    crossing_merged m;
} search;

static double placed(const crossing_options *options, double x)
{
    if (options->integer) x = round(x);
    return fmin(fmax(x, options->from), options->to);
}

int crossing_grid(const crossing_options *options, double out[CROSSING_POINTS_MAX])
{
    double octaves = log2(options->to / options->from);
    int places = (int)lround(octaves) + 1, count = 0;
    places = places < GRID_LEAST ? GRID_LEAST : places > GRID_MOST ? GRID_MOST : places;
    for (int i = 0; i < places; i++) {
        double x = placed(options, options->from * exp2(octaves * i / (places - 1)));
        if (!count || x > out[count - 1]) out[count++] = x;
    }
    return count;
}

static int runs_at(const search *s, double x)
{
    int runs = 0;
    for (int i = 0; i < s->count; i++) runs += s->points[i].x == x;
    return runs;
}

static int runs_within(const search *s, double low, double high)
{
    int runs = 0;
    for (int i = 0; i < s->count; i++) runs += s->points[i].x >= low && s->points[i].x <= high;
    return runs;
}

/* The place of the grid that is still open, and farthest from all points; but the middle before the
 * upper end, so that there is an idea of what that end will take. */
static bool next_of_grid(const search *s, double *x)
{
    double grid[CROSSING_POINTS_MAX], farthest = 0;
    int count = crossing_grid(s->options, grid);
    if (s->count == 1 && s->points[0].x == grid[0] && count > 2) return *x = grid[count / 2], true;
    for (int g = 0; g < count; g++) {
        double nearest = INFINITY;
        for (int i = 0; i < s->count; i++)
            nearest = fmin(nearest, fabs(log(grid[g] / s->points[i].x)));
        if (nearest <= farthest) continue;
        farthest = nearest;
        *x = grid[g];
    }
    return farthest > 0;
}

/* A point whose sign may be another than that of its neighbours, and that may still be repeated. */
static bool next_unsure(const search *s, const crossing_result *r, double *x)
{
    for (int i = 0; i < s->m.count; i++) {
        const crossing_point *p = &s->m.points[i];
        bool within = false;
        for (int u = 0; u < r->undecided_count; u++)
            within |= p->x >= r->undecided[u].from && p->x <= r->undecided[u].to;
        bool even =
            fabs(p->y) + CROSSING_LIKELY * p->error < 2 * CROSSING_LIKELY * s->options->floor;
        if (!within || even || crossing_sign(p, CROSSING_SURE)) continue;
        if (!crossing_is_settled(&s->m, i) || s->m.runs[i] >= REPEATS) continue;
        *x = p->x;
        return true;
    }
    return false;
}

/* Where the curve could reach 0 in the gap behind point k, both ends being of one sign: where the
 * lines through the two points before the gap and the two behind it meet. */
static bool dip_of_gap(const search *s, int k, double *x)
{
    const crossing_point *p = s->m.points;
    double at[4], y[4];
    int sign = p[k].y > 0 ? 1 : -1;
    if (k < 1 || k + 2 >= s->m.count || p[k].y * p[k + 1].y <= 0) return false;
    for (int i = 0; i < 4; i++) {
        at[i] = log(p[k - 1 + i].x);
        y[i] = p[k - 1 + i].y * sign;
    }
    double left = (y[1] - y[0]) / (at[1] - at[0]), right = (y[3] - y[2]) / (at[3] - at[2]);
    double gap = at[2] - at[1];
    if (!(left < 0 && right > 0) || gap < DIP_GAP) return false;
    double place = at[1] + (y[2] - y[1] - right * gap) / (left - right);
    double reached = y[1] + left * (place - at[1]);
    if (reached > CROSSING_SURE * (p[k].error + p[k + 1].error) / 2) return false;
    place = fmin(fmax(place, at[1] + gap / 4), at[2] - gap / 4);
    *x = placed(s->options, exp(place));
    return runs_at(s, *x) == 0;
}

static bool next_dip(const search *s, double *x)
{
    for (int k = 0; k + 1 < s->m.count; k++)
        if (dip_of_gap(s, k, x)) return true;
    return false;
}

/* Inside of an interval: the middle of its widest gap, or its least known point once more. */
static bool next_inside(const search *s, const crossing *c, double *x)
{
    const crossing_point *p = s->m.points;
    double widest = s->options->target / 2, worst = 0;
    bool is_known = false;
    if (runs_within(s, c->low, c->high) >= INSIDE_MOST) return false;
    for (int i = 0; i + 1 < s->m.count; i++) {
        double gap = log(p[i + 1].x / p[i].x);
        double middle = placed(s->options, sqrt(p[i].x * p[i + 1].x));
        if (p[i].x < c->low || p[i + 1].x > c->high || gap <= widest) continue;
        if (middle == p[i].x || middle == p[i + 1].x) continue;
        widest = gap;
        *x = middle;
        is_known = true;
    }
    if (is_known) return true;
    for (int i = 0; i < s->m.count; i++) {
        bool unsure = !crossing_sign(&p[i], CROSSING_SURE);
        if (p[i].x < c->low || p[i].x > c->high || !unsure || p[i].error <= worst) continue;
        if (!crossing_is_settled(&s->m, i) || s->m.runs[i] >= REPEATS) continue;
        worst = p[i].error;
        *x = p[i].x;
        is_known = true;
    }
    return is_known;
}

/* The widest interval that can be made narrower. */
static bool next_refinement(const search *s, crossing_result r, double *x)
{
    for (;;) {
        int widest = -1;
        double width = s->options->target;
        for (int c = 0; c < r.count; c++) {
            if (crossing_half_width(&r.crossings[c]) <= width) continue;
            width = crossing_half_width(&r.crossings[c]);
            widest = c;
        }
        if (widest < 0) return false;
        if (next_inside(s, &r.crossings[widest], x)) return true;
        r.crossings[widest] = r.crossings[--r.count];
    }
}

/* ---------------------------------------------------------------- runs that were disturbed */

/* The sure points beside a crossing; without one, the point that says how far from even it is. */
static bool decides(const crossing_result *r, double x)
{
    for (int c = 0; c < r->count; c++)
        if (x == r->crossings[c].left || x == r->crossings[c].right) return true;
    return !r->count && r->sign && x == r->at;
}

/* The only sure point between two crossings. */
static bool is_lone(const crossing_result *r, double x)
{
    for (int c = 0; c + 1 < r->count; c++)
        if (x == r->crossings[c].right && x == r->crossings[c + 1].left) return true;
    return false;
}

static bool needs_again(const search *s, const crossing_result *r, int i, bool all)
{
    double x = s->m.points[i].x;
    if (!crossing_is_settled(&s->m, i)) return s->m.runs[i] < REPEATS_APART;
    return s->m.runs[i] < 2 && (all ? decides(r, x) : is_lone(r, x));
}

static int latest_run(const search *s, double x)
{
    int latest = s->count - 1;
    while (latest > 0 && s->points[latest].x != x) latest--;
    return latest;
}

/* What disturbs a whole run shows in nothing but another run at its place, after others.  So a
 * place whose runs do not agree is measured again, and so is what stands alone or, with `all`, what
 * decides; the one that was measured longest ago first. */
static bool next_again(const search *s, const crossing_result *r, bool all, double *x)
{
    int now = s->count - 1, longest_ago = now;
    bool any = false;
    for (int i = 0; i < s->m.count; i++) {
        if (!needs_again(s, r, i, all)) continue;
        any = true;
        int latest = latest_run(s, s->m.points[i].x);
        if (latest >= longest_ago) continue;
        longest_ago = latest;
        *x = s->m.points[i].x;
    }
    if (longest_ago < now) return true;
    if (!any || !all) return false;
    *x = s->points[now].x; /* nothing else is left: another point that decides goes before it */
    for (int i = 0; i < s->m.count; i++) {
        double other = s->m.points[i].x;
        if (decides(r, other) && other != s->points[now].x && s->m.runs[i] < REPEATS) *x = other;
    }
    return true;
}

/* Points that decide, and were measured once. */
static int count_open(const search *s, const crossing_result *r)
{
    int open = 0;
    for (int i = 0; i < s->m.count; i++) open += needs_again(s, r, i, true);
    return open;
}

bool crossing_next(const crossing_point *points, int count, const crossing_options *options,
                   double *x)
{
    search s = {.points = points, .count = count, .options = options};
    crossing_result r;
    int rest = (options->limit ? options->limit : CROSSING_POINTS_MAX) - count;
    if (rest <= 0) return false;
    if (next_of_grid(&s, x)) return true;
    crossing_merge(points, count, options, &s.m);
    crossing_analyze(points, count, options, &r);
    if (next_again(&s, &r, rest <= RUNS_TO_SETTLE * count_open(&s, &r), x)) return true;
    if (next_dip(&s, x) || next_unsure(&s, &r, x)) return true;
    return (rest > RUNS_TO_SETTLE && next_refinement(&s, r, x)) || next_again(&s, &r, true, x);
}
