/* The mean of what ranks have put down, added up in their order: every transport computes it here,
 * so that all come to the same bits. */
#ifndef GROUP_MEAN_H
#define GROUP_MEAN_H

#include "group/group.h"

/* A segment of a chunk.  Where the ranks are cut, each has its weight; else their sum is divided.
 */
typedef struct mean_segment {
    int size;
    const float *all[GROUP_MOST]; /* what each rank has put down */
    float weight[GROUP_MOST], factor;
    float *x, *result; /* where the mean goes: both, or one */
} mean_segment;

/* `all` and where it goes are the caller's to set. */
void mean_set_weights(const be_group *group, mean_segment *s);

/* Its floats from `at` to before `end`. */
void mean_add_up(const mean_segment *s, int64_t at, int64_t end);

#endif
