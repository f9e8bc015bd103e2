/* Attributes of activation and activation_backward, and the table of what they may be. */
#ifndef OPS_ELTWISE_ACTIVATION_H
#define OPS_ELTWISE_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "breakeven/graph.h"

typedef struct activation_attrs {
    be_activation kind;
} activation_attrs;

/* X(kind, name of its formulas in activation_list.gpu.c) for all but BE_IDENTITY, which is no op,
 * and BE_RELU, an op of its own: what flows back through it needs only its output. */
#define ACTIVATION_LIST(X)  \
    X(TANH, tanh)           \
    X(GELU, gelu)           \
    X(GELU_TANH, gelu_tanh) \
    X(GELU_QUICK, gelu_quick)

#define ACTIVATION_FLOPS 10.0 /* of one value by formula, about */

/* Does what flows back need x, and not the output alone? */
static inline bool activation_needs_x(be_activation kind)
{
    return kind != BE_IDENTITY && kind != BE_RELU;
}

/* f of each value, whatever the kind, in double: for the references of ops that end with one. */
void activation_apply(be_activation kind, double *values, int64_t count);

#endif
