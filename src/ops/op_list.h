/* The one list of ops: one line an op, a column an implementation.  Every table, the support matrix
 * and the test matrix expand from it.  An op lives in the folder of its family. */
#ifndef OPS_OP_LIST_H
#define OPS_OP_LIST_H

#include "graph/op.h"

/*    op                      cpu onednn gpu cudnn blas (cuBLASLt and CLBlast): of cudnn and blas at
      most one */
#define OP_LIST(X)                                 \
    X(relu, 1, 0, 1, 0, 0)                         \
    X(relu_backward, 1, 0, 1, 0, 0)                \
    X(softmax_cross_entropy, 1, 0, 1, 0, 0)        \
    X(softmax_cross_entropy_loss, 1, 0, 1, 0, 0)   \
    X(symmetric_cross_entropy, 1, 0, 1, 0, 0)      \
    X(advance, 1, 0, 1, 0, 0)                      \
    X(sgd, 1, 0, 1, 0, 0)                          \
    X(adam, 1, 0, 1, 0, 0)                         \
    X(adamw, 1, 0, 1, 0, 0)                        \
    X(schedule, 1, 0, 1, 0, 0)                     \
    X(all_reduce, 1, 0, 1, 0, 0)                   \
    X(all_gather, 1, 0, 1, 0, 0)                   \
    X(all_gather_backward, 1, 0, 1, 0, 0)          \
    X(take_turn, 1, 0, 1, 0, 0)                    \
    X(clip_gradients, 1, 0, 1, 0, 0)               \
    X(dropout, 1, 0, 1, 0, 0)                      \
    X(data_batch, 1, 0, 1, 0, 0)                   \
    X(conv2d, 1, 1, 1, 1, 0)                       \
    X(conv2d_backward, 1, 1, 1, 1, 0)              \
    X(conv2d_pool, 1, 1, 1, 0, 0)                  \
    X(conv2d_pool_backward, 1, 1, 1, 0, 0)         \
    X(linear, 1, 1, 1, 0, 1)                       \
    X(linear_backward, 1, 1, 1, 0, 1)              \
    X(matmul, 1, 1, 1, 0, 1)                       \
    X(attention, 1, 0, 1, 1, 0)                    \
    X(attention_backward, 1, 0, 1, 1, 0)           \
    X(max_pool2d, 1, 0, 1, 0, 0)                   \
    X(max_pool2d_backward, 1, 0, 1, 0, 0)          \
    X(average_pool2d, 1, 0, 1, 0, 0)               \
    X(average_pool2d_backward, 1, 0, 1, 0, 0)      \
    X(global_average_pool, 1, 0, 1, 0, 0)          \
    X(global_average_pool_backward, 1, 0, 1, 0, 0) \
    X(batch_norm, 1, 0, 1, 0, 0)                   \
    X(batch_norm_infer, 1, 0, 1, 0, 0)             \
    X(batch_norm_backward, 1, 0, 1, 0, 0)          \
    X(add, 1, 0, 1, 0, 0)                          \
    X(subtract, 1, 0, 1, 0, 0)                     \
    X(multiply, 1, 0, 1, 0, 0)                     \
    X(cast, 1, 0, 1, 0, 0)                         \
    X(activation, 1, 0, 1, 0, 0)                   \
    X(activation_backward, 1, 0, 1, 0, 0)          \
    X(bias, 1, 0, 1, 0, 0)                         \
    X(sum_rows, 1, 0, 1, 0, 0)                     \
    X(sum_to, 1, 0, 1, 0, 0)                       \
    X(expand, 1, 0, 1, 0, 0)                       \
    X(layer_norm, 1, 0, 1, 0, 0)                   \
    X(layer_norm_backward, 1, 0, 1, 0, 0)          \
    X(embedding, 1, 0, 1, 0, 0)                    \
    X(embedding_backward, 1, 0, 1, 0, 0)           \
    X(slice, 1, 0, 1, 0, 0)                        \
    X(slice_backward, 1, 0, 1, 0, 0)               \
    X(concat, 1, 0, 1, 0, 0)                       \
    X(concat_backward, 1, 0, 1, 0, 0)              \
    X(gather_rows, 1, 0, 1, 0, 0)                  \
    X(gather_rows_backward, 1, 0, 1, 0, 0)         \
    X(find_token, 1, 0, 1, 0, 0)                   \
    X(mean_tokens, 1, 0, 1, 0, 0)                  \
    X(mean_tokens_backward, 1, 0, 1, 0, 0)         \
    X(l2_normalize, 1, 0, 1, 0, 0)                 \
    X(l2_normalize_backward, 1, 0, 1, 0, 0)        \
    X(exp, 1, 0, 1, 0, 0)                          \
    X(exp_backward, 1, 0, 1, 0, 0)                 \
    X(transpose, 1, 0, 1, 0, 0)                    \
    X(softmax, 1, 0, 1, 0, 0)                      \
    X(softmax_backward, 1, 0, 1, 0, 0)             \
    X(resize, 1, 0, 1, 0, 0)                       \
    X(resize_backward, 1, 0, 1, 0, 0)              \
    X(augment, 1, 0, 1, 0, 0)                      \
    X(augment_backward, 1, 0, 1, 0, 0)             \
    X(clone, 1, 0, 1, 0, 0)                        \
    X(upload, 1, 0, 1, 0, 0)                       \
    X(download, 1, 0, 1, 0, 0)                     \
    X(view, 1, 0, 1, 0, 0)                         \
    X(reorder, 1, 0, 1, 0, 0)

/* Columns of 0 and 1 choose what a line expands to: OP_IF_1(a) is a, OP_IF_0(a) is nothing. */
#define OP_IF_0(a)
#define OP_IF_1(a) a

#define X(name, ...) extern const be_op be_op_##name;
OP_LIST(X)
#undef X

#define X(name, ...) +1
enum { OP_COUNT = 0 OP_LIST(X) };
#undef X

/* All ops in the order of the list. */
extern const be_op *const op_table[OP_COUNT];

/* The op of this name, or NULL. */
const be_op *op_find(const char *name);

#endif
