/* cuDNN's descriptors: made, filled, given back; and an operation graph made from its table. */
#ifndef BACKEND_CUDA_CUDNN_BUILD_H
#define BACKEND_CUDA_CUDNN_BUILD_H

#include "backend/cuda/cuda_math.h"
#include "backend/cuda/cudnn_graph.h"

#define CUDNN_DESCRIPTORS_MOST 128

/* Owns all that was made with it, in order. */
typedef struct cudnn_builder {
    const cuda_math *math;
    cudnn_descriptor owned[CUDNN_DESCRIPTORS_MOST];
    int count;
} cudnn_builder;

/* An attribute's values; with a count of 0 it is left out. */
typedef struct cudnn_setting {
    cudnn_attribute attribute;
    cudnn_type type;
    int64_t count;
    const void *values;
} cudnn_setting;

be_status cudnn_make(cudnn_builder *b, cudnn_kind kind, cudnn_descriptor *out, be_error *err);
void cudnn_drop(cudnn_builder *b); /* the last that was made */
void cudnn_drop_all(cudnn_builder *b);

/* Set them and finalize.  `what` for the error's text. */
be_status cudnn_set_all(cudnn_builder *b, cudnn_descriptor d, const cudnn_setting *settings,
                        int count, const char *what, be_error *err);

#define CUDNN_SET_ALL(builder, descriptor, what, ...)                                            \
    cudnn_set_all((builder), (descriptor), (const cudnn_setting[]){__VA_ARGS__},                 \
                  (int)(sizeof((cudnn_setting[]){__VA_ARGS__}) / sizeof(cudnn_setting)), (what), \
                  err)

#define CUDNN_ONE(attribute, type, pointer)                 \
    {                                                       \
        DNN_ATTR_##attribute, DNN_TYPE_##type, 1, (pointer) \
    }

/* BE_UNAVAILABLE for what cuDNN cannot do, BE_DRIVER for what is broken. */
be_status cudnn_refuse(const cuda_math *math, const char *what, cudnn_status status, be_error *err);

/* With or without a handle. */
be_status cudnn_build_graph(cudnn_builder *b, const cudnn_graph *graph, cudnn_handle handle,
                            cudnn_descriptor *out, be_error *err);

#endif
