/* What all_reduce is told. */
#ifndef OPS_OPTIMIZER_ALL_REDUCE_H
#define OPS_OPTIMIZER_ALL_REDUCE_H

#include "ops/op_util.h"

typedef struct all_reduce_attrs {
    be_group *group; /* NULL: of one, whose own the mean is */
} all_reduce_attrs;

#endif
