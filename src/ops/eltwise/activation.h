/* Attributes of activation and activation_backward, and the table of what they may be. */
#ifndef OPS_ELTWISE_ACTIVATION_H
#define OPS_ELTWISE_ACTIVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/op.h"

typedef struct activation_attrs {
    be_activation kind;
    int has_sums; /* activation_backward: dx has a second output, the sums of its columns */
} activation_attrs;

/* X(kind, name of its formulas in activation_list.gpu.c) for all but BE_IDENTITY, which is no op,
 * and BE_RELU, an op of its own: what flows back through it needs only its output. */
#define ACTIVATION_LIST(X)  \
    X(TANH, tanh)           \
    X(GELU, gelu)           \
    X(GELU_TANH, gelu_tanh) \
    X(GELU_QUICK, gelu_quick)

/* Does what flows back need x, and not the output alone? */
static inline bool activation_needs_x(be_activation kind)
{
    return kind != BE_IDENTITY && kind != BE_RELU;
}

/* Operations of one value, about. */
static inline double activation_flops(be_activation kind)
{
    return kind == BE_IDENTITY ? 0.0 : kind == BE_RELU ? 1.0 : 10.0;
}

/* The activation that a node is, BE_IDENTITY if it is another op. */
be_activation activation_of(const graph_node *node);

/* For the absorb of every op that ends with an activation: if it has none yet and `next` is one,
 * it takes it. */
bool activation_absorb(be_activation *own, const graph_node *next);

/* For the gradient function of such an op, where f is a formula: dz of its dy.  From now on the
 * node gives z, what f was given, as output `z`: *keep_z is the attribute that says so.  With
 * has_sums made[1] is the sums of dz's columns, the gradient of a bias as long as a row. */
be_status activation_fused_gradient(op_gradient *call, const activation_attrs *attrs, int *keep_z,
                                    int z, be_value made[2], be_error *err);

/* The end of the references of ops that end with an activation: y, which holds z, becomes f(z),
 * whatever the kind; z, which may be NULL, gets what y held. */
void activation_finish(be_activation kind, double *y, double *z, int64_t count);

#endif
