/* Attributes of activation and activation_backward, and the table of what they may be. */
#ifndef OPS_ELTWISE_ACTIVATION_H
#define OPS_ELTWISE_ACTIVATION_H

#include "breakeven/graph.h"

typedef struct activation_attrs {
    be_activation kind;
} activation_attrs;

/* X(kind, name of its formulas in activation_list.gpu.c) for all but BE_RELU, an op of its own that
 * other ops take over. */
#define ACTIVATION_LIST(X)  \
    X(TANH, tanh)           \
    X(GELU, gelu)           \
    X(GELU_TANH, gelu_tanh) \
    X(GELU_QUICK, gelu_quick)

#endif
