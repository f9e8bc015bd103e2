/* The ladder of standard models: what each is, how it is built, and its defaults.
 * One file a model; one line here.  Parameter counts are exact and tested. */
#ifndef WORKLOADS_WORKLOAD_H
#define WORKLOADS_WORKLOAD_H

#include <stdbool.h>

#include "breakeven/plan.h"
#include "data/dataset.h"
#include "data/table.h"

/* What a variant of a workload may change: the one list of it.  Options, axes of `sweep`, members
 * of the protocol and of records follow from it.  id, member and its word everywhere, how a value
 * of it is told (before and after the number), the largest, what it is called as an axis, the
 * option's argument and help. */
#define WORKLOAD_VARIANT_LIST(X)                                                                  \
    X(WIDTH, width, "a width of", "units", 16384, "width", "N",                                   \
      "every hidden layer N times as wide (small networks), or the width of the model in units "  \
      "(Transformers)")                                                                           \
    X(SIZE, size, "pictures of", "pixels", 32768, "size", "PIXELS",                               \
      "scale the pictures to PIXELS × PIXELS, by the nearest pixel; the edge of an operation's " \
      "matrices")                                                                                 \
    X(LAYERS, layers, "a depth of", "layers", 1024, "number of layers", "N",                      \
      "give the model N layers")                                                                  \
    X(HEADS, heads, "attention of", "heads", 1024, "number of heads", "N",                        \
      "give each attention N heads")                                                              \
    X(SEQ, seq, "sequences of", "tokens", 1 << 20, "sequence length", "TOKENS",                   \
      "train on sequences of TOKENS tokens")                                                      \
    X(VOCAB, vocab, "a vocabulary of", "tokens", 1 << 20, "vocabulary", "TOKENS",                 \
      "give the model a vocabulary of TOKENS tokens")                                             \
    X(CHANNELS, channels, "pictures of", "channels", 4096, "number of channels", "N",             \
      "convolve pictures of N channels (op:conv2d)")                                              \
    X(KERNEL, kernel, "windows of", "pixels", 31, "kernel", "PIXELS",                             \
      "convolve with windows of PIXELS × PIXELS (op:conv2d)")                                     \
    X(TO, to, "resized to", "pixels", 4096, "size of the result", "PIXELS",                       \
      "resize the pictures to PIXELS × PIXELS (op:resize)")                                       \
    X(M, m, "an m of", "rows", 1 << 20, "number of rows", "ROWS",                                 \
      "multiply ROWS rows (op:matmul and op:bmm, whose matrices are square "                      \
      "without)")                                                                                 \
    X(N, n, "an n of", "columns", 1 << 20, "number of columns", "COLUMNS",                        \
      "multiply by COLUMNS columns (op:matmul, op:bmm)")                                          \
    X(K, k, "a k of", "terms", 1 << 20, "number of terms", "TERMS",                               \
      "add up TERMS products for each element of the result (op:matmul, op:bmm)")                 \
    X(TIMES, times, "a step of", "repetitions", 10000, "number of repetitions", "N",              \
      "compute the operation N times per step, each time on the result before (op:...)")

/* A small network's own width is 1: its variants are told and bounded in times its own. */
#define WORKLOAD_WIDTH_TIMES 64
/* The edge of a picture; what the list has is that of an operation's matrices. */
#define WORKLOAD_PIXELS 1024
/* In `own`, of a dimension that is as large as `size` where nobody says otherwise. */
#define WORKLOAD_AS_SIZE -1

typedef enum workload_dimension {
#define X(id, ...) WORKLOAD_##id,
    WORKLOAD_VARIANT_LIST(X)
#undef X
        WORKLOAD_DIMENSIONS
} workload_dimension;

/* How a dimension is told where a workload means something else by it. */
typedef struct workload_words {
    const char *before, *after;
} workload_words;

/* A workload at another size: the same code, the same ops and names.  0: the workload's own. */
typedef struct workload_variant {
#define X(id, member, ...) int member;
    WORKLOAD_VARIANT_LIST(X)
#undef X
} workload_variant;

extern const char *const workload_dimension_names[WORKLOAD_DIMENSIONS];
extern const int workload_dimension_most[WORKLOAD_DIMENSIONS]; /* of any: see workload_most */

int *workload_variant_at(workload_variant *variant, workload_dimension dimension);
int workload_variant_get(const workload_variant *variant, workload_dimension dimension);

/* What the gate computes in double: a batch and a variant of which every dimension is at most
 * `most` (0: as asked for).  Small, because the reference takes its time; three steps, because the
 * second loss shows the gradients and the third the optimizer's state. */
typedef struct workload_gate {
    int batch, steps;
    workload_variant most;
    /* Batch norms start with biases of ±2.5, every other one: so what ReLU is given lies hardly
     * ever near 0, where each rounding decides otherwise and one flip moves all gradients by
     * percents. */
    bool apart;
    /* Of the learning rate, which is for a batch of the workload's own size; 0: all of it.  At the
     * full rate and a batch of 2 a residual network's loss climbs into the thousands in three
     * steps, and what bf16 rounds with it: every engine would leave its limit. */
    double rate;
} workload_gate;

/* What `build` makes of a batch; what it is given in it is `group` alone. */
#define WORKLOAD_TRACES 8
typedef struct workload_outputs {
    be_group *group; /* with whose ranks' samples those of the batch are compared, too; or NULL */
    be_value loss;
    /* Where samples look for each other: i32 [1], the right answers in the direction that the loss
     * does not count, of captions to pictures. */
    bool is_mutual;
    be_value back;
    int traced; /* values that engines are compared by, beside the batch and the loss: "logits" */
    be_value trace[WORKLOAD_TRACES];
    const char *trace_name[WORKLOAD_TRACES];
} workload_outputs;

/* Which way an operation alone moves its operand between the memories of the host and the device.
 */
typedef enum workload_link {
    WORKLOAD_WITHIN, /* everything lies on the device */
    WORKLOAD_UP,     /* to the device; the forward pass is all that there is, and … */
    WORKLOAD_DOWN    /* … so it is to the host */
} workload_link;

typedef struct workload {
    const char *name, *summary;
    const char
        *dataset; /* id in the data layer: "mnist", "tokens"; what --synthetic stands in for */
    /* The fields that it reads, with the shapes of their samples; of `v` every dimension is given.
     * What the data has beside them is not looked at. */
    void (*form)(const workload_variant *v, data_table *out);
    /* Bring the data to the sizes of the variant, in memory of its own (memory_free); NULL: it
     * never differs. */
    be_status (*fit)(const workload_variant *v, data_table *data, be_error *err);
    /* A split of what it learns from, at the sizes of the variant `v`, of which every dimension is
     * given: loaded or generated as the options say. */
    be_status (*data)(const struct workload *w, const workload_variant *v, dataset_split split,
                      const dataset_options *options, be_dataset **out, be_error *err);
    int64_t parameters;
    int64_t drawn[2];  /* samples to train and to test on of the set that is drawn for it; 0: its
                          set is one of the catalog's */
    int batch, epochs; /* defaults */
    be_optimizer optimizer;
    bool matrices_decay;  /* `build` spares what has fewer than two dimensions the weight decay */
    bool perplexity;      /* the exponential of its loss says something: that of a text's tokens */
    workload_variant own; /* its own dimensions; 0: it has none such */
    workload_gate gate;
    /* `fields`: the batch of each field of `form`, in that order. */
    void (*build)(be_graph *g, const be_value *fields, const workload_variant *v,
                  workload_outputs *out);
    /* Of an operation alone, in the place of `build`: adds its operands and returns its result. */
    be_value (*operate)(be_graph *g, const workload_variant *v, int64_t batch);
    workload_link link;
    const workload_words *words[WORKLOAD_DIMENSIONS]; /* NULL: those of the list */
    workload_variant variant;                         /* all 0 in the ladder */
    bool is_gate;                                     /* made by workload_at_gate */
    /* A model of the user's own, as it was named: a file, or module:function.  It has no form, data
     * and build; only the runner of its library knows it.  NULL in the ladder. */
    const char *file;
    const char *library; /* of that model: the engine "torch", "tensorflow" or "mlx" */
} workload;

#define WORKLOAD_TEXT 320 /* bytes of a variant's text */

#define WORKLOAD_LIST(X) \
    X(mlp_mnist)         \
    X(cnn_mnist)         \
    X(cnn_cifar)         \
    X(cnn_fashion)       \
    X(cnn5_fashion)      \
    X(resnet18_cifar)    \
    X(resnet18)          \
    X(resnet50)          \
    X(encoder)           \
    X(clip)              \
    X(bert_base)         \
    X(gpt2)              \
    X(clip_b16)          \
    X(clip_l14)

#define X(name) extern const workload workload_##name;
WORKLOAD_LIST(X)
#undef X

#define X(name) +1
enum { WORKLOAD_COUNT = 0 WORKLOAD_LIST(X) };
#undef X

extern const workload *const workload_table[WORKLOAD_COUNT];

/* Operations that are timed alone (operations.c): no networks, and not in that table. */
#define OPERATION_LIST(X) \
    X(op_matmul)          \
    X(op_bmm)             \
    X(op_attention)       \
    X(op_conv2d)          \
    X(op_add)             \
    X(op_gelu)            \
    X(op_softmax)         \
    X(op_copy)            \
    X(op_upload)          \
    X(op_download)        \
    X(op_resize)          \
    X(op_augment)         \
    X(op_launch)

#define X(name) extern const workload workload_##name;
OPERATION_LIST(X)
#undef X

#define X(name) +1
enum { OPERATION_COUNT = 0 OPERATION_LIST(X) };
#undef X

extern const workload *const operation_table[OPERATION_COUNT];

/* Every name of the two tables, with a space behind each. */
#define WORKLOAD_NAMES 512
const char *workload_names(char out[WORKLOAD_NAMES]);

/* Of both tables.  BE_USAGE with the list of names if there is none of this name. */
be_status workload_find(const char *name, const workload **out, be_error *err);

/* Whether the name is that of a user's own file (mymodel.py) or function (module:function). */
bool workload_is_file(const char *name);

/* What is measured of it where nobody says otherwise, as PyTorch's; `name` is borrowed. */
workload workload_of_file(const char *name);

/* The library that such a file, or the file of such a module in the current folder, imports:
 * "torch" of one with torch, "tensorflow" of one with keras or tensorflow, "mlx"; else "torch". */
const char *workload_file_library(const char *name);

/* *out is a variant of a workload of the ladder, made in *room with its parameters counted, or
 * `base` itself where the variant changes nothing.  BE_USAGE for a dimension that the workload does
 * not have, for one out of range, and if nothing would be left for a layer, with what is missing.
 */
be_status workload_vary(const workload *base, const workload_variant *variant, workload *room,
                        const workload **out, be_error *err);

/* The largest value that a dimension of this workload may have. */
int workload_most(const workload *base, workload_dimension d);

/* Its dimensions with the workload's own where its variant gives none. */
workload_variant workload_complete(const workload *w);

/* "a width of 2 times its own, 3 layers and pictures of 6 pixels", with `first` before the first
 * and `last` before the last; "" where nothing is varied. */
const char *workload_variant_text(const workload *base, const workload_variant *variant,
                                  const char *first, const char *last, char out[WORKLOAD_TEXT]);

/* The variant in which the gate computes `w`; *reduced: it is smaller than w. */
workload_variant workload_gate_variant(const workload *w, bool *reduced);

/* A variant as the gate computes it, made in *room: with the gate's start. */
const workload *workload_at_gate(const workload *variant, workload *room);

/* The fields that it reads, with `count` samples and no bytes; normalised fields become byte / 255
 * there. */
data_table workload_form(const workload *w, int64_t count);

/* Targets that a sample of this form has, of which each may be met: its classes, or its next
 * tokens; 0: the loss compares samples with one another, as CLIP's. */
int64_t workload_targets(const data_table *form);

/* A split of the workload's data at the sizes of its variant.  Free with dataset_close. */
be_status workload_data(const workload *w, dataset_split split, const dataset_options *options,
                        be_dataset **out, be_error *err);

/* What the operations share: nothing is read, and their results are the outputs. */
void operation_build(be_graph *g, const workload *w, const workload_variant *v, int64_t batch,
                     workload_outputs *out);

/* Bring data that its owner frees by memory_free to the sizes of the workload's variant. */
be_status workload_fit(const workload *w, data_table *data, be_error *err);

typedef struct workload_options {
    uint64_t seed;
    int batch;              /* 0: the default */
    const data_table *data; /* NULL: workload_form with `count` samples, for plans */
    int64_t count;
    int64_t order_count;           /* entries of the order; 0: as many as samples */
    bool clip;                     /* see be_batching */
    const be_optimizer *optimizer; /* NULL: the default */
    be_group *group;               /* see workload_outputs */
} workload_options;

/* A whole training graph of a workload over a data set. */
typedef struct workload_model {
    be_graph *graph; /* the caller frees it */
    be_value order;  /* the input */
    data_table form; /* what it reads of the data, in this order */
    be_value inputs[TABLE_FIELDS], batch[TABLE_FIELDS];
    workload_outputs outputs;
    /* What engines are compared by, in the order of a trace: the batch (one field is "input", of
     * several each is "input.FIELD"; targets likewise), the outputs, the loss. */
    int traced;
    be_value trace[TABLE_FIELDS + WORKLOAD_TRACES + 1];
    char trace_name[TABLE_FIELDS + WORKLOAD_TRACES + 1][64];
} workload_model;

/* BE_USAGE with one sentence where the data has not what the workload reads. */
be_status workload_model_new(const workload *w, const workload_options *options,
                             workload_model *out, be_error *err);

/* BE_USAGE where the workload has no products: a precision is one of products, and would be a name
 * without effect. */
be_status workload_check_precision(const workload *w, be_precision precision, be_error *err);

/* Let the plan read the data's fields from where they are, which stays there. */
be_status workload_bind(const workload_model *model, be_plan *plan, const data_table *data,
                        be_error *err);

#endif
