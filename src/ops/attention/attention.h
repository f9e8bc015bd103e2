/* Attributes and sizes of attention and attention_backward, for their definition and
 * implementations. */
#ifndef OPS_ATTENTION_ATTENTION_H
#define OPS_ATTENTION_ATTENTION_H

#include <math.h>

#include "ops/op_list.h"

typedef struct attention_attrs {
    int heads;
    int causal;  /* query i sees the keys up to i alone */
    float scale; /* of the scores; 0 means 1 / sqrt(head size) */
} attention_attrs;

/* Inputs of both ops, and those of attention_backward alone. */
enum {
    ATTENTION_Q, /* or q, k and v side by side, and then there are no k and v */
    ATTENTION_K,
    ATTENTION_V,
    ATTENTION_LENGTHS,
    ATTENTION_Y,
    ATTENTION_LSE,
    ATTENTION_DY,
};

/* The row of token t of sample b and head h begins, in the tensor of q, k or v (o is 0, 1 or 2), at
 * element (b · tokens + t) · row[o] + at[o] + h · size.  All three lie in the tensor of q if
 * is_packed. */
typedef struct attention_sizes {
    int64_t batch, queries, keys, heads;
    int64_t size; /* of a head */
    int64_t width;
    int64_t row[3], at[3];
    int is_packed, causal;
    double scale;
} attention_sizes;

static inline attention_sizes attention_sizes_of(const attention_attrs *attrs, const be_shape *q,
                                                 const be_shape *k)
{
    int is_packed = k->rank < 0;
    int64_t all = q->dim[2], width = is_packed ? all / 3 : all;
    attention_sizes s = {.batch = q->dim[0],
                         .queries = q->dim[1],
                         .keys = is_packed ? q->dim[1] : k->dim[1],
                         .heads = attrs->heads,
                         .size = width / attrs->heads,
                         .width = width,
                         .row = {all, all, all},
                         .is_packed = is_packed,
                         .causal = attrs->causal != 0,
                         .scale = (double)attrs->scale};
    if (is_packed) {
        s.at[1] = width;
        s.at[2] = 2 * width;
    }
    if (s.scale == 0.0) s.scale = 1.0 / sqrt((double)s.size);
    return s;
}

/* The keys of a sample with that length: what is not in 0 … keys is taken as the nearer end. */
static inline int64_t attention_keys(const attention_sizes *s, int64_t length)
{
    return length < 0 ? 0 : length > s->keys ? s->keys : length;
}

/* How many of them query i sees: the first ones. */
static inline int64_t attention_seen(const attention_sizes *s, int64_t keys, int64_t i)
{
    return s->causal && i + 1 < keys ? i + 1 : keys;
}

/* Checks what both ops have in common, and gives their sizes. */
be_status attention_check(const char *op, const void *attrs, const be_shape *in,
                          attention_sizes *out, be_error *err);

/* Pairs of a query and a key that it sees, of all heads and samples, where no length is short. */
double attention_pairs(const attention_sizes *s);

/* For the references, of one head of one sample: where its first rows begin. */
typedef struct attention_head {
    double *x[3], *dx[3]; /* of q, k and v */
    double *y, *lse, *dy; /* dx and dy: of attention_backward alone */
    int64_t keys;         /* that its sample has */
} attention_head;

/* The n-th of all heads, sample by sample. */
static inline attention_head attention_head_of(const attention_sizes *s, const op_reference *call,
                                               bool is_backward, int64_t n)
{
    const double *lengths = call->x[ATTENTION_LENGTHS];
    int64_t b = n / s->heads, from = n % s->heads * s->size;
    attention_head h = {.keys = lengths ? attention_keys(s, (int64_t)lengths[b]) : s->keys};
    h.y = (is_backward ? call->x[ATTENTION_Y] : call->y[0]) + b * s->queries * s->width + from;
    h.lse = (is_backward ? call->x[ATTENTION_LSE] : call->y[1]) + n * s->queries;
    if (is_backward) h.dy = call->x[ATTENTION_DY] + b * s->queries * s->width + from;
    for (int o = 0; o < 3; o++) {
        int64_t at = b * (o ? s->keys : s->queries) * s->row[o] + s->at[o] + from;
        h.x[o] = call->x[s->is_packed ? 0 : o] + at;
        if (is_backward) h.dx[o] = call->y[s->is_packed ? 0 : o] + at;
    }
    return h;
}

/* `reference` with its products in blocks; see graph/op.h. */
be_status attention_blocked(const op_reference *call, be_error *err);
be_status attention_backward_blocked(const op_reference *call, be_error *err);

#endif
