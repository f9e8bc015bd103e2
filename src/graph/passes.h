/* The passes between a user's graph and one that a device can run, and what they leave behind.
 * No pass knows a device: it asks through a function that the caller gives. */
#ifndef GRAPH_PASSES_H
#define GRAPH_PASSES_H

#include "breakeven/plan.h"
#include "graph/graph.h"

/* What a pass may ask of the device. */
typedef struct lower_target {
    const void *device;
    /* Can it run this op at all, and is it worth more than the node and its user apart?  NULL: no
     * fusion. */
    op_has *has;
    const void *has_of;
    /* The layouts in which the node wants its inputs and gives its outputs; all PLAIN on entry.
     * NULL: everything is plain. */
    void (*layouts)(const void *device, const be_graph *g, const graph_node *node,
                    value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT]);
    const be_op *reorder; /* the op that changes a layout; needed with `layouts` */
    bool is_apart;        /* its memory is not that of the host */
    /* With BE_PRECISION_BF16: may this node read and write bf16, as far as its op knows both types
     * (be_op.narrow_in, narrow_out)?  NULL: none may. */
    bool (*mixes)(const void *device, const be_graph *g, const graph_node *node);
    /* With BE_PRECISION_BF16: does this node round the operands of its products itself, as it reads
     * them, so that no copies are made for it?  NULL: none does. */
    bool (*rounds)(const void *device, const be_graph *g, const graph_node *node);
} lower_target;

/* Copy the graph and make it ready: dropout removed when inferring, fusion, parameter block,
 * gradients and optimizer when training, narrow operands, the step's end, layouts. */
be_status graph_lower(const be_graph *g, const be_plan_options *options, const lower_target *target,
                      be_graph **out, be_error *err);

/* The single passes, in the order in which graph_lower calls them. */
be_status pass_inference(be_graph *g, be_error *err);
be_status pass_fusion(be_graph *g, const lower_target *target, be_error *err);
be_status pass_join(be_graph *g, bool fuses, be_error *err); /* else: places alone */
be_status pass_host(be_graph *g, be_error *err); /* where the device's memory is not the host's */
be_status pass_parameters(be_graph *g, be_error *err);
be_status pass_gradient(be_graph *g, const be_plan_options *options, be_error *err);
be_status pass_precision(be_graph *g, be_precision precision, const lower_target *target,
                         be_error *err);
be_status pass_layout(be_graph *g, const lower_target *target, be_error *err);

/* Called by pass_precision in bf16: the optimizer writes the narrow copies that `cast` makes. */
be_status pass_narrow(be_graph *g, const be_op *cast, be_error *err);

/* Called by pass_gradient, once the gradients lie in their block.  pass_parts: the graph computes
 * its rank's part of each batch, in lowered.turns turns.  pass_group: the gradients become their
 * mean over the group of the options, if there is one. */
be_status pass_parts(be_graph *g, be_group *group, be_error *err);
be_status pass_group(be_graph *g, const be_plan_options *options, be_error *err);

void pass_views(be_graph *g); /* nothing is left to do for most of them */

/* Where a value lies.  Values of one region at overlapping places are never alive together. */
typedef enum memory_region {
    REGION_NONE,
    REGION_INPUT,
    REGION_PERSISTENT,
    REGION_ACTIVATION,
    REGION_HOST /* in memory of the host; kept as what persists is */
} memory_region;

typedef struct memory_place {
    memory_region region;
    size_t offset, bytes;
    int first, last; /* nodes, inclusive; of the memory, not only of this value */
} memory_place;

typedef struct memory_map {
    memory_place *places; /* one per value */
    size_t persistent_bytes, activation_bytes, activation_sum_bytes, host_bytes;
} memory_map;

/* Lay out all values; those that may overwrite others lie in them (alias_of) afterwards.  `places`
 * comes from the graph's arena.
 *
 * Memory that is used again is an order: who used it first must end first.  Where nodes run beside
 * one another, `late_nodes` is not 0: then memory is only given on to nodes that come after its
 * users anyway, and what a node reads late (be_op.late) keeps its own for so many nodes more. */
be_status memory_plan(be_graph *g, int late_nodes, memory_map *out, be_error *err);

#endif
