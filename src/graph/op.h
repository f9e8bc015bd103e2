/* What an op is: the interface that every operation implements once, whatever the device.
 *
 * The graph layer knows ops only through this struct; the ops themselves and their list are in
 * src/ops.  Attributes are a struct of the op's own, copied into the graph as bytes. */
#ifndef GRAPH_OP_H
#define GRAPH_OP_H

#include <stdbool.h>
#include <stddef.h>

#include "breakeven/plan.h"
#include "core/status.h"

#define OP_MAX_IN 8
#define OP_MAX_OUT 6

typedef struct graph_node graph_node;
struct be_op;

/* Shapes of the outputs from those of the inputs.  An absent input has rank −1; an output that this
 * use of the op does not have is to be given rank −1. */
typedef struct op_infer {
    const void *attrs;
    be_shape in[OP_MAX_IN];
    be_shape out[OP_MAX_OUT];
} op_infer;

/* Gradient of one node: adds nodes to `graph` and sets dx[i] for every input that has need[i].
 * dy[o] is BE_NONE if nothing flows back through output o.  `is_root`: the node makes the loss, and
 * the gradient of its output 0 is 1. */
typedef struct op_gradient {
    be_graph *graph;
    const graph_node *node;
    bool is_root;
    be_value dy[OP_MAX_OUT];
    bool need[OP_MAX_IN];
    /* The gradient of input i from the nodes that read it later, if nothing else needs that any
     * more: a node that reads it and gives dx[i] has added its own part to it, in place or not, and
     * no node for the sum is needed.  BE_NONE: there is none, or it may not be changed. */
    be_value sum[OP_MAX_IN];
    be_value dx[OP_MAX_IN];
} op_gradient;

/* The meaning of the op, in double, by plain loops.  x and y are in the plain layout; NULL where
 * the input or output is absent.  An output that updates an input in place has the same memory. */
typedef struct op_reference {
    const void *attrs;
    const be_shape *in, *out;
    double *const *x;
    double *const *y;
    int threads; /* of `blocked`, at least 1 */
} op_reference;

typedef struct op_cost {
    double flops; /* a multiplication and an addition are two */
    double bytes; /* the least: every input read once, every output written once */
} op_cost;

/* May the node become this op on the device? */
typedef bool op_has(const void *device, const be_graph *g, const graph_node *node,
                    const struct be_op *op);

/* One test case.  Floating-point inputs are drawn uniformly from [low, high), those whose index is
 * in `positive` from [0, high); integers from [0, below[i]). */
typedef struct op_case {
    const char *name;
    const void *attrs;
    be_shape in[OP_MAX_IN]; /* rank −1: absent */
    double low, high;
    int32_t below[OP_MAX_IN];
    unsigned positive; /* bit i: input i is not negative (second moments) */
    unsigned ignored;  /* bit i: the integers of input i start at −1 (rows without a target) */
    double tolerance;  /* of |y − reference|, relative to the largest |reference| of the output */
    bool is_nonlinear; /* as be_op's, of this case alone */
    bool in_every_precision; /* tests that try some of the cases alone in others than fp32 try it */
} op_case;

typedef struct be_op {
    const char *name; /* the id on disk and in output */
    size_t attrs_bytes;
    int inputs, outputs;
    unsigned optional; /* bit i: input i may be absent */
    /* 1 + the input that output o overwrites, where that input is given; 0: none. */
    int updates[OP_MAX_OUT];
    /* Bit i: where nothing reads input i afterwards, output o may lie in its memory.  So no element
     * of that input may be read again once output o has been written there, and those of other
     * operands lie elsewhere. */
    unsigned in_place[OP_MAX_OUT];
    /* Bit i: a part of the work that nothing waits for until the end of the backward pass reads
     * input i (the gradient of weights): a device whose launches overlap does that beside the nodes
     * behind this one, if the memory of the input is not given to them (memory_plan). */
    unsigned late;
    /* Bit o: output o is for the backward op alone, and no gradient flows back through it. */
    unsigned auxiliary;
    /* Bit i: input i lies in the memory of the host where the device has its own; bit o: so does
     * output o. */
    unsigned host_in, host_out;
    bool makes_loss; /* its gradient function knows that dy of a root is 1, and gets no dy there */
    /* 1 + the input in whose memory output 0 may lie, the same bytes under another shape; 0: none.
     */
    int view_of;
    /* What the op becomes when inferring: one with the same attributes, fewer inputs and outputs at
     * the end of each list, or op_passed_through.  NULL: it stays what it is. */
    const struct be_op *inferring;
    /* Tells the attributes which parts of the batch this graph computes: the batch is cut into
     * equal parts for the ranks of a group, and these into one for each turn of a step, in their
     * order; the op's clock counts turns then.  NULL: the op does the same for every part. */
    void (*set_part)(void *attrs, int rank, int turns);
    /* The same where the ranks have unequal parts, and there are no turns: `each` samples of its
     * own, with `before` others before them. */
    void (*set_cut)(void *attrs, int64_t before, int64_t each);
    /* Tells the attributes to take the statistics of the whole batch, of all ranks of the group;
     * NULL: the op has none. */
    void (*set_group)(void *attrs, be_group *group);
    /* It has no gradient by nature: it reads data, ends a step, is there when inferring alone, or
     * changes only how values lie. */
    bool is_outside_gradient;
    be_status (*infer)(op_infer *, be_error *);
    /* NULL: no gradient flows through, and a parameter that acts on the loss through this op is
     * refused. */
    be_status (*gradient)(op_gradient *, be_error *);
    void (*reference)(const op_reference *);
    /* The same with its products in blocks (graph/reference_product.h), for the interpreter where
     * they are large; the same bits on any number of threads.  NULL: the op has no products. */
    be_status (*blocked)(const op_reference *, be_error *);
    op_cost (*cost)(const void *attrs, const be_shape *in, const be_shape *out);
    /* Bit i: input i is an operand of a product.  With BE_PRECISION_BF16 all of them are bf16, made
     * by `cast` (its attributes: the be_dtype to make); outputs stay f32. */
    unsigned narrow;
    const struct be_op *cast;
    /* In bf16, at a node for which the device says so (lower_target.mixes), bit i: input i may be
     * bf16 in the place of f32; bit o: so may output o.  What an op makes becomes bf16 where all
     * that read it would round it anyway; the result of a product, and what an op makes that
     * `keeps_narrow` the type of what it reads, as autocast lets it, also where they take it so.
     * Input i of `narrow_along` becomes bf16 where an output does.  `infer` is told of f32. */
    unsigned narrow_in, narrow_out, narrow_along;
    bool keeps_narrow;
    /* 1 + the output that is output 0 rounded to bf16, on such a device in the place of a cast,
     * where others read output 0 as it is; 0: the op makes none.  Neither `infer` nor `reference`
     * knows it. */
    int narrow_copy;
    /* Its outputs are no plain sums of products of these operands: in every precision they are
     * judged by the tolerance of the case. */
    bool is_nonlinear;
    /* Fusion: may `node` (this op) take over `next`, the only user of its output 0?  `has` asks the
     * device whether the node may become another op there.  If so it changes its own op and
     * attributes and returns true. */
    bool (*absorb)(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                   const void *device);
    /* Bit i: in the place of these inputs there may be one value with them side by side in its last
     * dimension, which is then the first of them, and the others are absent. */
    unsigned side_by_side;
    /* Are several nodes of these attributes with the same input 0 one node that gives their results
     * side by side, if it is given their other inputs behind one another, joined along dimension 0?
     * NULL: no. */
    bool (*stacks)(const void *attrs);
    const op_case *cases;
    int case_count; /* with `narrow`, each is one in every precision */
    /* The inputs of which the finite-difference test may take derivatives (bit i). */
    unsigned differentiable;
} be_op;

/* Stands for no op: what would be input 0 takes the place of output 0. */
extern const be_op op_passed_through;

#endif
