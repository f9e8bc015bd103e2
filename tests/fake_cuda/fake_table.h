/* The fake cuDNN's operation graphs that are no convolution: tables of products, pointwise
 * operations, reductions and views, computed one after the other in double, with what each tensor
 * keeps of a number. */
#ifndef TESTS_FAKE_TABLE_H
#define TESTS_FAKE_TABLE_H

#include "fake_cudnn.h"

#define FAKE_TENSORS 64
#define FAKE_OPERATIONS 32

typedef struct fake_tensor {
    int64_t id, dims[4], strides[4];
    int type;
    bool inner, is_number, written;
} fake_tensor;

typedef struct fake_operation {
    cudnn_kind kind;
    int mode;
    int64_t axis;
    int in[3], out, lengths[3]; /* places of tensors, −1: none */
} fake_operation;

typedef struct fake_table {
    int tensor_count, operation_count;
    fake_tensor tensors[FAKE_TENSORS];
    fake_operation operations[FAKE_OPERATIONS];
} fake_table;

/* One execution: the table lives as long as its plan. */
typedef struct fake_table_work {
    const fake_table *table;
    fake_engine engine;
    void *work;
    void *at[FAKE_TENSORS]; /* by the tensors' places */
} fake_table_work;

void fake_table_run(const void *work);

#endif
