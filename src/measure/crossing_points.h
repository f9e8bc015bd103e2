/* Inner part of the break-even search: measured points taken together by position. */
#ifndef MEASURE_CROSSING_POINTS_H
#define MEASURE_CROSSING_POINTS_H

#include "measure/crossing.h"

/* Standard errors from 0.  SURE makes a sign: over all the points of a search it is wrong about
 * once in a hundred.  LIKELY is enough between points of the same sure sign. */
#define CROSSING_SURE 3.0
#define CROSSING_LIKELY 1.96
#define CROSSING_WINDOWS 8 /* neighbours that are averaged at most */

typedef struct crossing_merged {
    crossing_point points[CROSSING_POINTS_MAX]; /* ascending; error includes the floor */
    int runs[CROSSING_POINTS_MAX];              /* at each of them */
    int agreeing[CROSSING_POINTS_MAX];          /* the most of these that agree with one */
    int count;
} crossing_merged;

/* Most of the runs of a point agree.  If not, its error covers all of them. */
bool crossing_is_settled(const crossing_merged *m, int i);

void crossing_merge(const crossing_point *points, int count, const crossing_options *options,
                    crossing_merged *out);

/* -1 or 1 where y lies more than that many standard errors from 0, else 0. */
int crossing_sign(const crossing_point *point, double errors);

/* Half of the interval as a share of its middle. */
double crossing_half_width(const crossing *c);

/* The least distance from even among the places that have a sign, which is the same for all. */
void crossing_margin(crossing_result *out);

/* -1 for FASTER, 1 for SLOWER, else 0. */
int crossing_verdict_sign(stats_verdict verdict);

/* What is said of a place without a sign. */
stats_verdict crossing_no_sign(const stats_interval *ratio);

#endif
