/* The fake cuDNN's descriptors: bags of attributes. */
#ifndef TESTS_FAKE_BAG_H
#define TESTS_FAKE_BAG_H

#include "fake_table.h"

#define ATTRIBUTES 24
#define BYTES 1024

typedef struct bag_attribute {
    cudnn_attribute name;
    cudnn_type type;
    int64_t count;
    unsigned char data[BYTES];
} bag_attribute;

/* What an operation graph is about: a convolution without addresses and the ids of its tensors, or
 * else a table of operations. */
typedef struct meaning {
    fake_convolution c;
    int64_t x, w, y, bias; /* ids; bias 0: none */
    bool is_table;
    fake_table table;
} meaning;

typedef struct bag {
    cudnn_kind kind;
    bool final;
    int count;
    fake_engine engine; /* of an engine and its configuration */
    meaning meaning;    /* of a configuration and a plan */
    bag_attribute attributes[ATTRIBUTES];
} bag;

/* NULL if it was not set. */
const bag_attribute *find(const bag *b, cudnn_attribute name);

/* Copies the values, all `count` of them, or fails. */
bool take(const bag *b, cudnn_attribute name, int64_t count, void *out);

/* A descriptor of that kind among the attributes, or NULL. */
const bag *take_bag(const bag *b, cudnn_attribute name, cudnn_kind kind);

bool fake_tensor_read(const bag *b, fake_tensor *out);
bool fake_table_read(const bag *graph, fake_table *out);

#endif
