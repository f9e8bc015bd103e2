/* Matrix products in double for the interpreter: c += a · b, blocked, on several threads.
 *
 * The meaning of an op stays its plain loop; this is how the same sums are made where there are
 * many of them.  Each element of c is summed by one thread in the order of k, so that the bits do
 * not depend on how many threads there are. */
#ifndef GRAPH_REFERENCE_PRODUCT_H
#define GRAPH_REFERENCE_PRODUCT_H

#include <stdint.h>

#include "core/memory.h"

/* Element (i, j) of a matrix is data[row[i] + column[j]]: whatever lies at regular distances, its
 * transpose, and the windows of a convolution. */
typedef struct product_matrix {
    double *data; /* a and b are only read */
    const int64_t *row, *column;
} product_matrix;

typedef struct product {
    int64_t m, n, k;
    product_matrix a, b, c; /* m × k, k × n, m × n */
    int lanes;              /* of vectors, at most: 2, 4 or 8; 0: as many as the processor has */
} product;

/* BE_NO_MEMORY, and c is not touched, if there is no room for the blocks. */
BE_CHECKED be_status product_run(const product *p, int threads, be_error *err);

/* The same for matrices at regular distances. */
typedef struct product_stride {
    double *data;
    int64_t row, column;
} product_stride;

typedef struct product_strided {
    int64_t m, n, k;
    product_stride a, b, c;
    int lanes;
} product_strided;

BE_CHECKED be_status product_run_strided(const product_strided *p, int threads, be_error *err);

#endif
