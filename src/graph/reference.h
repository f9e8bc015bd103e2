/* The meaning of a graph, in double: it is lowered without a device, without fusion and in plain
 * layouts, and the ops' references are run one after the other.  Plans are compared with it.
 *
 * It does what a plan does, step for step, and numbers its values alike; but every value stays
 * readable, and every element takes 8 bytes, images included: give it few of them.  Large
 * products run in blocks on all cores (graph/reference_product.h); the bits do not depend on how
 * many there are. */
#ifndef GRAPH_REFERENCE_H
#define GRAPH_REFERENCE_H

#include "breakeven/plan.h"
#include "graph/graph.h"

typedef struct reference reference;

/* The graph is copied; parameters and states get the start that a plan gives them.  `options` as
 * for be_plan_new; `share` and `dry_run` must be 0, `keep` and `no_fusion` change nothing. */
BE_CHECKED be_status reference_new(const be_graph *g, const be_plan_options *options,
                                   reference **out, be_error *err);
void reference_free(reference *r);

/* A whole tensor from or to memory of the value's own type, as be_plan_write and be_plan_read. */
BE_CHECKED be_status reference_write(reference *r, be_value value, const void *data, size_t bytes,
                                     be_error *err);
BE_CHECKED be_status reference_read(const reference *r, be_value value, void *data, size_t bytes,
                                    be_error *err);

/* The elements themselves, shape_elements of them; NULL for a value that does not exist here.  They
 * may be changed in place, inputs once reference_write has written them. */
double *reference_data(const reference *r, be_value value);

/* Round to another grid: what is rounded to a narrow type, or as tf32 rounds it, is multiplied by
 * `grid` (1 to 2) before and divided behind.  The numbers that are kept are others, as many and as
 * near; so each grid shows another draw of what rounding does to a training. */
void reference_set_grid(reference *r, double grid);

/* From here on what products give is rounded too: with BE_PRECISION_BF16 to bf16, as PyTorch's
 * autocast has it (results, and gradients of operands and weights, but not what is added up in
 * f32); in fp32 as sums are (precision_round_sums). */
void reference_round_results(reference *r);

/* Do `steps` steps; refuses if an input was never written. */
BE_CHECKED be_status reference_run(reference *r, int64_t steps, be_error *err);

/* The operations of one step: those done by plain loops, and those of products in blocks. */
typedef struct reference_work {
    double plain_flops, blocked_flops;
} reference_work;

reference_work reference_work_of(const reference *r);

/* As the functions of the same name for plans. */
BE_CHECKED be_status reference_losses(const reference *r, int64_t count, double *losses,
                                      int32_t *correct, be_error *err);
BE_CHECKED be_status reference_set_learning_rate(reference *r, double rate, be_error *err);
BE_CHECKED be_status reference_steps(const reference *r, int64_t *steps, be_error *err);
BE_CHECKED be_status reference_set_steps(reference *r, int64_t steps, be_error *err);
int reference_parameter_count(const reference *r);
be_parameter reference_parameter(const reference *r, int index);
int reference_buffer_count(const reference *r);
be_parameter reference_buffer(const reference *r, int index);
int reference_slot_count(const reference *r);
be_parameter reference_slot(const reference *r, int index);

#endif
