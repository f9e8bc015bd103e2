/* What all_gather and its backward op are told. */
#ifndef OPS_ROWS_ALL_GATHER_H
#define OPS_ROWS_ALL_GATHER_H

#include "ops/op_util.h"

typedef struct all_gather_attrs {
    be_group *group; /* NULL: of one, whose own rows all are */
} all_gather_attrs;

typedef struct all_gather_backward_attrs {
    int64_t first, count; /* this rank's rows */
    float ranks;
} all_gather_backward_attrs;

#endif
