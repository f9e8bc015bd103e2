/* Attributes of batch norm, for its definition and implementations. */
#ifndef OPS_NORM_BATCH_NORM_H
#define OPS_NORM_BATCH_NORM_H

#include "breakeven/group.h"
#include "ops/eltwise/activation.h"
#include "ops/op_list.h"

typedef struct batch_norm_attrs {
    double epsilon, momentum;
    be_activation activation; /* behind the sum with the residual */
    int keep_z;               /* output 5 is what it was given, for what flows back through it */
    /* The statistics are those of all ranks' parts of the batch; the group NULL: of one rank. */
    bool synced;
    be_group *group;
} batch_norm_attrs;

typedef struct batch_norm_backward_attrs {
    bool need_dx, need_dresidual;
    bool synced; /* as above: dx goes back through the statistics of all; dweight, dbias are own */
    be_group *group;
} batch_norm_backward_attrs;

/* x [N, C, …] as images of channels of pixels. */
typedef struct batch_norm_sizes {
    int64_t images, channels, pixels;
    double count; /* values of a channel */
} batch_norm_sizes;

static inline batch_norm_sizes batch_norm_size(const be_shape *x)
{
    batch_norm_sizes s = {.images = x->dim[0], .channels = x->dim[1], .pixels = 1};
    for (int d = 2; d < x->rank; d++) s.pixels *= x->dim[d];
    s.count = (double)(s.images * s.pixels);
    return s;
}

#endif
