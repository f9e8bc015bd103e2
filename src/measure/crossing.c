/* The analysis of points and of lines. */
#include "measure/crossing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/rng.h"
#include "measure/crossing_points.h"
#include "measure/stats.h"

#define DRAWS 4000

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
    int most = 0, at = out->count++;
    for (int i = 0; i < count; i++) {
        int agreeing = 0;
        for (int k = 0; k < count; k++) agreeing += agree(&runs[i], &runs[k], floor);
        if (agreeing > most) center = &runs[i];
        if (agreeing > most) most = agreeing;
    }
    out->runs[at] = count;
    out->agreeing[at] = most;
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
    for (int i = 0, end; i < count && out->count < CROSSING_POINTS_MAX; i = end) {
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
    crossing found = {.low = m->points[low].x,
                      .high = m->points[high].x,
                      .below = c->below,
                      .left = m->points[c->left].x,
                      .right = m->points[c->right].x};
    found.x = exp(line_root(m, c));
    if (!(found.x > found.low && found.x < found.high)) found.x = sqrt(found.low * found.high);
    return found;
}

/* ---------------------------------------------------------------- all of them */

static void add_stretch(crossing_result *out, const crossing_merged *m, int first, int last,
                        const crossing_options *options)
{
    if (out->undecided_count == CROSSING_MAX) return;
    crossing_stretch s = {options->from, options->to, INFINITY, -INFINITY};
    if (first > 0) s.from = m->points[first - 1].x;
    if (last < m->count - 1) s.to = m->points[last + 1].x;
    for (int i = first; i <= last; i++) {
        const crossing_point *p = &m->points[i];
        s.low = fmin(s.low, p->y - CROSSING_LIKELY * p->error);
        s.high = fmax(s.high, p->y + CROSSING_LIKELY * p->error);
    }
    out->undecided[out->undecided_count++] = s;
}

/* The points first … last lie between two sure ones of one sign (or before the first of them, or
 * behind the last): those that likely have this sign too are believed. */
static void add_undecided(crossing_result *out, const crossing_merged *m, int first, int last,
                          int sign, const crossing_options *options)
{
    int open = -1;
    for (int i = first; i <= last; i++) {
        bool agrees = sign && crossing_sign(&m->points[i], CROSSING_LIKELY) == sign;
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
            add_undecided(out, m, sure + 1, i - 1, here, options);
        else if (count < CROSSING_MAX)
            changes[count++] = (change){.left = sure, .right = i, .below = sign};
        sure = i;
        sign = here;
    }
    add_undecided(out, m, sure + 1, m->count - 1, sign, options);
    for (int c = 0; c < count; c++) {
        changes[c].first = c ? changes[c - 1].right : 0;
        changes[c].last = c + 1 < count ? changes[c + 1].left : m->count - 1;
    }
    return count;
}

static void find_margin(const crossing_merged *m, crossing_result *out)
{
    out->least = INFINITY;
    for (int i = 0; i < m->count; i++) {
        const crossing_point *p = &m->points[i];
        int sign = crossing_sign(p, CROSSING_LIKELY);
        double margin = fabs(p->y) - CROSSING_LIKELY * p->error;
        if (crossing_sign(p, CROSSING_SURE)) out->sign = sign;
        if (!sign || margin >= out->least) continue;
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
    out->count = find_changes(&m, options, out, changes);
    for (int c = 0; c < out->count; c++) {
        out->crossings[c] = locate(&m, &changes[c]);
        double width = crossing_half_width(&out->crossings[c]);
        if (width > out->widest) out->widest = width;
    }
    if (!out->count) find_margin(&m, out);
}

double crossing_half_width(const crossing *c)
{
    return sqrt(c->high / c->low) - 1;
}

/* ---------------------------------------------------------------- lines */

static double draw(rng *r, double mean, double error)
{
    return mean + error * rng_next_normal(r);
}

static double total(const crossing_line *line, double x)
{
    return line->start + x * line->step;
}

typedef struct draws {
    double root[DRAWS];   /* in the range; its nearer end where there is none */
    double margin[DRAWS]; /* least |y| of both ends */
    int crossing, first_below, first, second;
} draws;

static void draw_lines(draws *d, const crossing_line *a, const crossing_line *b,
                       const crossing_options *options, uint64_t seed)
{
    rng r = {.key = {.seed = seed, .stream = RNG_BOOTSTRAP}};
    for (int i = 0; i < DRAWS; i++) {
        crossing_line p = {draw(&r, a->start, a->start_error), 0, draw(&r, a->step, a->step_error),
                           0};
        crossing_line q = {draw(&r, b->start, b->start_error), 0, draw(&r, b->step, b->step_error),
                           0};
        double low = total(&p, options->from) - total(&q, options->from);
        double high = total(&p, options->to) - total(&q, options->to);
        double low_y = log(total(&p, options->from) / total(&q, options->from));
        double high_y = log(total(&p, options->to) / total(&q, options->to));
        double root = (q.start - p.start) / (p.step - q.step);
        bool crosses = (low < 0) != (high < 0);
        d->crossing += crosses;
        d->first_below += crosses && low < 0;
        d->first += !crosses && low < 0;
        d->second += !crosses && low >= 0;
        d->root[i] = crosses ? root : fabs(low_y) < fabs(high_y) ? options->from : options->to;
        d->margin[i] = fmin(fabs(low_y), fabs(high_y));
    }
    qsort(d->root, DRAWS, sizeof *d->root, crossing_compare_real);
    qsort(d->margin, DRAWS, sizeof *d->margin, crossing_compare_real);
}

int crossing_compare_real(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void judge_draws(const draws *d, const crossing_line *a, const crossing_line *b,
                        const crossing_options *options, crossing_result *out)
{
    const double sure = 0.975 * DRAWS;
    double low = stats_quantile(d->root, DRAWS, 0.025);
    double high = stats_quantile(d->root, DRAWS, 0.975);
    double from_y = log(total(a, options->from) / total(b, options->from));
    double to_y = log(total(a, options->to) / total(b, options->to));
    if (d->crossing >= sure) {
        double root = (b->start - a->start) / (a->step - b->step);
        out->count = 1;
        out->crossings[0] = (crossing){.x = fmin(fmax(root, low), high),
                                       .low = low,
                                       .high = high,
                                       .below = 2 * d->first_below > d->crossing ? -1 : 1};
        out->widest = crossing_half_width(&out->crossings[0]);
    } else if (d->first >= sure || d->second >= sure) {
        out->sign = d->first >= sure ? -1 : 1;
        out->least = stats_quantile(d->margin, DRAWS, 0.025);
        out->at = fabs(from_y) < fabs(to_y) ? options->from : options->to;
    } else {
        out->undecided_count = 1;
        out->undecided[0] = (crossing_stretch){low, high, fmin(from_y, to_y), fmax(from_y, to_y)};
    }
}

be_status crossing_lines(const crossing_line *first, const crossing_line *second,
                         const crossing_options *options, uint64_t seed, crossing_result *out,
                         be_error *err)
{
    void *memory = NULL;
    *out = (crossing_result){0};
    TRY(memory_alloc(&memory, sizeof(draws), "bootstrap", err));
    draw_lines(memory, first, second, options, seed);
    judge_draws(memory, first, second, options, out);
    memory_free(memory);
    return BE_OK;
}
