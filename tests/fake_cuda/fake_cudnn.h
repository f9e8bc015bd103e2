/* What the two halves of the fake cuDNN share: fake_cudnn.c has the descriptors and the choice of
 * engines; fake_convolution.c computes. */
#ifndef TESTS_FAKE_CUDNN_H
#define TESTS_FAKE_CUDNN_H

#include <stdbool.h>

#include "backend/cuda/cudnn_api.h"

/* The engines, by number, in the order in which its heuristics give them. */
typedef enum fake_engine {
    ENGINE_TENSOR_CORE,      /* operands in tf32 */
    ENGINE_NONDETERMINISTIC, /* wrong on purpose, as are all that may not be taken */
    ENGINE_WINOGRAD,
    ENGINE_BROKEN, /* its plan does not finalise */
    ENGINE_LARGE,  /* its workspace is more than anyone has */
    ENGINE_GOOD,
    ENGINE_COUNT
} fake_engine;

#define FAKE_WORKSPACE 8192

/* For tests: a clock that convolutions move, and how many there were. */
extern int64_t fake_cudnn_ns, fake_cudnn_convolutions;

typedef struct fake_convolution {
    cudnn_kind kind; /* of its operation */
    fake_engine engine;
    int64_t x[4], w[4], y[4]; /* dimensions */
    int64_t stride[2], padding[2];
    bool last, bf16; /* how all three lie, and their type */
    void *at_x, *at_w, *at_y;
    const float *bias; /* NULL: none */
    bool relu, keeps_nan;
    void *work;
} fake_convolution;

void fake_convolve(const void *convolution);

#endif
