/* What a sweep can go over: the one table of axes.
 *
 * A new axis is one line of the list and, where it changes what is measured, a function that puts
 * its value into a point.  Measures nothing. */
#ifndef STUDY_AXIS_H
#define STUDY_AXIS_H

#include "study/measurement.h"
#include "workloads/workload.h"

/* id, name, what it is called in sentences, least, most, what it changes in a measured
 * point, which dimension of the workload (WORKLOAD_DIMENSIONS: none), which workloads have it. Each
 * dimension of a variant is an axis. */
#define AXIS_LIST(X)                                                                 \
    X(BATCH, "batch", "batch", 1, 1e9, set_batch, WORKLOAD_DIMENSIONS, always)       \
    X(STEPS, "steps", "number of steps", 1, 1e12, NULL, WORKLOAD_DIMENSIONS, always) \
    WORKLOAD_VARIANT_LIST(AXIS_OF_DIMENSION)

/* Expands where X is the macro that AXIS_LIST was given. */
#define AXIS_OF_DIMENSION(id, member, before, after, most, noun, ...) \
    X(id, #member, noun, 1, most, NULL, WORKLOAD_##id, NULL)

typedef enum axis_id {
#define X(id, ...) AXIS_##id,
    AXIS_LIST(X)
#undef X
        AXIS_COUNT
} axis_id;

typedef struct axis {
    const char *name, *noun;
    double least, most; /* of any workload: see axis_most */
    /* Neither: no point is measured for its values, they follow from others (steps: from start-up
     * and step). */
    void (*set)(measurement_point *point, int64_t value);
    workload_dimension dimension;   /* a new value of it needs another measurement_begin */
    bool (*has)(const workload *w); /* NULL: it has where it has the dimension */
} axis;

extern const axis axis_table[AXIS_COUNT];

typedef struct axis_range {
    const axis *axis;
    int64_t from, to;
} axis_range;

bool axis_is_measured(const axis *a);
bool axis_varies(const axis *a); /* the workload */
double axis_most(const axis *a, const workload *w);
bool axis_is_of(const axis *a, const workload *w);

#endif
