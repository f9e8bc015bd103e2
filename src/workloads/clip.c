/* clip, clip-b16, clip-l14 (Radford et al. 2021): a tower for pictures and one for captions, and
 * how alike the two are for each pair of a batch.  Names and layouts are those of Hugging Face's
 * CLIPModel. */
#include <stdio.h>

#include "breakeven/group.h"
#include "workloads/captions.h"
#include "workloads/transformer.h"

/* One tower; `layers` is the workload's, or at most `most_layers`. */
typedef struct tower {
    int width, heads, most_layers; /* width 0: the variant's */
} tower;

typedef struct clip_form {
    tower vision, text;
    int patch, width; /* of the features that are compared; 0: the variant's */
    be_activation activation;
} clip_form;

static transformer part(be_graph *g, const clip_form *form, const tower *of,
                        const workload_variant *v)
{
    return (transformer){.graph = g,
                         .width = of->width ? of->width : v->width,
                         .heads = of->heads ? of->heads : v->heads,
                         .activation = form->activation,
                         .weight = {BE_NORMAL, 0.02f},
                         .bias = {BE_CONSTANT, 0}};
}

static void encode(transformer *t, residual_stream *stream, const char *model, int layers,
                   int causal)
{
    static const attention_names names = {.q = "self_attn.q_proj",
                                          .k = "self_attn.k_proj",
                                          .v = "self_attn.v_proj",
                                          .out = "self_attn.out_proj"};
    for (int i = 0; i < layers; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s.encoder.layers.%d.", model, i);
        t->prefix = prefix;
        be_value x = transformer_norm(t, stream, "layer_norm1");
        stream->added = transformer_attention(t, x, &names, BE_NONE, causal);
        x = transformer_norm(t, stream, "layer_norm2");
        stream->added = transformer_mlp(t, x, "mlp.fc1", "mlp.fc2");
    }
}

/* A linear layer without bias to the features, of length 1. */
static be_value project(be_graph *g, be_value x, const char *name, int width)
{
    return be_l2_normalize(
        g,
        be_linear(g, x,
                  &(be_linear_options){
                      .name = name, .features = width, .no_bias = 1, .start = {BE_NORMAL, 0.02f}}));
}

static int layers_of(const tower *of, const workload_variant *v)
{
    return of->most_layers && of->most_layers < v->layers ? of->most_layers : v->layers;
}

/* The feature of a caption is the output at its end of text, the vocabulary's last token. */
static be_value read_text(be_graph *g, const clip_form *form, be_value tokens,
                          const workload_variant *v, int width)
{
    transformer t = part(g, form, &form->text, v);
    be_value x =
        be_embedding(g, tokens,
                     &(be_embedding_options){.name = "text_model.embeddings.token_embedding",
                                             .rows = v->vocab,
                                             .width = t.width,
                                             .start = t.weight});
    t.prefix = "text_model.embeddings.";
    be_value places = transformer_table(&t, "position_embedding.weight", v->seq, t.width, t.weight);
    residual_stream stream = {be_add(g, x, places), BE_NONE};
    encode(&t, &stream, "text_model", layers_of(&form->text, v), 1);
    t.prefix = "text_model.";
    x = transformer_norm(&t, &stream, "final_layer_norm");
    x = be_gather_rows(g, x, be_find_token(g, tokens, v->vocab - 1));
    return project(g, x, "text_projection", width);
}

/* The feature of a picture is the output at the class token, which stands before its patches. */
static be_value see(be_graph *g, const clip_form *form, be_value images, const workload_variant *v,
                    int width)
{
    transformer t = part(g, form, &form->vision, v);
    int64_t edge = v->size / form->patch, patches = edge * edge;
    t.prefix = "vision_model.embeddings.";
    be_value first = transformer_table(&t, "class_embedding", 0, t.width, t.weight);
    be_value x = be_conv2d(g, images,
                           &(be_conv2d_options){.name = "vision_model.embeddings.patch_embedding",
                                                .channels = t.width,
                                                .kernel = form->patch,
                                                .stride = form->patch,
                                                .no_bias = 1,
                                                .start = t.weight});
    int64_t batch = be_value_shape(g, images).dim[0];
    x = be_transpose(g, be_view(g, x, (be_shape){BE_F32, 3, {batch, t.width, patches}}));
    x = be_concat(g, be_view(g, first, (be_shape){BE_F32, 3, {1, 1, t.width}}), x);
    be_value places =
        transformer_table(&t, "position_embedding.weight", patches + 1, t.width, t.weight);
    residual_stream stream = {be_add(g, x, places), BE_NONE};
    t.prefix = "vision_model.";
    stream = (residual_stream){transformer_norm(&t, &stream, "pre_layrnorm"), BE_NONE};
    encode(&t, &stream, "vision_model", layers_of(&form->vision, v), 0);
    t.prefix = "vision_model.";
    if (stream.added != BE_NONE) stream.added = be_take_row(g, stream.added, 0);
    stream.x = be_take_row(g, stream.x, 0);
    return project(g, transformer_norm(&t, &stream, "post_layernorm"), "visual_projection", width);
}

static void build(be_graph *g, const clip_form *form, const be_value *fields,
                  const workload_variant *v, workload_outputs *out)
{
    int width = form->width ? form->width : v->width;
    be_value scale = be_parameter_add(g, "logit_scale", (be_shape){BE_F32, 1, {1}},
                                      (be_start){BE_CONSTANT, 2.6592600f}); /* ln(1 / 0.07) */
    be_value captions = read_text(g, form, fields[CAPTIONS_TOKENS], v, width);
    be_value pictures = see(g, form, fields[CAPTIONS_IMAGES], v, width);
    captions = be_all_gather(g, captions, out->group);
    pictures = be_all_gather(g, pictures, out->group);
    be_value logits =
        be_linear(g, pictures, &(be_linear_options){.no_bias = 1, .weight = &captions});
    logits = be_multiply(g, logits, be_exp(g, scale, 4.6051702f)); /* ln 100 */
    be_value right[2];
    be_value loss = be_symmetric_cross_entropy(g, logits, right);
    *out = (workload_outputs){.loss = loss,
                              .is_mutual = true,
                              .back = right[1],
                              .traced = 1,
                              .trace = {logits},
                              .trace_name = {"logits"}};
}

#define CLIP(id, ...)                                                                      \
    static void id##_build(be_graph *g, const be_value *fields, const workload_variant *v, \
                           workload_outputs *out)                                          \
    {                                                                                      \
        const clip_form form = {__VA_ARGS__};                                              \
        build(g, &form, fields, v, out);                                                   \
    }
CLIP(clip, .patch = 16, .activation = BE_GELU)
CLIP(clip_b16, .vision = {768, 12, 0}, .text = {512, 8, 0}, .patch = 16, .width = 512,
     .activation = BE_GELU_QUICK)
CLIP(clip_l14, .vision = {1024, 16, 0}, .text = {768, 12, 12}, .patch = 14, .width = 768,
     .activation = BE_GELU_QUICK)

#define RECIPE                                                        \
    {                                                                 \
        .kind = BE_ADAMW, .learning_rate = 1e-4, .weight_decay = 0.01 \
    }

const workload workload_clip = {
    .name = "clip",
    .summary = "CLIP of two towers of 8 layers on generated pictures with captions",
    .dataset = "scenes",
    .drawn = {216, 24},
    .data = captions_data,
    .form = captions_form,
    .fit = captions_fit,
    .parameters = 76665345,
    .batch = 12,
    .epochs = 15,
    .optimizer = RECIPE,
    .own = {.layers = 8, .width = 512, .heads = 8, .seq = 77, .size = 224, .vocab = 49152},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 1, .seq = 24, .size = 64, .vocab = 1024}},
    .build = clip_build};

const workload workload_clip_b16 = {
    .name = "clip-b16",
    .summary = "CLIP in the configuration of OpenAI's ViT-B/16",
    .dataset = "scenes",
    .drawn = {216, 24},
    .data = captions_data,
    .form = captions_form,
    .fit = captions_fit,
    .parameters = 149620737,
    .batch = 12,
    .epochs = 15,
    .optimizer = RECIPE,
    .own = {.layers = 12, .seq = 77, .size = 224, .vocab = 49408},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 1, .seq = 24, .size = 64, .vocab = 1024}},
    .build = clip_b16_build};

const workload workload_clip_l14 = {
    .name = "clip-l14",
    .summary = "CLIP in the configuration of OpenAI's ViT-L/14",
    .dataset = "scenes",
    .drawn = {216, 24},
    .data = captions_data,
    .form = captions_form,
    .fit = captions_fit,
    .parameters = 427616513,
    .batch = 12,
    .epochs = 15,
    .optimizer = RECIPE,
    .own = {.layers = 24, .seq = 77, .size = 224, .vocab = 49408},
    .gate = {.batch = 2, .steps = 3, .most = {.layers = 1, .seq = 24, .size = 56, .vocab = 1024}},
    .build = clip_l14_build};
