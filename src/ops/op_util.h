/* What most ops need: checking shapes with a useful text, and common costs. */
#ifndef OPS_OP_UTIL_H
#define OPS_OP_UTIL_H

#include "graph/graph.h"

#define OP_CASES(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define OP_ANY_RANK (-2)
#define OP_ABSENT   \
    {               \
        BE_F32, -1, \
        {           \
            0       \
        }           \
    }

/* "NAME: expected f32 of 4 dimensions, found …" unless dtype and rank are right. */
be_status op_expect(const be_shape *shape, be_dtype dtype, int rank, const char *name,
                    be_error *err);

/* f32 of at least one dimension, which are rows of something. */
be_status op_expect_rows(const be_shape *shape, const char *name, be_error *err);

/* As op_expect for the first operand of a product: f32, or bf16. */
be_status op_expect_operand(const be_shape *shape, int rank, const char *name, be_error *err);

/* The same shape as another. */
be_status op_expect_same(const be_shape *shape, const be_shape *expected, const char *name,
                         be_error *err);

/* Cost of an op that does about one operation an output element: reads all inputs, writes all
 * outputs once. */
op_cost op_cost_elementwise(const void *attrs, const be_shape *in, const be_shape *out);

/* Bytes of all inputs and outputs. */
double op_bytes(const be_shape *in, const be_shape *out);

#endif
