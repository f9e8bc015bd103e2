/* Attributes of layer_norm and layer_norm_backward. */
#ifndef OPS_NORM_LAYER_NORM_H
#define OPS_NORM_LAYER_NORM_H

#include "graph/graph.h"

/* Inputs and outputs of the two, by their places. */
enum { LAYER_NORM_X, LAYER_NORM_WEIGHT, LAYER_NORM_BIAS, LAYER_NORM_RESIDUAL };
enum { LAYER_NORM_Y, LAYER_NORM_SUM, LAYER_NORM_MEAN, LAYER_NORM_RSTD, LAYER_NORM_COPY };
enum {
    LAYER_NORM_BACK_X,
    LAYER_NORM_BACK_WEIGHT,
    LAYER_NORM_BACK_DY,
    LAYER_NORM_BACK_MEAN,
    LAYER_NORM_BACK_RSTD,
    LAYER_NORM_BACK_DSUM
};
enum {
    LAYER_NORM_BACK_DX,
    LAYER_NORM_BACK_DWEIGHT,
    LAYER_NORM_BACK_DBIAS,
    LAYER_NORM_BACK_COPY,
    LAYER_NORM_BACK_SUMS
};

typedef struct layer_norm_attrs {
    float epsilon;
} layer_norm_attrs;

typedef struct layer_norm_backward_attrs {
    int need_dx;
    int need_sums; /* of dx over the rows */
} layer_norm_backward_attrs;

/* The sums over the rows of a gradient, where layer_norm_backward makes it: on its way it makes
 * them too from now on.  They are the gradient of the bias of a layer whose result goes into a
 * layer norm.  *out is BE_NONE where another op makes it. */
be_status layer_norm_sums(be_graph *g, be_value gradient, be_value *out, be_error *err);

/* The last dimension, and all others as one. */
static inline int64_t layer_norm_width(const be_shape *x)
{
    return x->dim[x->rank - 1];
}

static inline int64_t layer_norm_rows(const be_shape *x)
{
    return shape_elements(x) / layer_norm_width(x);
}

#endif
