/* Building a network: a graph of operations on tensors, pure data, no device.
 *
 * Every function that adds to a graph infers shapes at once.  The first mistake is kept in the
 * graph (be_graph_check returns it) and all later calls do nothing, so a network can be written
 * without a check on every line. */
#ifndef BREAKEVEN_GRAPH_H
#define BREAKEVEN_GRAPH_H

#include <stdint.h>

#include "breakeven/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BE_MAX_RANK 4

/* name in output and files, bytes */
#define BE_DTYPE_LIST(X) \
    X(F32, "f32", 4)     \
    X(I32, "i32", 4)     \
    X(U8, "u8", 1)       \
    X(F16, "f16", 2)     \
    X(BF16, "bf16", 2)

typedef enum be_dtype {
#define X(name, text, bytes) BE_##name,
    BE_DTYPE_LIST(X)
#undef X
} be_dtype;

/* Dimensions from the slowest to the fastest; images are [N, C, H, W]. */
typedef struct be_shape {
    be_dtype dtype;
    int rank;
    int64_t dim[BE_MAX_RANK];
} be_shape;

typedef struct be_graph be_graph;
typedef int32_t be_value; /* a tensor of the graph; BE_NONE is none */
#define BE_NONE (-1)

/* Seed: initial weights and dropout masks follow from it.  NULL if memory is short. */
be_graph *be_graph_new(uint64_t seed);
void be_graph_free(be_graph *g);

/* BE_OK, or the first error made while building. */
BE_CHECKED be_status be_graph_check(const be_graph *g, be_error *err);

/* A tensor that the user fills before a step (be_plan_write). */
be_value be_input(be_graph *g, const char *name, be_shape shape);

be_shape be_value_shape(const be_graph *g, be_value value);

/* The value of this name, or BE_NONE. */
be_value be_value_find(const be_graph *g, const char *name);

/* What a parameter or buffer is at the start: uniform in ±value, normal with the standard deviation
 * `value`, or `value` everywhere; BE_KAIMING: normal with the deviation value / sqrt(fan out),
 * where the fan out of [out, in, …] is the number of elements over `in` (He et al. 2015; for ReLU
 * the value is sqrt(2), as in torchvision's ResNets).  Random ones follow from the graph's seed and
 * its place among those of its kind. */
typedef enum be_start_kind {
    BE_UNIFORM,
    BE_NORMAL,
    BE_CONSTANT,
    BE_KAIMING,
    BE_ALTERNATING /* value, −value, value, … */
} be_start_kind;

typedef struct be_start {
    be_start_kind kind;
    float value;
} be_start;

/* A tensor f32 that be_graph_minimize trains, and that files of weights hold under this name.  Used
 * by several operations it is tied: their gradients add. */
be_value be_parameter_add(be_graph *g, const char *name, be_shape shape, be_start start);

/* The optimizer's weight decay does not act on this parameter, as a recipe may say of biases, norms
 * and embeddings: PyTorch's second parameter group with weight_decay=0. */
void be_parameter_no_decay(be_graph *g, be_value parameter);

/* A tensor f32 that belongs to the model as a parameter does, and that nothing trains: files of
 * weights and checkpoints hold it under this name, and plans that share the weights share it (batch
 * norm's running mean and variance).  An operation may update it while training, then no other one
 * may read it; when inferring none may update it (BE_USAGE while planning). */
be_value be_buffer_add(be_graph *g, const char *name, be_shape shape, be_start start);

/* The same elements in the same order under other dimensions (the type is x's, f32 or i32; that of
 * `shape` counts for nothing).  Takes no time, but for a view of an input. */
be_value be_view(be_graph *g, be_value x, be_shape shape);

/* Element by element, like a.  The dimensions of b are the last ones of a, or 1: then its elements
 * are used again ([N, C] + [C], [N, C] · [N, 1], [N, C] − [1]). */
be_value be_add(be_graph *g, be_value a, be_value b);
be_value be_subtract(be_graph *g, be_value a, be_value b);
be_value be_multiply(be_graph *g, be_value a, be_value b);

/* The product of a [m, k] and b [k, n], [m, n]; of a [batch, m, k] and b [batch, k, n] as many
 * products, [batch, m, n]. */
be_value be_matmul(be_graph *g, be_value a, be_value b);

/* Element by element; BE_IDENTITY leaves x as it is.  GELU (Hendrycks, Gimpel, 2016) is x · Φ(x), Φ
 * the normal distribution: by erf, by tanh (GPT-2's), or quickly by x / (1 + exp(−1.702 x))
 * (CLIP's). */
typedef enum be_activation {
    BE_IDENTITY,
    BE_RELU,
    BE_TANH,
    BE_GELU,
    BE_GELU_TANH,
    BE_GELU_QUICK
} be_activation;

be_value be_activate(be_graph *g, be_value x, be_activation kind);

/* factor · x */
be_value be_scale(be_graph *g, be_value x, float factor);

/* The sum over the dimensions that `shape` lacks in front or has as 1: [N, C] to [C] or [N, 1]. */
be_value be_sum_to(be_graph *g, be_value x, be_shape shape);

/* The mean of all elements, f32 [1]. */
be_value be_mean(be_graph *g, be_value x);

/* Rows first … first + count − 1 of the first dimension (of a table of positions, the first T). */
be_value be_slice(be_graph *g, be_value x, int64_t first, int64_t count);

/* a [B, P, W] and b [B, Q, W] -> [B, P + Q, W]: torch.cat along dimension 1.  Either may have 1 in
 * the place of B, and is then the same for all: a class token in front of patches. */
be_value be_concat(be_graph *g, be_value a, be_value b);

/* x [B, T, W] -> [B, W]: row index[n] of each sample, index i32 [B].  −1 is no row and makes zeros;
 * any other index outside of 0 … T − 1 makes NaN. */
be_value be_gather_rows(be_graph *g, be_value x, be_value index);

/* The same with one position for all samples (a class token: 0). */
be_value be_take_row(be_graph *g, be_value x, int64_t position);

/* tokens i32 [B, T] -> i32 [B]: the first place of `token`, or −1 where there is none: CLIP's end
 * of text, for be_gather_rows. */
be_value be_find_token(be_graph *g, be_value tokens, int32_t token);

/* x [B, T, W], lengths i32 [B] -> [B, W]: the mean over the first lengths[n] rows.  A length of 0
 * makes zeros, one below 0 or above T makes NaN. */
be_value be_mean_tokens(be_graph *g, be_value x, be_value lengths);

/* x in memory of its own: what moving it costs. */
be_value be_clone(be_graph *g, be_value x);

/* Copies between the memory of the host and that of a device that has its own; elsewhere both are
 * be_clone.  What is uploaded is a buffer, which then lies with the host, or what was downloaded:
 * `count` 0: all of it; else its first elements, [count].  Of what was downloaded nothing but
 * be_upload reads.  No gradient flows through either. */
be_value be_upload(be_graph *g, be_value x, int64_t count);
be_value be_download(be_graph *g, be_value x);

/* Pictures x [N, C, H, W] at another size, bilinear, without antialiasing, as PyTorch's
 * interpolate. */
be_value be_resize(be_graph *g, be_value x, int64_t height, int64_t width);

typedef struct be_augment_options {
    int padding;  /* zeros around the picture, less than its sides */
    int channels; /* of mean and std, at most 4, as many as x has; 0: nothing is normalised */
    float mean[4], std[4];
} be_augment_options;

/* Pictures x [N, C, H, W] as a training sees them, draws [N, 3] uniform in ±1: cut out at a random
 * place of the padded picture, turned over or not, normalised: torchvision's RandomCrop,
 * RandomHorizontalFlip and Normalize. */
be_value be_augment(be_graph *g, be_value x, be_value draws, const be_augment_options *options);

/* The last two dimensions the other way round, of 2 or 3: [B, C, P] -> [B, P, C]. */
be_value be_transpose(be_graph *g, be_value x);

/* x / ‖x‖ over the last dimension, without an epsilon, as in Hugging Face's CLIP: a row of zeros
 * makes NaN. */
be_value be_l2_normalize(be_graph *g, be_value x);

/* exp(scale · x) / its sum, over the last dimension; scale above 0 (1: the plain softmax). */
be_value be_softmax(be_graph *g, be_value x, float scale);

/* exp(min(x, limit)); INFINITY is no limit.  Where x is above the limit its gradient is 0.  CLIP's
 * logit scale has ln 100. */
be_value be_exp(be_graph *g, be_value x, float limit);

/* Layers.  A layer makes its parameters, named "NAME.weight" and "NAME.bias" (a NAME that ends with
 * an underscore gets no dot: "in_proj_weight") with PyTorch's layout and its default start: uniform
 * in ±1/sqrt(fan in). */

typedef struct be_conv2d_options {
    const char *name;
    int channels; /* of the output */
    int kernel;   /* height and width of the window */
    int stride;   /* 0 means 1 */
    int padding;  /* zeros on every side */
    /* Where rows (height) and columns (width) differ; 0: as above. */
    int kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
    int no_bias;
    be_start start; /* of the weight; left out (all 0): uniform in ±1/sqrt(fan in), as the bias */
} be_conv2d_options;

/* x [N, C, H, W] -> [N, channels, H', W'], H' = (H + 2 padding - kernel) / stride + 1. */
be_value be_conv2d(be_graph *g, be_value x, const be_conv2d_options *options);

typedef struct be_linear_options {
    const char *name;
    int features;    /* of the output; with `weight` it may be left out */
    int no_bias;     /* y = x wᵀ */
    int input_first; /* the weight lies as [in, features], in memory and in files, as in GPT-2's */
    /* NULL: the layer makes its weight.  Else this value [features, in] is the weight, and the
     * layer makes at most a bias: an embedding's table, tied to the layer at the end of a language
     * model, or what another part of the graph computed. */
    const be_value *weight;
    be_start start, bias_start; /* left out (all 0): uniform in ±1/sqrt(in) */
} be_linear_options;

/* x [..., in] -> [..., features], y = x wᵀ + b over the last dimension, as PyTorch's Linear; x has
 * at least 2 dimensions.  Images go through be_flatten first. */
be_value be_linear(be_graph *g, be_value x, const be_linear_options *options);

/* x [N, …] -> [N, elements of one]: a view.  x of fewer than 3 dimensions stays as it is. */
be_value be_flatten(be_graph *g, be_value x);

be_value be_relu(be_graph *g, be_value x); /* be_activate with BE_RELU */

typedef struct be_pool2d_options {
    int size;    /* height and width of the windows, at most 16 */
    int stride;  /* 0 means size: windows side by side */
    int padding; /* around the image, at most half of size */
    /* Of averages: divide by the pixels of a window that lie in the image, as PyTorch does with
     * count_include_pad=False; 0: by all of them, the padding's among them. */
    int leave_padding;
} be_pool2d_options;

/* x [N, C, H, W] -> [N, C, H', W'], H' = (H + 2 padding - size) / stride + 1: the largest of each
 * window.  The padding never wins. */
be_value be_max_pool2d(be_graph *g, be_value x, const be_pool2d_options *options);

/* As be_max_pool2d, the mean of each window; the padding is zeros. */
be_value be_average_pool2d(be_graph *g, be_value x, const be_pool2d_options *options);

/* x [N, C, H, W] -> [N, C]: the mean over H and W. */
be_value be_global_average_pool(be_graph *g, be_value x);

typedef struct be_batch_norm_options {
    const char *name;
    double epsilon;  /* added to the variance; 0 means 1e-5 */
    double momentum; /* of the running mean and variance; 0 means 0.1 */
} be_batch_norm_options;

/* Batch norm (Ioffe, Szegedy, 2015) as PyTorch's BatchNorm1d and BatchNorm2d: x [N, C, …], f32 of 2
 * to 4 dimensions, each channel to mean 0 and variance 1 over all others, times "NAME.weight" plus
 * "NAME.bias" (1 and 0 at the start).  Training takes mean and variance of the batch, and moves the
 * buffers "NAME.running_mean" and "NAME.running_var" (0 and 1 at the start) towards them by the
 * momentum; inferring takes the buffers.  Training on one value of each channel is refused while
 * planning.  The sum be_add(batch norm, residual) with a residual that was made before it, and an
 * activation behind it, are fused. */
be_value be_batch_norm(be_graph *g, be_value x, const be_batch_norm_options *options);

typedef struct be_layer_norm_options {
    const char *name;
    float epsilon;            /* 0 means 1e-5, as in PyTorch; bert-base has 1e-12 */
    const be_value *residual; /* like x, added to it first, in the same pass; NULL: none */
    be_value *sum;            /* out: x + residual, for the residual stream; may be NULL */
} be_layer_norm_options;

/* Layer normalisation over the last dimension (Ba, Kiros, Hinton, 2016; nn.LayerNorm of that
 * dimension): x [..., W], at least 2 dimensions -> the same shape.  NAME.weight [W] starts as 1,
 * NAME.bias [W] as 0; whether they decay is the caller's to say (be_parameter_no_decay). */
be_value be_layer_norm(be_graph *g, be_value x, const be_layer_norm_options *options);

typedef struct be_embedding_options {
    const char *name;
    int64_t rows, width; /* the vocabulary, and the elements of a row */
    be_start start;      /* nn.Embedding's own is {BE_NORMAL, 1} */
    int has_padding;     /* the row padding_index gets no gradient, as in Hugging Face's BERT; at */
    int64_t padding_index;  /* the start it is drawn like the others */
    const be_value *weight; /* NULL: a parameter NAME.weight is made; else this f32 [rows, width] */
    be_value *table;        /* out: the table, to be tied (be_linear); may be NULL */
} be_embedding_options;

/* tokens i32 [...], at most 3 dimensions -> f32 [..., width], rows of the table.  A token that is
 * no row of it makes NaN, and gets no gradient; nothing outside the table is read.  The gradient is
 * dense, and the same bits at every run. */
be_value be_embedding(be_graph *g, be_value tokens, const be_embedding_options *options);

/* Attention (Vaswani et al. 2017) of several heads, as PyTorch's scaled_dot_product_attention: with
 * q [B, T, W], k and v [B, S, W], f32, where head h has the columns from h · W / heads on,
 *
 *     y[i] = Σ_j softmax_j(scale · q[i] · k[j]) v[j],   y [B, T, W].
 *
 * What is not there is BE_NONE. */
typedef struct be_attention_options {
    be_value q, k, v;
    be_value qkv;     /* in their place: [B, T, 3 W], q, k and v side by side, as the in_proj of
                         PyTorch's nn.MultiheadAttention and the c_attn of GPT-2 make it */
    be_value lengths; /* i32 [B]: query i of sample b sees the keys below lengths[b] alone, as by
                         PyTorch's key_padding_mask */
    int heads;        /* divides W */
    int causal;       /* query i sees the keys up to i alone, also where S is not T */
    float scale;      /* 0 means 1 / sqrt(W / heads) */
} be_attention_options;

/* The queries at and beyond a length have a y too, as if they were real: whoever does not use it
 * gives it no gradient.  A key that no query sees has a gradient of exactly 0, and a query that
 * sees no key a y of 0.  A length below 0 is taken as 0, one above S as S: whoever fills `lengths`
 * is to check them.  A wrong shape, heads that do not divide W, and a scale that is negative or no
 * number are mistakes in the graph. */
be_value be_attention(be_graph *g, const be_attention_options *options);

/* Zeroes each element with probability p while training and scales the others by 1/(1 - p). */
be_value be_dropout(be_graph *g, be_value x, float p);

/* logits f32 [..., classes], target i32 [...] (below 0: the row is ignored) -> the mean loss, f32
 * [1].  The gradient takes the memory of the logits where nothing else reads them. */
be_value be_softmax_cross_entropy(be_graph *g, be_value logits, be_value target);

/* logits f32 [B, B] (pictures × captions, of which the i-th belong together) -> f32 [1]: the mean
 * of the cross-entropies of rows and of columns, CLIP's.  `right`, which may be NULL: the rows, and
 * the columns, whose largest logit is on the diagonal (retrieval at 1), i32 [1] each, for
 * be_graph_count. */
be_value be_symmetric_cross_entropy(be_graph *g, be_value logits, be_value right[2]);

/* Batches of a data set: a table whose rows are samples and whose columns are named fields, as the
 * pictures and their labels, or token sequences and their lengths.  The set lies on the device (but
 * see data_on_host in plan.h); `order` i32 [K] is an input with one sample an entry.  Step t takes
 * the samples order[(t·batch + i) mod (K − K mod batch)], i < batch. */
typedef struct be_batching {
    be_value order;
    int64_t batch;
    int clip; /* instead of starting over behind the end of the order, leave places empty */
} be_batching;

typedef struct be_field {
    const char *name; /* of the input that is made for it: see stride */
    int64_t count;    /* samples of the set */
    be_shape sample;  /* dtype and dimensions of one: rank 0 is one number, at most 3 */
    /* u8 alone: x = (byte / 255 − mean[c]) / std[c] as f32, where c goes over the first dimension
     * of a sample, which is 1 to 4. */
    int normalize;
    float mean[4], std[4];
    int target; /* i32 alone: empty places are −1, which a loss passes over; else they are 0 */
    /* Elements from one sample to the next.  0: those of a sample, and the input is [count,
     * dimensions of a sample].  Else the input has one dimension, of (count − 1) · stride + the
     * elements of a sample: with less than these the samples overlap, as windows over a text do.
     * Not with `normalize`. */
    int64_t stride;
} be_field;

/* The field's part of the batch: [batch, dimensions of a sample].  All fields that are gathered in
 * one way are copied by one op; at most 6. */
be_value be_gather(be_graph *g, const be_field *field, const be_batching *batching);

/* The common case: images u8 [COUNT, C, H, W], normalised, labels i32 [COUNT] as targets and order
 * i32 [K] are inputs named "images", "labels", "order". */
typedef struct be_batch_options {
    int64_t count, order_count;
    int batch, channels, height, width; /* channels <= 4 */
    float mean[4], std[4];
    int clip; /* see be_batching: targets of −1 (evaluation) */
} be_batch_options;

typedef struct be_batch {
    be_value images, labels, order; /* inputs */
    be_value x, target;             /* f32 [batch, C, H, W], i32 [batch] */
} be_batch;

be_batch be_data_batch(be_graph *g, const be_batch_options *options);

/* Training: which loss is made small, and how. */

#define BE_OPTIMIZER_LIST(X) \
    X(SGD, "sgd")            \
    X(ADAM, "adam")          \
    X(ADAMW, "adamw")        \
    X(NO_UPDATE, "none")

typedef enum be_optimizer_kind {
#define X(name, text) BE_##name,
    BE_OPTIMIZER_LIST(X)
#undef X
} be_optimizer_kind;

/* How the learning rate goes over the steps, counted from 0 by the plan's clock: it is the
 * optimizer's times
 *
 *     (t + 1) / (warmup_steps + 1)                      in step t < warmup_steps, and then
 *     1                                                 of BE_RATE_CONSTANT,
 *     f + (1 − f) · (1 + cos(π · p)) / 2                of BE_RATE_COSINE, f = final_factor,
 *                                                       p = (t − warmup_steps) /
 *                                                           (total_steps − warmup_steps),
 *     f + (1 − f) · (1 − p)                             of BE_RATE_LINEAR,
 *     f                                                 of these two from step total_steps on
 *
 * (Loshchilov and Hutter, "SGDR", 2017), worked out in double and kept as f32.  The device looks it
 * up by its own clock, so a training goes on with the right one wherever it is resumed. */
#define BE_SCHEDULE_LIST(X)      \
    X(RATE_CONSTANT, "constant") \
    X(RATE_COSINE, "cosine")     \
    X(RATE_LINEAR, "linear")

typedef enum be_schedule_kind {
#define X(name, text) BE_##name,
    BE_SCHEDULE_LIST(X)
#undef X
} be_schedule_kind;

typedef struct be_schedule {
    be_schedule_kind kind;
    int64_t warmup_steps, total_steps; /* total_steps: above warmup_steps; 0 of BE_RATE_CONSTANT */
    double final_factor;               /* 0 to 1; 0 of BE_RATE_CONSTANT */
} be_schedule;

/* What the rate of a step is multiplied by. */
double be_schedule_factor(const be_schedule *schedule, int64_t step);

/* The update rules are PyTorch's (torch.optim.SGD without dampening or Nesterov, Adam, AdamW).
 * BE_NO_UPDATE computes the gradients and changes nothing: for who times or reads them alone.  Its
 * other members are 0. */
typedef struct be_optimizer {
    be_optimizer_kind kind;
    double learning_rate; /* can be changed between steps: be_plan_set_learning_rate */
    double momentum;      /* SGD */
    double weight_decay;
    double beta1, beta2, epsilon; /* Adam, AdamW; 0 means 0.9, 0.999, 1e-8 */
    /* Before the update all gradients together are scaled to this length where they are longer, as
     * torch.nn.utils.clip_grad_norm_ does it; 0: they stay as they are.  What be_plan_read gives of
     * a gradient is what was scaled; the length before: be_plan_gradient_norms. */
    double max_gradient_norm;
    be_schedule schedule;
} be_optimizer;

/* Make `loss` small, any f32 [1]; its gradient goes back through every operation to the parameters.
 * be_plan_losses gives the loss of each step, and with it the number of right answers that the op
 * of the loss counted (be_softmax_cross_entropy; be_symmetric_cross_entropy: of its rows), or what
 * be_graph_count names instead; 0 without either. */
void be_graph_minimize(be_graph *g, be_value loss, const be_optimizer *optimizer);

/* Let the gradient of `y` be `dy`, f32 of y's shape, instead of what the loss would send back: what
 * an operation gets from the network behind it, where it is looked at alone.  The loss is then only
 * what be_plan_losses gives; y is made before it. */
void be_graph_seed(be_graph *g, be_value y, be_value dy);

/* What be_plan_losses gives beside the loss: any i32 [1].  `what` is the share of a step's samples
 * that it makes, as be_plan_facts.counted names it to people: "accuracy" (that of
 * be_softmax_cross_entropy), "retrieval at 1". */
void be_graph_count(be_graph *g, be_value right, const char *what);

#ifdef __cplusplus
}
#endif

#endif
