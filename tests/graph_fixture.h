/* What the tests of the passes share: parts for ops of their own, a graph to begin with, and
 * lowering.
 */
#ifndef TESTS_GRAPH_FIXTURE_H
#define TESTS_GRAPH_FIXTURE_H

#include "support.h"

#include "graph/passes.h"

/* Output 0 is like input 0, and there is no other. */
be_status same_infer(op_infer *call, be_error *err);
op_cost no_cost(const void *attrs, const be_shape *in, const be_shape *out);

/* A graph with the input x, f32 [4, 5]. */
be_graph *graph_of_rows(be_value *x);

/* A node with these inputs; its output 0. */
be_value add(be_graph *g, const be_op *op, be_value a, be_value b);

int count_op(const be_graph *g, const be_op *op);

/* Lowered for no device, or for `target`. */
be_graph *lower(const be_graph *g, const be_plan_options *options, const lower_target *target);

/* Every value that is read was made before, by the node that its producer says. */
void check_order(const be_graph *g);

#endif
