/* Attributes of the convolution ops, shared by their implementations. */
#ifndef OPS_CONV2D_CONV2D_H
#define OPS_CONV2D_CONV2D_H

#include "ops/eltwise/activation.h"
#include "ops/op_list.h"
#include "ops/op_util.h"

typedef struct conv2d_attrs {
    int stride[2], padding[2]; /* of rows, of columns */
    bool square_window;        /* forward: a 2 × 2 pool behind may be absorbed */
    be_activation activation;  /* forward: y = f(conv + bias) */
    int keep_z;                /* … and output 1 is conv + bias, for what flows back through f */
    bool need_dx;              /* backward: the input's gradient is wanted */
    bool no_bias;              /* backward: there is none, and no gradient of it */
} conv2d_attrs;

/* The sizes of one use, from the shapes of x [N, C, H, W], w [O, C, K, L] and the attributes; pairs
 * are of rows and of columns. */
typedef struct conv2d_sizes {
    int64_t n, c, h, w, o, k[2];
    int64_t oh, ow; /* of the convolution, before any pooling */
    int64_t ph, pw; /* after pooling 2 × 2 */
    int stride[2], padding[2];
} conv2d_sizes;

/* `reference` with its products in blocks; see graph/op.h. */
be_status conv2d_blocked(const op_reference *call, be_error *err);
be_status conv2d_backward_blocked(const op_reference *call, be_error *err);

/* dx of the double reference before anything is added: the sum, or zero; nothing without dx. */
void conv2d_begin_dx(const op_reference *call);

conv2d_sizes conv2d_size(const conv2d_attrs *attrs, const be_shape *x, const be_shape *w);

/* Stride 1, and a square window with the same padding of rows and columns. */
bool conv2d_is_square(const conv2d_attrs *attrs, const be_shape *w);

/* Is it one product of rows, of which each is a patch of the image: do the windows lie side by
 * side, without anything behind, and no gradient of x is wanted?  `in`: the shapes of the inputs.
 */
bool conv2d_takes_patches(const conv2d_attrs *attrs, const be_shape *in, bool backward);

/* What the elements of a patch divide by: rows lie at 16 bytes in every type, as tensor cores want
 * them. */
#define CONV2D_PATCH_STEP 8

/* The most channels with which images stay plain on the CPU: no lane is wasted on them. */
#define CONV2D_PLAIN_CHANNELS 4

#define CONV2D_BACK_SUM 4 /* input: the gradient of x until now, to which dx is added */
#define CONV2D_NO_INDEX 4 /* in a pool's index: ReLU gave 0 everywhere, nothing flows back */

#endif
