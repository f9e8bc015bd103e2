/* What the Transformers share: layers by name, the residual stream, attention with its projections
 * and the two linear layers behind it. */
#ifndef WORKLOADS_TRANSFORMER_H
#define WORKLOADS_TRANSFORMER_H

#include "workloads/workload.h"

/* A part of a model: its graph, the prefix of its names ("transformer.h.3."), and how its family
 * starts, stores and divides. */
typedef struct transformer {
    be_graph *graph;
    const char *prefix;
    int width, heads;
    be_activation activation;
    float epsilon;   /* of the norms; 0: 1e-5 */
    be_start weight; /* of linear layers; all 0: PyTorch's own */
    be_start bias;
    int input_first;    /* linear weights lie as [in, out] */
    int matrices_decay; /* weight decay acts on matrices alone */
} transformer;

/* The names of the layers of an attention: one projection to q, k and v side by side, or three. */
typedef struct attention_names {
    const char *qkv;       /* "c_attn" or NULL */
    const char *q, *k, *v; /* or these */
    const char *out;
} attention_names;

/* One linear layer, [..., features]. */
be_value transformer_linear(const transformer *t, be_value x, const char *layer, int features);

/* Self-attention with its projections, [B, T, width].  `lengths` may be BE_NONE. */
be_value transformer_attention(const transformer *t, be_value x, const attention_names *names,
                               be_value lengths, int causal);

/* Two linear layers with the activation between, 4 · width inside. */
be_value transformer_mlp(const transformer *t, be_value x, const char *first, const char *second);

/* The residual stream of a pre-norm Transformer.  What a part adds to it is added in the pass of
 * the norm that comes next. */
typedef struct residual_stream {
    be_value x, added; /* added: BE_NONE before the first part */
} residual_stream;

/* The norm of the stream as it is now. */
be_value transformer_norm(const transformer *t, residual_stream *stream, const char *layer);

/* A parameter named behind the prefix, [rows, columns], or [columns] where rows is 0. */
be_value transformer_table(const transformer *t, const char *name, int64_t rows, int64_t columns,
                           be_start start);

/* The first `seq` of a table of positions.  BE_USAGE where it has fewer. */
be_value transformer_places(const transformer *t, be_value table, int seq);

#endif
