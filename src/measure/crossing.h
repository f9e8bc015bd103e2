/* Break-even points: where the log of the ratio of two times changes its sign along an axis.
 *
 * The search is a function of what was measured so far: crossing_next names the next place to
 * measure, crossing_analyze says what the points show.  Whoever measures owns the points and may
 * stop, or go on from saved ones, at any time.  Positions are compared by their logarithms.
 *
 * A point's sign is sure where it lies three standard errors from 0.  Between two sure points of
 * opposite signs there is a crossing.  Its interval assumes nothing of the curve but that sign, so
 * it holds at kinks and at jumps: a place is refused if the points just below it, or just above it,
 * averaged over one, two, … neighbours, contradict the sign that they would need to have.  The
 * limit is Sidak's for that many averages, for either side at 97.5 %: these averages are
 * correlated, hence (Slepian) the interval keeps at least 95 %.
 *
 * A place is judged once, and all that is said follows from these judgements: FASTER and SLOWER are
 * its sure sign, or its likely sign (1.96 standard errors) where the sure points beside it have the
 * same one; so no sentence made of the result contradicts a place.
 *
 * What disturbs a whole run shows in nothing but another run.  So the points that decide are
 * measured twice, the second time after others.  Runs at one place whose 95 % intervals do not
 * meet call for more of them: those that agree stand for the point if they are most of its runs,
 * and else its error covers them all.
 *
 * Numbers in, numbers out: reads no clock, prints nothing, measures nothing. */
#ifndef MEASURE_CROSSING_H
#define MEASURE_CROSSING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "measure/stats.h"

#define CROSSING_RUNS_MAX 128                 /* repeated ones counted */
#define CROSSING_POINTS_MAX CROSSING_RUNS_MAX /* different positions */
#define CROSSING_MAX CROSSING_POINTS_MAX      /* of crossings, and of undecided stretches */

typedef struct crossing_point {
    double x;     /* above 0 */
    double y;     /* log(time of the first / time of the second): the first is faster below 0 */
    double error; /* standard error of y */
} crossing_point;

typedef struct crossing_options {
    double from, to; /* the range, 0 < from < to */
    bool integer;    /* positions are whole numbers */
    int limit;       /* points at most, repeated ones counted; 0: CROSSING_POINTS_MAX */
    double target;   /* wished half width of an interval, as a share of the position */
    double floor;    /* standard error of y that repeating a run's blocks does not remove */
} crossing_options;

typedef struct crossing {
    double x, low, high; /* the estimate and its 95 % interval */
    int below;           /* sign of y below it: -1 the first is faster there, 1 the second */
    double left, right;  /* the sure points beside it */
} crossing;

/* Where no sign is sure, and how far from even it may be there: bounds of y. */
typedef struct crossing_stretch {
    double from, to, low, high;
} crossing_stretch;

/* What is said of one position: all its runs together. */
typedef struct crossing_place {
    double x;
    stats_interval ratio; /* time of the first / time of the second, 95 % */
    stats_verdict verdict;
    int runs, agreeing; /* at it; 0 where it was computed */
} crossing_place;

typedef struct crossing_result {
    crossing_place places[CROSSING_POINTS_MAX]; /* ascending */
    int place_count;
    crossing crossings[CROSSING_MAX];
    int count;
    crossing_stretch undecided[CROSSING_MAX];
    int undecided_count;
    int sign;         /* without a crossing: that of y where it is sure; 0: nowhere sure */
    double least, at; /* without a crossing: least distance of y from 0 at a place that is judged
                       * FASTER or SLOWER, by its interval, and where */
    double widest;    /* half width of the widest interval, as a share; 0 without one */
} crossing_result;

/* What `count` points, in the order in which they were measured, show. */
void crossing_analyze(const crossing_point *points, int count, const crossing_options *options,
                      crossing_result *out);

/* The next place to measure: a coarse grid, the farthest from all others first; then a lone point,
 * or one whose runs do not agree, again; then what may hide a change (dips towards 0, points
 * without a sure sign); then the inside of the widest interval, or one of its points again; then
 * the points that decide, a second time, for which the last of the runs are kept.  False when
 * nothing is left to gain. */
bool crossing_next(const crossing_point *points, int count, const crossing_options *options,
                   double *x);

/* The coarse grid: places in ascending order, at most CROSSING_POINTS_MAX. */
int crossing_grid(const crossing_options *options, double out[CROSSING_POINTS_MAX]);

/* A total that grows evenly: start + x × step, with the standard errors of both. */
typedef struct crossing_line {
    double start, start_error;
    double step, step_error;
} crossing_line;

/* Where two such totals cross: the parametric bootstrap over both lines' errors.  The places are
 * those of the coarse grid. */
BE_CHECKED be_status crossing_lines(const crossing_line *first, const crossing_line *second,
                                    const crossing_options *options, uint64_t seed,
                                    crossing_result *out, be_error *err);

#endif
