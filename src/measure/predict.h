/* The time of a step, predicted from limits of the device and from what ops of the same kind
 * attained on other shapes.
 *
 * The floor of an op is the largest of its launches, its arithmetic at the peak and its memory
 * traffic at full bandwidth.  How far above its floor an op stays depends on its kind and on its
 * sizes; that factor is interpolated in the logarithms of the sizes between calibration points of
 * the same kind, which never have the shapes of the workload (Gaussian process regression:
 * Rasmussen and Williams 2006, chapters 2 and 5.4.2).  Pure numbers: owns nothing, measures
 * nothing. */
#ifndef MEASURE_PREDICT_H
#define MEASURE_PREDICT_H

#include <stdbool.h>

#include "measure/limits.h"

#define PREDICT_POINTS_MAX 1024

/* An op at work.  Ops with weights have all sizes, the others only `elements`; 1 elsewhere. */
typedef struct predict_op {
    char op[40], implementation[48]; /* its kind; only points of the same kind are compared */
    double out, in;                  /* channels or features of its weights */
    double kernel;                   /* elements of a window: 9 for 3×3 */
    double pixels;                   /* results of an image: H × W */
    double batch;
    double passes;   /* products: 1 forward, 2 where both gradients are computed */
    double elements; /* of its largest tensor */
    double flops, bytes;
    int launches;
    double seconds; /* a calibration point: measured */
} predict_op;

typedef enum predict_bound { PREDICT_LAUNCH, PREDICT_ARITHMETIC, PREDICT_MEMORY } predict_bound;

/* "launch", "arithmetic", "memory" */
const char *predict_bound_name(predict_bound bound);

typedef struct predict_machine {
    const limits *limits;
    double cache_bytes; /* last-level cache: what fits there moves at its bandwidth; NAN unknown */
    double peak_flops_per_s; /* of products in the job's precision; NAN unknown */
} predict_machine;

#define PREDICT_LEAST_S 1e-9 /* of an op of which nothing else is known */

/* The least time of an op on the machine and what sets it.  A limit that is not known binds
 * nothing. */
double predict_floor(const predict_machine *machine, const predict_op *op, predict_bound *bound);

typedef struct predict_estimate {
    double seconds, floor_s;
    predict_bound bound;
    int points; /* of its kind that it was interpolated from; 0: of all kinds together */
} predict_estimate;

/* `seconds` is NAN where there are no points at all. */
BE_CHECKED be_status predict_seconds(const predict_machine *machine, const predict_op *points,
                                     int count, const predict_op *op, predict_estimate *out,
                                     be_error *err);

/* Leave-one-out: each point predicted from the others of its kind.  *out is what the error stays
 * within for half of the time that all points take, relative; NAN with under 2 points of any
 * kind. */
BE_CHECKED be_status predict_left_out(const predict_machine *machine, const predict_op *points,
                                      int count, double *out, be_error *err);

/* One copy of that many bytes to or from the device, between the sizes that were measured; 0 where
 * host and device share memory. */
double predict_transfer(const limits *l, double bytes, bool down);

#endif
