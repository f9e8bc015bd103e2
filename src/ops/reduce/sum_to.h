/* Attributes of sum_to and expand, and the way to add a sum_to. */
#ifndef OPS_REDUCE_SUM_TO_H
#define OPS_REDUCE_SUM_TO_H

#include "graph/graph.h"

typedef struct sum_to_attrs {
    be_shape shape; /* of y */
    float scale;
} sum_to_attrs;

be_status sum_to_add(be_graph *g, be_value x, const sum_to_attrs *attrs, be_value *y,
                     be_error *err);

#endif
