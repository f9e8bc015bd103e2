/* The graph's inside: values, nodes, and what the passes need.  Pure data, no device. */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include "breakeven/plan.h"
#include "core/memory.h"
#include "graph/dtype.h"
#include "graph/op.h"

typedef enum value_kind {
    VALUE_INPUT,     /* the user writes it */
    VALUE_PARAMETER, /* trained; lies in the parameter block */
    VALUE_JOINED,    /* several parameters that lie there behind one another, read as one */
    VALUE_BUFFER,    /* of the model, not trained; lies behind the parameters */
    VALUE_STATE,     /* lives from step to step (optimizer, clock, logs) */
    VALUE_RESULT,    /* a node makes it anew each step */
} value_kind;

/* How a tensor lies in memory.  Of four dimensions: BLOCKED: [N, ceil(C/b), H, W, b], b channels
 * side by side, the channels that do not exist are zero (in f32; in u8, which holds codes, they are
 * nothing).  CHANNELS_LAST: [N, H, W, C], all of them side by side.  Of any: ROWS_APART: the rows
 * of the last dimension begin at multiples of 64 elements, and what is between them is nothing. */
typedef enum value_layout {
    LAYOUT_PLAIN = 0,
    LAYOUT_CHANNELS_LAST = 1,
    LAYOUT_ROWS_APART = 2,
    LAYOUT_BLOCKED8 = 8,
    LAYOUT_BLOCKED16 = 16
} value_layout;

/* How many channels of a shape [N, C, H, W] lie side by side, where the layout is one of these. */
int64_t layout_block(value_layout layout, const be_shape *shape);
/* Elements from the beginning of a row of the last dimension to that of the next. */
int64_t layout_pitch(value_layout layout, const be_shape *shape);

typedef struct graph_value {
    const char *name; /* never NULL; "" for most results */
    be_shape shape;
    value_kind kind;
    value_layout layout;
    be_start start;     /* of parameters, buffers and states (all 0 for most states) */
    be_value alias_of;  /* lies in the memory of this value, or BE_NONE */
    size_t alias_bytes; /* … from this byte on */
    int producer;       /* node, or −1 */
    bool keep;          /* must stay readable after a step */
    bool on_host;       /* lies in memory of the host, apart from the device's (pass_host) */
    bool no_decay;      /* a parameter on which the optimizer's weight decay does not act */
    be_value behind;    /* of a parameter: 1 + the one that it lies behind; 0: behind any */
} graph_value;

struct graph_node {
    const be_op *op;
    void *attrs;
    be_value in[OP_MAX_IN], out[OP_MAX_OUT];
    unsigned narrow; /* bit o: output o is bf16 (be_op.narrow_out) */
};

/* What to do with a loss, filled by the ops layer, which alone knows these ops. */
typedef struct graph_recipe {
    be_value loss, correct; /* correct: BE_NONE if nothing is counted */
    be_value seeded, seed; /* the gradient of `seeded` is `seed`; BE_NONE: it comes from the loss */
    const char *counted;   /* what it is, in words */
    bool is_counted;       /* correct was named by be_graph_count */
    const be_op *copy;     /* a view, for a gradient that another value needs too */
    const be_op *accumulate; /* (a, b) -> a + b, for a value with several users */
    const be_op *advance;    /* (clock, loss, correct, loss log, correct log) -> updated in place */
    bool no_update;          /* gradients are computed, and there is no optimizer */
    const be_op *optimizer; /* (parameters, gradients, rate, clock, slots …) -> updated in place */
    void *optimizer_attrs;
    /* Tells the attributes how many elements of the parameters, from the first on, decay. */
    void (*set_decayed)(void *attrs, int64_t elements);
    /* Which input of the optimizer may be a block bf16 of all parameters, that it writes too. */
    int narrow_input;
    double learning_rate;
    const be_op
        *schedule; /* (clock, rates, rate) -> rate, updated in place; NULL: it is constant */
    be_schedule rates;
    /* (gradients) -> updated in place: their mean over the ranks of a group; its attributes: the
     * group. */
    const be_op *all_reduce;
    /* (gradients, sums, clock, mean loss, all correct, loss, correct) -> all but the last two
     * updated in place, at the end of each turn of a step that has several; its attributes: their
     * number, i32. */
    const be_op *take_turn;
    /* (gradients, clock, norm log, factor) -> the last two updated in place; NULL: none. */
    const be_op *clip;
    const void *clip_attrs;
    int clip_input; /* which input of the optimizer is the factor, by which it multiplies */
    int slots;
    const char *slot_name[2];
} graph_recipe;

/* What lowering adds; BE_NONE before, and where there is nothing of the kind. */
typedef struct graph_lowered {
    be_value weights; /* one block: the parameters, then the buffers; what plans share */
    be_value parameters, gradients; /* the blocks; that of the parameters lies in `weights` */
    int64_t decayed; /* the elements of `parameters` on which a weight decay acts, the first */
    be_value rate, rates, norm_log, loss_log, correct_log, slot[2];
    /* What the gradients are multiplied by before they are applied, f32 [1], or BE_NONE.  The block
     * has them as they were; who reads one is given the product (graph_clip_factor). */
    be_value clip_factor;
    be_value *gradient_of; /* a value for each parameter, by value; NULL before */
    be_value *slot_of[2];  /* its part of each slot, likewise; NULL where there is no such slot */
    be_group *group;       /* of whose ranks this graph is one; NULL: none */
    be_value narrow; /* the parameters as bf16, or BE_NONE: as the optimizer last wrote them */
    /* The nodes before this one are computed once at the begin of each run, and in no step. */
    size_t begin;
    /* How often a step computes the nodes from there up to and with `take_turn`, each time on the
     * next part of its batch, before it computes the others once. */
    int turns;
    be_value turn;                    /* turns done; BE_NONE where a step has one */
    be_value turn_loss, turn_correct; /* of all turns of the step, after the last one */
} graph_lowered;

struct be_graph {
    arena *memory;
    uint64_t seed;
    be_error error; /* the first mistake; status BE_OK if none */
    graph_value *values;
    size_t value_count, value_capacity;
    graph_node *nodes;
    size_t node_count, node_capacity;
    int salt; /* dropout layers so far */
    /* For lower_target.layouts: all nodes, as they were before they were given layouts. */
    const graph_node *before;
    size_t before_count;
    graph_recipe recipe;
    be_precision precision; /* set by pass_precision */
    be_value clock;         /* steps done; BE_NONE where nothing counts them */
    be_group *group;        /* of whose ranks its nodes gather rows; NULL: no node does */
    graph_lowered lowered;
};

/* Take err's place in the graph if it is the first; returns err's status. */
be_status graph_blame(be_graph *g, const be_error *err);

be_status graph_add_value(be_graph *g, const graph_value *value, be_value *out, be_error *err);

/* A value of the plan's own that lives from step to step, all of it `constant` at the start. */
be_status graph_add_state(be_graph *g, const char *name, be_shape shape, float constant,
                          be_value *out, be_error *err);

/* Append a node: checks the inputs, infers the outputs, adds them as values. */
be_status graph_add_node(be_graph *g, const be_op *op, const void *attrs, const be_value *in,
                         be_value *out, be_error *err);

/* Elements to a multiple of which parameters lie: of floats two cache lines, of their copies in
 * bf16 one, so that no two share one. */
#define PARAMETER_ALIGN 32

/* Infer a node again whose op or attributes a pass changed, and add the outputs that it gained. */
be_status graph_refresh_node(be_graph *g, size_t index, be_error *err);

/* Remove the nodes whose op was set to NULL, and set every value's producer anew. */
void graph_compact(be_graph *g);

/* For the builders of the public API: as above, but a mistake is kept in the graph and everything
 * after it does nothing.  Returns output 0 or BE_NONE; `out` may be NULL. */
be_value graph_build(be_graph *g, const be_op *op, const void *attrs, const be_value *in,
                     be_value *out);

/* A parameter or buffer "LAYER.SUFFIX", or "LAYERSUFFIX" where LAYER ends with an underscore. */
be_value graph_weight(be_graph *g, value_kind kind, const char *layer, const char *suffix,
                      be_shape shape, be_start start);

/* A parameter of such a name. */
be_value graph_parameter(be_graph *g, const char *layer, const char *suffix, be_shape shape,
                         be_start start);

/* A parameter, or several as one. */
bool graph_is_weight(const be_graph *g, be_value value);

/* Is it this parameter, or several of which this is the first? */
bool graph_begins_with(const be_graph *g, be_value value, be_value parameter);

/* The value in whose memory this one lies in the end, and where in it. */
be_value graph_root(const be_graph *g, be_value value, size_t *offset);

/* Does output o of the node lie in the memory of an input that it overwrites (be_op.in_place)? */
bool graph_is_in_place(const be_graph *g, const graph_node *node, int o);

/* By what an element of this value is to be multiplied when it is read: the factor of clipping, if
 * it is a gradient of a parameter that is clipped, else BE_NONE. */
be_value graph_clip_factor(const be_graph *g, be_value value);

/* The state [steps done], i32 [1], made at the first call. */
be_value graph_clock(be_graph *g);

be_status graph_clone(const be_graph *g, be_graph **out, be_error *err);

/* Input i of a node, as it was before it was made narrow for it. */
be_value graph_wide_input(const be_graph *g, const graph_node *node, int i);

/* The nodes that a step computes `lowered.turns` times are those from lowered.begin to before this
 * one; without turns all of them, once. */
size_t graph_turn_end(const be_graph *g);

/* How often a step computes node n; 0: it begins a run. */
int graph_node_turns(const be_graph *g, size_t n);

/* How many nodes read a value. */
int graph_use_count(const be_graph *g, be_value value);

int64_t shape_elements(const be_shape *shape);
bool shape_equal(const be_shape *a, const be_shape *b);
const char *shape_text(const be_shape *shape, char text[64]); /* "f32 [100, 1, 28, 28]" */
size_t value_bytes(const graph_value *value);                 /* in its layout */

/* Arithmetic and least traffic of a node, and of all. */
op_cost graph_node_cost(const be_graph *g, const graph_node *node);
op_cost graph_cost(const be_graph *g);

/* The values of a kind, in the order of the model, in the graph's arena; *out has room for one for
 * each value. */
be_status graph_list_weights(const be_graph *g, value_kind kind, be_parameter **out, int *count,
                             be_error *err);

/* What a parameter or buffer is at the start, the index-th of its kind. */
void graph_fill_start(const be_graph *g, be_value value, uint32_t index, float *out);

static inline be_shape shape_make(be_dtype dtype, int rank, int64_t a, int64_t b, int64_t c,
                                  int64_t d)
{
    return (be_shape){dtype, rank, {a, b, c, d}};
}

#endif
