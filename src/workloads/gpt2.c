/* gpt2 (Radford et al. 2019): a pre-norm decoder of text whose head is the table of its tokens.
 * Names, layouts and starts are those of Hugging Face's: linear weights lie as [in, out]. */
#include <stdio.h>

#include "workloads/texts.h"
#include "workloads/transformer.h"

enum { POSITIONS = 1024 };

static void block(transformer *t, residual_stream *stream, int layer)
{
    static const attention_names names = {.qkv = "attn.c_attn", .out = "attn.c_proj"};
    char prefix[48];
    snprintf(prefix, sizeof prefix, "transformer.h.%d.", layer);
    t->prefix = prefix;
    be_value x = transformer_norm(t, stream, "ln_1");
    stream->added = transformer_attention(t, x, &names, BE_NONE, 1);
    x = transformer_norm(t, stream, "ln_2");
    stream->added = transformer_mlp(t, x, "mlp.c_fc", "mlp.c_proj");
}

static void gpt2_build(be_graph *g, const be_value *fields, const workload_variant *v,
                       workload_outputs *out)
{
    const be_start normal = {BE_NORMAL, 0.02f}, zero = {BE_CONSTANT, 0};
    transformer t = {.graph = g,
                     .prefix = "transformer.",
                     .width = v->width,
                     .heads = v->heads,
                     .activation = BE_GELU_TANH,
                     .weight = normal,
                     .bias = zero,
                     .input_first = 1,
                     .matrices_decay = 1};
    be_value table;
    be_value x = be_embedding(g, fields[TEXTS_TOKENS],
                              &(be_embedding_options){.name = "transformer.wte",
                                                      .rows = v->vocab,
                                                      .width = v->width,
                                                      .start = normal,
                                                      .table = &table});
    be_value places = transformer_table(&t, "wpe.weight", POSITIONS, v->width, normal);
    residual_stream stream = {be_add(g, x, transformer_places(&t, places, v->seq)), BE_NONE};
    for (int i = 0; i < v->layers; i++) block(&t, &stream, i);
    t.prefix = "transformer.";
    x = transformer_norm(&t, &stream, "ln_f");
    be_value logits = be_linear(g, x, &(be_linear_options){.no_bias = 1, .weight = &table});
    *out = (workload_outputs){.loss = be_softmax_cross_entropy(g, logits, fields[TEXTS_TARGETS]),
                              .traced = 1,
                              .trace = {logits},
                              .trace_name = {"logits"}};
}

const workload workload_gpt2 = {
    .name = "gpt2",
    .summary = "GPT-2 of 12 layers that tells the next token of a text",
    .dataset = "text",
    .drawn = {2048, 204},
    .data = texts_data,
    .form = texts_form,
    .fit = texts_fit,
    .parameters = 124439808,
    .batch = 4,
    .epochs = 1,
    .optimizer = {.kind = BE_ADAMW,
                  .learning_rate = 6e-4,
                  .weight_decay = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.95,
                  .max_gradient_norm = 1},
    .matrices_decay = true,
    .perplexity = true,
    .own = {.layers = 12, .width = 768, .heads = 12, .seq = 1024, .vocab = 50257},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 2, .seq = 32, .vocab = 2048}},
    .build = gpt2_build};
