/* Attributes of the ops that choose, join and average rows, and which of them take part. */
#ifndef OPS_ROWS_ROWS_H
#define OPS_ROWS_ROWS_H

#include "graph/graph.h"

typedef struct slice_attrs {
    int64_t first, count; /* of the first dimension */
} slice_attrs;

typedef struct slice_backward_attrs {
    int64_t first, rows; /* rows: the first dimension of x */
} slice_backward_attrs;

typedef struct concat_backward_attrs {
    be_shape shape[2]; /* of a and b */
    int need[2];
} concat_backward_attrs;

typedef struct gather_rows_attrs {
    int64_t position; /* of every row, where there is no index */
} gather_rows_attrs;

typedef struct gather_rows_backward_attrs {
    int64_t position, length; /* length: the second dimension of x */
} gather_rows_backward_attrs;

typedef struct find_token_attrs {
    int32_t token;
} find_token_attrs;

typedef struct mean_tokens_backward_attrs {
    int64_t length; /* the second dimension of x */
} mean_tokens_backward_attrs;

/* gather_rows: no row is wanted, and y is zero. */
#define GATHER_ROWS_NONE (-1)

/* For the CPU's mean_tokens: how many tokens of a sample of `length` are added, and times what.  A
 * length that none can have makes NaN of all. */
static inline int64_t mean_tokens_count(int64_t own, int64_t length)
{
    return own >= 0 && own <= length ? own : length;
}

static inline double mean_tokens_scale(int64_t own, int64_t length)
{
    if (own == 0) return 0.0;
    return own > 0 && own <= length ? 1.0 / (double)own : (double)__builtin_nan("");
}

#endif
