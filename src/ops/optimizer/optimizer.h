/* What the optimizers share: their attributes, and the shapes of the blocks that they update. */
#ifndef OPS_OPTIMIZER_OPTIMIZER_H
#define OPS_OPTIMIZER_OPTIMIZER_H

#include "ops/op_util.h"

/* The weight decay acts on the first elements of the block alone.  This stands first in the
 * attributes of every optimizer. */
typedef struct sgd_attrs {
    int64_t decayed; /* elements */
    double momentum, weight_decay;
} sgd_attrs;

typedef struct adam_attrs {
    int64_t decayed; /* elements */
    double beta1, beta2, epsilon, weight_decay;
} adam_attrs;

/* The input that is the narrow block, if there is one, and the output that updates it; and the
 * input that is the factor of clipping. */
enum { OPTIMIZER_NARROW = 6, OPTIMIZER_FACTOR = 7, OPTIMIZER_NARROW_OUT = 3 };

/* Inputs: parameters f32 [P], gradients f32 [P], rate f32 [1], clock i32 [1], and `slots` f32 [P];
 * then the narrow block bf16 [P], which only gets the new parameters, and a factor f32 [1], by
 * which the gradients are multiplied first (clip_gradients.c).
 * Outputs: parameters and slots, updated in place; `name` is the op's. */
be_status optimizer_infer(op_infer *call, int slots, const char *name, be_error *err);

/* Each block read and written once; the narrow one is only written. */
double optimizer_bytes(const be_shape *in, const be_shape *out);

#endif
