/* The ladder of standard models: what each is, how it is built, and its defaults.
 * One file a model; one line here.  Parameter counts are exact and tested. */
#ifndef WORKLOADS_WORKLOAD_H
#define WORKLOADS_WORKLOAD_H

#include <stdbool.h>

#include "breakeven/plan.h"

/* A workload at another size, to be measured where the ladder has none. */
typedef struct workload_variant {
    int times; /* every hidden layer is so many times as wide; 0: 1 */
    int size;  /* edge of the pictures in pixels; 0: the workload's own */
} workload_variant;

typedef struct workload {
    const char *name, *summary;
    const char *dataset; /* id in the data layer: "mnist", "fashion-mnist", "cifar-10" */
    int channels, height, width, classes;
    int64_t parameters;
    int batch, epochs; /* defaults */
    be_optimizer optimizer;
    /* x f32 [N, C, H, W] -> logits f32 [N, classes]; every hidden layer is `times` as wide. */
    be_value (*build)(be_graph *g, be_value x, int times);
    workload_variant variant; /* all 0 in the ladder */
} workload;

#define WORKLOAD_LIST(X) \
    X(mlp_mnist)         \
    X(cnn_mnist)         \
    X(cnn_cifar)         \
    X(cnn_fashion)       \
    X(cnn5_fashion)

#define X(name) extern const workload workload_##name;
WORKLOAD_LIST(X)
#undef X

#define X(name) +1
enum { WORKLOAD_COUNT = 0 WORKLOAD_LIST(X) };
#undef X

extern const workload *const workload_table[WORKLOAD_COUNT];

/* BE_USAGE with the list of names if there is none of this name. */
be_status workload_find(const char *name, const workload **out, be_error *err);

#define WORKLOAD_TIMES_MAX 64
#define WORKLOAD_SIZE_MAX 1024

/* *out is a variant of a workload of the ladder, made in *room with its parameters counted, or
 * `base` itself where the variant changes nothing.  BE_USAGE if a layer would be left without
 * pixels, with what is missing. */
be_status workload_vary(const workload *base, const workload_variant *variant, workload *room,
                        const workload **out, be_error *err);

typedef struct workload_options {
    uint64_t seed;
    int batch;           /* 0: the default */
    int64_t count;       /* images of the data set */
    int64_t order_count; /* entries of the order; 0: count */
    float mean[4], std[4];
    bool clip;                     /* see be_batch_options */
    const be_optimizer *optimizer; /* NULL: the default */
} workload_options;

/* A whole training graph of a workload over a data set on the device. */
typedef struct workload_model {
    be_graph *graph; /* the caller frees it */
    be_batch batch;
    be_value logits, loss;
} workload_model;

be_status workload_model_new(const workload *w, const workload_options *options,
                             workload_model *out, be_error *err);

#endif
