/* What the implementations of cast share. */
#ifndef OPS_ELTWISE_CAST_H
#define OPS_ELTWISE_CAST_H

#include "ops/op_list.h"

typedef struct cast_attrs {
    be_dtype to;
} cast_attrs;

#endif
