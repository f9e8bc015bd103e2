/* breakeven as a library: build a graph, plan it for a device, run it.
 *
 * A network of one's own takes five steps; examples/spirals.c (layers and a classifier's loss) and
 * examples/twins.c (two inputs, shared weights, a loss from parts) are whole programs:
 *
 *   1. be_graph_new; be_input for each tensor that a step reads; layers (be_linear, be_conv2d, …),
 * or be_parameter_add and operations (be_matmul, be_add, be_activate, …).  No call needs a check:
 *      the first mistake is kept, and be_graph_check or be_plan_new gives it.
 *   2. A loss f32 [1], by be_softmax_cross_entropy or from operations that end with be_mean or
 *      be_sum_to, and be_graph_minimize.
 *   3. be_device_open, and be_plan_new with BE_TRAIN; name in `keep` what shall be read besides
 *      inputs and parameters.
 *   4. In a loop: be_plan_write the inputs, be_plan_run a step, be_plan_losses.
 *   5. For use: be_plan_new with BE_INFER and `share`, be_plan_write, be_plan_run, be_plan_read.
 *
 * Every be_status but BE_OK comes with a sentence in the be_error. */
#ifndef BREAKEVEN_BREAKEVEN_H
#define BREAKEVEN_BREAKEVEN_H

#include "breakeven/graph.h"
#include "breakeven/plan.h"
#include "breakeven/status.h"

#endif
