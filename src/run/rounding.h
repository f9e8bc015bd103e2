/* What the rounding of a precision alone does to a training: the distance of a reference that
 * rounds as the precision does (graph/precision.h) from the one in double, tensor by tensor.  A
 * right engine is about as far off, whatever it is made of, and a network's own depth, ReLUs and
 * symmetries are in it.  In fp32 what products give is rounded as sums of that type are.
 *
 * One rounding is one draw: a gradient of few elements may come out near the truth by luck.  So it
 * is drawn ROUNDING_DRAWS times, on other grids, and the largest counts. */
#ifndef RUN_ROUNDING_H
#define RUN_ROUNDING_H

#include "protocol/trace.h"

#define ROUNDING_DRAWS 2

/* The two numbers that the result has in the place of each tensor of `right`: the largest error
 * (trace_error) and the largest distance (trace_distance) of the draws. */
enum { ROUNDING_ERROR, ROUNDING_DISTANCE, ROUNDING_NUMBERS };

/* `options` as for `right`, with the precision.  Free with trace_free. */
BE_CHECKED be_status rounding_measure(trace *out, const trace_options *options, const trace *right,
                                      be_error *err);

#endif
