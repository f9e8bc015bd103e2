/* Attributes of softmax and softmax_backward, and the rows that both go by. */
#ifndef OPS_SOFTMAX_SOFTMAX_H
#define OPS_SOFTMAX_SOFTMAX_H

#include "graph/graph.h"

typedef struct softmax_attrs {
    float scale;
} softmax_attrs;

/* The last dimension, and all others as one. */
static inline int64_t softmax_width(const be_shape *x)
{
    return x->dim[x->rank - 1];
}

static inline int64_t softmax_rows(const be_shape *x)
{
    return shape_elements(x) / softmax_width(x);
}

#endif
