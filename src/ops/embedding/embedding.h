/* Attributes of embedding and embedding_backward. */
#ifndef OPS_EMBEDDING_EMBEDDING_H
#define OPS_EMBEDDING_EMBEDDING_H

#include "graph/graph.h"

typedef struct embedding_attrs {
    int has_padding;
    int64_t padding; /* then this row gets no gradient */
} embedding_attrs;

#define EMBEDDING_NO_PADDING (-1)

#define EMBEDDING_BACK_SUM 2 /* input: the table's gradient until now, added to in place */

typedef struct embedding_backward_attrs {
    int64_t padding, rows; /* padding may be EMBEDDING_NO_PADDING; rows: of the table */
} embedding_backward_attrs;

#endif
