/* What take_turn is told. */
#ifndef OPS_OPTIMIZER_TAKE_TURN_H
#define OPS_OPTIMIZER_TAKE_TURN_H

#include "ops/op_util.h"

typedef struct take_turn_attrs {
    int32_t turns; /* of a step, at least 1 */
} take_turn_attrs;

/* The inputs; all but LOSS and CORRECT are outputs too, in their order, updated in place. */
enum {
    TURN_GRADIENTS,
    TURN_SUMS,
    TURN_CLOCK,
    TURN_MEAN_LOSS,
    TURN_ALL_CORRECT,
    TURN_LOSS,
    TURN_CORRECT,
    TURN_INPUTS
};

#endif
