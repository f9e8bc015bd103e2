/* bert-base (Devlin et al. 2018): a post-norm encoder that tells the class of a pair of sentences
 * from the output at its first token.  Names and layouts are those of Hugging Face's files. */
#include <stdio.h>

#include "workloads/sequences.h"
#include "workloads/transformer.h"

enum { POSITIONS = 512, SEGMENTS = 2, CLASSES = 2 };

/* norm(x + added). */
static be_value norm(const transformer *t, be_value x, be_value part, const char *layer)
{
    residual_stream stream = {x, part};
    return transformer_norm(t, &stream, layer);
}

static be_value block(transformer *t, be_value x, be_value lengths, int layer)
{
    static const attention_names names = {.q = "attention.self.query",
                                          .k = "attention.self.key",
                                          .v = "attention.self.value",
                                          .out = "attention.output.dense"};
    char prefix[48];
    snprintf(prefix, sizeof prefix, "bert.encoder.layer.%d.", layer);
    t->prefix = prefix;
    x = norm(t, x, transformer_attention(t, x, &names, lengths, 0), "attention.output.LayerNorm");
    return norm(t, x, transformer_mlp(t, x, "intermediate.dense", "output.dense"),
                "output.LayerNorm");
}

/* Tokens, places and segments. */
static be_value embed(transformer *t, const be_value *fields, const workload_variant *v)
{
    be_graph *g = t->graph;
    t->prefix = "bert.embeddings.";
    be_value x = be_embedding(g, fields[PAIRS_TOKENS],
                              &(be_embedding_options){.name = "bert.embeddings.word_embeddings",
                                                      .rows = v->vocab,
                                                      .width = v->width,
                                                      .start = t->weight,
                                                      .has_padding = 1});
    be_value places =
        transformer_table(t, "position_embeddings.weight", POSITIONS, v->width, t->weight);
    be_value segments =
        be_embedding(g, fields[PAIRS_SEGMENTS],
                     &(be_embedding_options){.name = "bert.embeddings.token_type_embeddings",
                                             .rows = SEGMENTS,
                                             .width = v->width,
                                             .start = t->weight});
    return norm(t, be_add(g, x, transformer_places(t, places, v->seq)), segments, "LayerNorm");
}

static void bert_base_form(const workload_variant *v, data_table *out)
{
    pairs_form(v, out, CLASSES);
}

static void bert_base_build(be_graph *g, const be_value *fields, const workload_variant *v,
                            workload_outputs *out)
{
    transformer t = {.graph = g,
                     .width = v->width,
                     .heads = v->heads,
                     .activation = BE_GELU,
                     .epsilon = 1e-12f,
                     .weight = {BE_NORMAL, 0.02f},
                     .bias = {BE_CONSTANT, 0}};
    be_value x = embed(&t, fields, v);
    for (int i = 0; i < v->layers; i++) x = block(&t, x, fields[PAIRS_LENGTHS], i);
    t.prefix = "";
    x = be_take_row(g, x, 0);
    x = be_activate(g, transformer_linear(&t, x, "bert.pooler.dense", v->width), BE_TANH);
    be_value logits = transformer_linear(&t, x, "classifier", CLASSES);
    *out = (workload_outputs){.loss = be_softmax_cross_entropy(g, logits, fields[PAIRS_LABELS]),
                              .traced = 1,
                              .trace = {logits},
                              .trace_name = {"logits"}};
}

const workload workload_bert_base = {
    .name = "bert-base",
    .summary = "BERT of 12 layers that tells the class of a pair of sentences",
    .dataset = "pairs",
    .drawn = {4096, 1024},
    .data = pairs_data,
    .form = bert_base_form,
    .fit = sequences_fit,
    .parameters = 109483778,
    .batch = 16,
    .epochs = 3,
    .optimizer = {.kind = BE_ADAMW, .learning_rate = 2e-5, .weight_decay = 0.01},
    .own = {.layers = 12, .width = 768, .heads = 12, .seq = 128, .vocab = 30522},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 2, .seq = 32, .vocab = 2048}},
    .build = bert_base_build};
