/* Where two totals cross that grow evenly: the parametric bootstrap. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/rng.h"
#include "measure/crossing.h"
#include "measure/crossing_points.h"

#define DRAWS 4000
#define SURE_DRAWS 3900 /* 97.5 % of them */

typedef struct draws {
    crossing_line first[DRAWS], second[DRAWS]; /* without errors */
    double root[DRAWS];  /* in the range; its nearer end where there is none */
    double y[DRAWS];     /* at the place at hand, ascending */
    int falling, rising; /* that cross: the first is faster below the crossing, or above it */
    int none[2];         /* that do not: the first is faster, or the second */
} draws;

static double total(const crossing_line *line, double x)
{
    return fmax(line->start + x * line->step, DBL_MIN);
}

static double log_ratio(const crossing_line *first, const crossing_line *second, double x)
{
    return log(total(first, x) / total(second, x));
}

static crossing_line draw_line(rng *r, const crossing_line *line)
{
    double start = line->start + line->start_error * rng_next_normal(r);
    double step = line->step + line->step_error * rng_next_normal(r);
    return (crossing_line){.start = start, .step = step};
}

static int compare_real(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void draw_lines(draws *d, const crossing_line *a, const crossing_line *b,
                       const crossing_options *options, uint64_t seed)
{
    rng r = {.key = {.seed = seed, .stream = RNG_BOOTSTRAP}};
    for (int i = 0; i < DRAWS; i++) {
        crossing_line p = d->first[i] = draw_line(&r, a), q = d->second[i] = draw_line(&r, b);
        double low_y = log_ratio(&p, &q, options->from), high_y = log_ratio(&p, &q, options->to);
        double root = (q.start - p.start) / (p.step - q.step);
        bool crosses = (low_y < 0) != (high_y < 0);
        if (crosses)
            *(low_y < 0 ? &d->falling : &d->rising) += 1;
        else
            d->none[low_y >= 0]++;
        d->root[i] = crosses ? root : fabs(low_y) < fabs(high_y) ? options->from : options->to;
    }
    qsort(d->root, DRAWS, sizeof *d->root, compare_real);
}

/* The ratio at x.  Its bounds are draws, not between two, so that what 97.5 % of the draws say of
 * all the range they say of x as well. */
static stats_interval ratio_at(draws *d, const crossing_line *a, const crossing_line *b, double x)
{
    for (int i = 0; i < DRAWS; i++) d->y[i] = log_ratio(&d->first[i], &d->second[i], x);
    qsort(d->y, DRAWS, sizeof *d->y, compare_real);
    double low = d->y[DRAWS - SURE_DRAWS], high = d->y[SURE_DRAWS - 1];
    return (stats_interval){exp(fmin(fmax(log_ratio(a, b, x), low), high)), exp(low), exp(high)};
}

/* The sign that the result gives to x, 0 where it gives none. */
static int sign_at(const crossing_result *r, double x, const stats_interval *ratio)
{
    if (r->sign) return r->sign;
    if (r->undecided_count && (x < r->undecided[0].from || x > r->undecided[0].to))
        return ratio->high < 1 ? -1 : ratio->low > 1;
    for (int c = 0; c < r->count; c++) {
        if (x < r->crossings[c].low) return r->crossings[c].below;
        if (x > r->crossings[c].high) return -r->crossings[c].below;
    }
    return 0;
}

static void judge_places(draws *d, const crossing_line *a, const crossing_line *b,
                         const crossing_options *options, crossing_result *out)
{
    double grid[CROSSING_POINTS_MAX];
    out->place_count = crossing_grid(options, grid);
    for (int g = 0; g < out->place_count; g++) {
        crossing_place *place = &out->places[g];
        *place = (crossing_place){.x = grid[g], .ratio = ratio_at(d, a, b, grid[g])};
        int sign = sign_at(out, grid[g], &place->ratio);
        if (!sign)
            place->verdict = crossing_no_sign(&place->ratio);
        else if (sign < 0 && place->ratio.high < 1)
            place->verdict = STATS_FASTER;
        else if (sign > 0 && place->ratio.low > 1)
            place->verdict = STATS_SLOWER;
    }
}

/* Where it is not sure, they may also be even. */
static crossing_stretch stretch_of(draws *d, const crossing_line *a, const crossing_line *b,
                                   double from, double to)
{
    stats_interval left = ratio_at(d, a, b, from), right = ratio_at(d, a, b, to);
    return (crossing_stretch){from, to, log(fmin(fmin(left.low, right.low), 1)),
                              log(fmax(fmax(left.high, right.high), 1))};
}

static void judge_draws(draws *d, const crossing_line *a, const crossing_line *b,
                        const crossing_options *options, crossing_result *out)
{
    double low = stats_quantile(d->root, DRAWS, 0.025);
    double high = stats_quantile(d->root, DRAWS, 0.975);
    if (d->falling >= SURE_DRAWS || d->rising >= SURE_DRAWS) {
        double root = (b->start - a->start) / (a->step - b->step);
        out->count = 1;
        out->crossings[0] = (crossing){.x = fmin(fmax(root, low), high),
                                       .low = low,
                                       .high = high,
                                       .below = d->falling >= SURE_DRAWS ? -1 : 1};
        out->widest = crossing_half_width(&out->crossings[0]);
    } else if (d->none[0] >= SURE_DRAWS || d->none[1] >= SURE_DRAWS) {
        out->sign = d->none[0] >= SURE_DRAWS ? -1 : 1;
    } else {
        out->undecided_count = 1;
        out->undecided[0] = stretch_of(d, a, b, low, high);
    }
    judge_places(d, a, b, options, out);
    if (out->sign) crossing_margin(out);
}

be_status crossing_lines(const crossing_line *first, const crossing_line *second,
                         const crossing_options *options, uint64_t seed, crossing_result *out,
                         be_error *err)
{
    void *memory = NULL;
    *out = (crossing_result){0};
    TRY(memory_alloc(&memory, sizeof(draws), "bootstrap", err));
    draws *d = memory;
    d->falling = d->rising = d->none[0] = d->none[1] = 0;
    draw_lines(d, first, second, options, seed);
    judge_draws(d, first, second, options, out);
    memory_free(memory);
    return BE_OK;
}
