/* Element types: their sizes, and their numbers as doubles.  May not know graphs. */
#ifndef GRAPH_DTYPE_H
#define GRAPH_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "breakeven/graph.h"

size_t dtype_bytes(be_dtype dtype);
const char *dtype_name(be_dtype dtype); /* "f32" */

/* Holds real numbers: a gradient can flow through it, and a NaN can be in it. */
bool dtype_is_real(be_dtype dtype);

/* `count` elements as doubles, exactly; and back, rounded to the nearest, ties to even (whole
 * numbers: towards zero). */
void dtype_to_doubles(be_dtype dtype, const void *data, int64_t count, double *out);
void dtype_from_doubles(be_dtype dtype, const double *values, int64_t count, void *out);

/* What the types of 16 bits keep of doubles; of others nothing changes, f32 included: the reference
 * computes in double. */
void dtype_round(be_dtype dtype, double *values, int64_t count);

/* Whether every element is a finite number; else *at and *value are of the first that is not. */
bool dtype_all_finite(be_dtype dtype, const void *data, size_t count, size_t *at, double *value);

#endif
