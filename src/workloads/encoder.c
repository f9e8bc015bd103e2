/* encoder: a pre-norm Transformer encoder, as nn.TransformerEncoderLayer with norm_first and GELU.
 * The mean over its real tokens tells the class.  Names and layouts are those of PyTorch's modules.
 */
#include <stdio.h>

#include "workloads/sequences.h"
#include "workloads/transformer.h"

enum { POSITIONS = 512, CLASSES = 10 };

static void block(transformer *t, residual_stream *stream, be_value lengths, int layer)
{
    static const attention_names names = {.qkv = "self_attn.in_proj_", .out = "self_attn.out_proj"};
    char prefix[48];
    snprintf(prefix, sizeof prefix, "encoder.layers.%d.", layer);
    t->prefix = prefix;
    be_value x = transformer_norm(t, stream, "norm1");
    stream->added = transformer_attention(t, x, &names, lengths, 0);
    x = transformer_norm(t, stream, "norm2");
    stream->added = transformer_mlp(t, x, "linear1", "linear2");
}

static void encoder_form(const workload_variant *v, data_table *out)
{
    sequences_form(v, out, CLASSES);
}

static void encoder_build(be_graph *g, const be_value *fields, const workload_variant *v,
                          workload_outputs *out)
{
    const be_start normal = {BE_NORMAL, 1.0f};
    transformer t = {
        .graph = g, .prefix = "", .width = v->width, .heads = v->heads, .activation = BE_GELU};
    be_value x = be_embedding(
        g, fields[SEQUENCES_TOKENS],
        &(be_embedding_options){
            .name = "embedding", .rows = v->vocab, .width = v->width, .start = normal});
    be_value places = transformer_table(&t, "position.weight", POSITIONS, v->width, normal);
    be_value lengths = fields[SEQUENCES_LENGTHS];
    residual_stream stream = {be_add(g, x, transformer_places(&t, places, v->seq)), BE_NONE};
    for (int i = 0; i < v->layers; i++) block(&t, &stream, lengths, i);
    t.prefix = "encoder.";
    x = be_mean_tokens(g, transformer_norm(&t, &stream, "norm"), lengths);
    t.prefix = "";
    be_value logits = transformer_linear(&t, x, "head", CLASSES);
    *out = (workload_outputs){.loss = be_softmax_cross_entropy(g, logits, fields[SEQUENCES_LABELS]),
                              .traced = 1,
                              .trace = {logits},
                              .trace_name = {"logits"}};
}

const workload workload_encoder = {
    .name = "encoder",
    .summary = "a Transformer encoder of 10 layers that tells the class of a sequence",
    .dataset = "tokens",
    .drawn = {4096, 1024},
    .data = sequences_data,
    .form = encoder_form,
    .fit = sequences_fit,
    .parameters = 48176138,
    .batch = 16,
    .epochs = 3,
    .optimizer = {.kind = BE_ADAMW, .learning_rate = 1e-4, .weight_decay = 0.01},
    .own = {.layers = 10, .width = 512, .heads = 8, .seq = 256, .vocab = 32000},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 2, .seq = 32, .vocab = 2048}},
    .build = encoder_build};
