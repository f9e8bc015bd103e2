/* What clip_gradients is told. */
#ifndef OPS_OPTIMIZER_CLIP_GRADIENTS_H
#define OPS_OPTIMIZER_CLIP_GRADIENTS_H

#include "ops/op_util.h"

typedef struct clip_attrs {
    double limit; /* the longest that the gradients may be, above 0 */
} clip_attrs;

#endif
