/* The parts of a Transformer, from the operations of the public API. */
#include "workloads/transformer.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/status.h"
#include "graph/graph.h"

enum { NAME = 96 };

static const char *named(const transformer *t, const char *layer, char out[NAME])
{
    snprintf(out, NAME, "%s%s", t->prefix, layer);
    return out;
}

/* Biases and the norms' scales do not decay where matrices alone do. */
static void spare(const transformer *t, const char *layer, const char *suffix)
{
    char name[NAME];
    if (!t->matrices_decay) return;
    snprintf(name, sizeof name, "%s%s%s", t->prefix, layer, suffix);
    be_value value = be_value_find(t->graph, name);
    if (value != BE_NONE) be_parameter_no_decay(t->graph, value);
}

be_value transformer_linear(const transformer *t, be_value x, const char *layer, int features)
{
    char name[NAME];
    be_value y = be_linear(t->graph, x,
                           &(be_linear_options){.name = named(t, layer, name),
                                                .features = features,
                                                .input_first = t->input_first,
                                                .start = t->weight,
                                                .bias_start = t->bias});
    spare(t, layer, ".bias");
    return y;
}

be_value transformer_attention(const transformer *t, be_value x, const attention_names *names,
                               be_value lengths, int causal)
{
    be_attention_options o = {.q = BE_NONE,
                              .k = BE_NONE,
                              .v = BE_NONE,
                              .qkv = BE_NONE,
                              .lengths = lengths,
                              .heads = t->heads,
                              .causal = causal};
    if (names->qkv) {
        o.qkv = transformer_linear(t, x, names->qkv, 3 * t->width);
    } else {
        o.k = transformer_linear(t, x, names->k, t->width);
        o.v = transformer_linear(t, x, names->v, t->width);
        o.q = transformer_linear(t, x, names->q, t->width);
    }
    return transformer_linear(t, be_attention(t->graph, &o), names->out, t->width);
}

be_value transformer_mlp(const transformer *t, be_value x, const char *first, const char *second)
{
    x = transformer_linear(t, x, first, 4 * t->width);
    return transformer_linear(t, be_activate(t->graph, x, t->activation), second, t->width);
}

be_value transformer_norm(const transformer *t, residual_stream *stream, const char *layer)
{
    char name[NAME];
    be_layer_norm_options o = {.name = named(t, layer, name), .epsilon = t->epsilon};
    be_value x = stream->x, y;
    if (stream->added == BE_NONE) {
        y = be_layer_norm(t->graph, x, &o);
    } else {
        o.residual = &stream->added; /* which in bf16 a product has rounded: not the stream */
        o.sum = &stream->x;
        y = be_layer_norm(t->graph, x, &o);
        stream->added = BE_NONE;
    }
    spare(t, layer, ".weight");
    spare(t, layer, ".bias");
    return y;
}

be_value transformer_table(const transformer *t, const char *name, int64_t rows, int64_t columns,
                           be_start start)
{
    char whole[NAME];
    be_shape shape = {BE_F32, rows ? 2 : 1, {rows ? rows : columns, columns}};
    return be_parameter_add(t->graph, named(t, name, whole), shape, start);
}

be_value transformer_places(const transformer *t, be_value table, int seq)
{
    be_error err;
    int64_t rows = be_value_shape(t->graph, table).dim[0];
    if (seq <= rows || t->graph->error.status != BE_OK) return be_slice(t->graph, table, 0, seq);
    status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                "seq: expected at most the %" PRId64
                " tokens that the model has positions for, found %d; use a smaller --seq",
                rows, seq);
    graph_blame(t->graph, &err);
    return BE_NONE;
}
