/* The analysis of points. */
#include "measure/crossing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "measure/crossing_points.h"

/* The (0.975)^(1/n) quantile of the normal distribution for n = 1 … CROSSING_WINDOWS. */
static const double limits[CROSSING_WINDOWS + 1] = {0,     1.960, 2.239, 2.391, 2.495,
                                                    2.572, 2.635, 2.687, 2.731};

/* ---------------------------------------------------------------- points */

static int compare_place(const void *a, const void *b)
{
    const crossing_point *p = a, *q = b;
    return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y > q->y) - (p->y < q->y);
}

/* Their 95 % intervals meet. */
static bool agree(const crossing_point *a, const crossing_point *b, double floor)
{
    return fabs(a->y - b->y) <= CROSSING_LIKELY * (hypot(a->error, floor) + hypot(b->error, floor));
}

/* The runs at one place as one point: the mean of those that agree if they are the most, else what
 * covers the intervals of all. */
static void add_merged(const crossing_point *runs, int count, double floor, crossing_merged *out)
{
    crossing_point *p = &out->points[out->count];
    const crossing_point *center = runs;
    double weights = 0, low = INFINITY, high = -INFINITY;
    int largest = 0, at = out->count++;
    for (int i = 0; i < count; i++) {
        int agreeing = 0;
        for (int k = 0; k < count; k++) agreeing += agree(&runs[i], &runs[k], floor);
        if (agreeing > largest) center = &runs[i];
        if (agreeing > largest) largest = agreeing;
    }
    out->runs[at] = count;
    out->agreeing[at] = largest;
    *p = (crossing_point){.x = runs->x};
    for (int i = 0; i < count; i++) {
        double weight = 1 / (runs[i].error * runs[i].error + 1e-12);
        double half = CROSSING_LIKELY * hypot(runs[i].error, floor);
        low = fmin(low, runs[i].y - half);
        high = fmax(high, runs[i].y + half);
        if (!agree(center, &runs[i], floor)) continue;
        weights += weight;
        p->y += (runs[i].y - p->y) * weight / weights;
    }
    p->error = hypot(sqrt(1 / weights), floor);
    if (crossing_is_settled(out, at)) return;
    p->y = (low + high) / 2;
    p->error = (high - low) / (2 * CROSSING_LIKELY);
}

void crossing_merge(const crossing_point *points, int count, const crossing_options *options,
                    crossing_merged *out)
{
    crossing_point sorted[CROSSING_RUNS_MAX];
    MUST(count <= CROSSING_RUNS_MAX);
    out->count = 0;
    if (count) memcpy(sorted, points, (size_t)count * sizeof *points);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_place);
    for (int i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && sorted[end].x <= sorted[i].x;) end++;
        add_merged(&sorted[i], end - i, options->floor, out);
    }
}

bool crossing_is_settled(const crossing_merged *m, int i)
{
    return 2 * m->agreeing[i] > m->runs[i];
}

int crossing_sign(const crossing_point *point, double errors)
{
    if (!(fabs(point->y) > errors * point->error)) return 0;
    return point->y > 0 ? 1 : -1;
}

/* ---------------------------------------------------------------- one crossing */

/* A sign change: sure points on both sides, and how far neighbours may be used. */
typedef struct change {
    int left, right; /* the nearest sure points */
    int first, last; /* points that belong to the same two sides */
    int below;       /* sign of y on the left */
} change;

/* Whether the points from `k` on, away from a crossing, contradict `sign`. */
static bool contradict(const crossing_merged *m, int k, int step, int end, int sign)
{
    int windows = 1 + abs(end - k);
    double sum = 0, weights = 0;
    if (windows > CROSSING_WINDOWS) windows = CROSSING_WINDOWS;
    for (int i = 0; i < windows; i++, k += step) {
        double weight = 1 / (m->points[k].error * m->points[k].error);
        sum += weight * m->points[k].y * sign;
        weights += weight;
        if (-sum / sqrt(weights) > limits[windows]) return true;
    }
    return false;
}

/* The root of the weighted least-squares line through the points of the change, in log x; NAN where
 * there is none. */
static double line_root(const crossing_merged *m, const change *c)
{
    double w = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (int i = c->left; i <= c->right; i++) {
        double weight = 1 / (m->points[i].error * m->points[i].error), at = log(m->points[i].x);
        w += weight;
        x += weight * at;
        y += weight * m->points[i].y;
        xx += weight * at * at;
        xy += weight * at * m->points[i].y;
    }
    double slope = (w * xy - x * y) / (w * xx - x * x);
    return x / w - y / w / slope;
}

static crossing locate(const crossing_merged *m, const change *c)
{
    int low = -1, high = c->left;
    for (int k = c->left; k < c->right; k++) {
        if (contradict(m, k, -1, c->first, c->below)) continue;
        if (contradict(m, k + 1, 1, c->last, -c->below)) continue;
        if (low < 0) low = k;
        high = k + 1;
    }
    if (low < 0) {
        low = c->left;
        high = c->right;
    }
    crossing place = {.low = m->points[low].x,
                      .high = m->points[high].x,
                      .below = c->below,
                      .left = m->points[c->left].x,
                      .right = m->points[c->right].x};
    place.x = exp(line_root(m, c));
    if (!(place.x > place.low && place.x < place.high)) place.x = sqrt(place.low * place.high);
    return place;
}

/* ---------------------------------------------------------------- judging */

int crossing_verdict_sign(stats_verdict verdict)
{
    return verdict == STATS_FASTER ? -1 : verdict == STATS_SLOWER;
}

stats_verdict crossing_no_sign(const stats_interval *ratio)
{
    return stats_judge(ratio) == STATS_SAME ? STATS_SAME : STATS_UNSURE;
}

/* The sign of the sure points on both sides of point i, or of the one side that has any. */
static int sign_beside(const crossing_merged *m, int i)
{
    int before = 0, after = 0;
    for (int k = i - 1; k >= 0 && !before; k--)
        before = crossing_sign(&m->points[k], CROSSING_SURE);
    for (int k = i + 1; k < m->count && !after; k++)
        after = crossing_sign(&m->points[k], CROSSING_SURE);
    if (!before || !after) return before ? before : after;
    return before == after ? before : 0;
}

/* The sign that is believed.  What differs from run to run can make two floors of a difference. */
static int judge_sign(const crossing_merged *m, int i, double floor)
{
    const crossing_point *p = &m->points[i];
    int sure = crossing_sign(p, CROSSING_SURE), likely = crossing_sign(p, CROSSING_LIKELY);
    if (sure) return sure;
    return fabs(p->y) > 2 * floor && likely == sign_beside(m, i) ? likely : 0;
}

static void judge_places(const crossing_merged *m, double floor, crossing_result *out)
{
    out->place_count = m->count;
    for (int i = 0; i < m->count; i++) {
        const crossing_point *p = &m->points[i];
        double half = CROSSING_LIKELY * p->error;
        int sign = judge_sign(m, i, floor);
        crossing_place *place = &out->places[i];
        *place = (crossing_place){.x = p->x,
                                  .ratio = {exp(p->y), exp(p->y - half), exp(p->y + half)},
                                  .runs = m->runs[i],
                                  .agreeing = m->agreeing[i]};
        place->verdict = sign < 0   ? STATS_FASTER
                         : sign > 0 ? STATS_SLOWER
                                    : crossing_no_sign(&place->ratio);
    }
}

/* Beside a crossing, but for its interval, a side wins by what all its neighbours say, so what
 * looks even there is not called so. */
static void doubt_places(crossing_result *out)
{
    for (int i = 0; i < out->place_count; i++) {
        crossing_place *p = &out->places[i];
        for (int c = 0; c < out->count; c++) {
            const crossing *at = &out->crossings[c];
            bool is_near = p->x > at->left && p->x < at->right;
            bool within = p->x >= at->low && p->x <= at->high;
            if (is_near && !within && p->verdict == STATS_SAME) p->verdict = STATS_UNSURE;
        }
    }
}

/* ---------------------------------------------------------------- all of them */

/* As far from even as a place may be that has no sign. */
static void add_stretch(crossing_result *out, const crossing_merged *m, int first, int last,
                        const crossing_options *options)
{
    crossing_stretch s = {options->from, options->to, INFINITY, -INFINITY};
    if (first > 0) s.from = m->points[first - 1].x;
    if (last < m->count - 1) s.to = m->points[last + 1].x;
    for (int i = first; i <= last; i++) {
        const crossing_point *p = &m->points[i];
        s.low = fmin(s.low, p->y - CROSSING_SURE * p->error);
        s.high = fmax(s.high, p->y + CROSSING_SURE * p->error);
    }
    out->undecided[out->undecided_count++] = s;
}

/* The points first … last lie between two sure ones of one sign, or before the first of all sure
 * ones, or behind the last. */
static void add_undecided(crossing_result *out, const crossing_merged *m, int first, int last,
                          const crossing_options *options)
{
    int open = -1;
    for (int i = first; i <= last; i++) {
        bool agrees = crossing_verdict_sign(out->places[i].verdict) != 0;
        if (!agrees && open < 0) open = i;
        if (agrees && open >= 0) {
            add_stretch(out, m, open, i - 1, options);
            open = -1;
        }
    }
    if (open >= 0) add_stretch(out, m, open, last, options);
}

static int find_changes(const crossing_merged *m, const crossing_options *options,
                        crossing_result *out, change changes[CROSSING_MAX])
{
    int count = 0, sure = -1, sign = 0;
    for (int i = 0; i < m->count; i++) {
        int here = crossing_sign(&m->points[i], CROSSING_SURE);
        if (!here) continue;
        if (sure < 0 || here == sign)
            add_undecided(out, m, sure + 1, i - 1, options);
        else
            changes[count++] = (change){.left = sure, .right = i, .below = sign};
        sure = i;
        sign = here;
    }
    add_undecided(out, m, sure + 1, m->count - 1, options);
    for (int c = 0; c < count; c++) {
        changes[c].first = c ? changes[c - 1].right : 0;
        changes[c].last = c + 1 < count ? changes[c + 1].left : m->count - 1;
    }
    return count;
}

void crossing_margin(crossing_result *out)
{
    out->least = INFINITY;
    for (int i = 0; i < out->place_count; i++) {
        const crossing_place *p = &out->places[i];
        int sign = crossing_verdict_sign(p->verdict);
        double margin = sign < 0 ? -log(p->ratio.high) : log(p->ratio.low);
        if (!sign) continue;
        out->sign = sign;
        if (margin >= out->least) continue;
        out->least = margin;
        out->at = p->x;
    }
    if (!out->sign) out->least = 0;
}

void crossing_analyze(const crossing_point *points, int count, const crossing_options *options,
                      crossing_result *out)
{
    crossing_merged m;
    change changes[CROSSING_MAX];
    *out = (crossing_result){0};
    crossing_merge(points, count, options, &m);
    judge_places(&m, options->floor, out);
    out->count = find_changes(&m, options, out, changes);
    for (int c = 0; c < out->count; c++) {
        out->crossings[c] = locate(&m, &changes[c]);
        double width = crossing_half_width(&out->crossings[c]);
        if (width > out->widest) out->widest = width;
    }
    doubt_places(out);
    if (!out->count) crossing_margin(out);
}

double crossing_half_width(const crossing *c)
{
    return sqrt(c->high / c->low) - 1;
}
