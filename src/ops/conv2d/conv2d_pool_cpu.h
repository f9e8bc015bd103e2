/* Between a convolution and what follows it, on blocked images: activations by formula, the 2 × 2
 * max-pool of two rows, and the way back through ReLU or pool.  Included by the convolution's CPU
 * implementations only. */
#ifndef OPS_CONV2D_CONV2D_POOL_CPU_H
#define OPS_CONV2D_CONV2D_POOL_CPU_H

#include <stdbool.h>

#include "backend/cpu/vec.h"
#include "ops/conv2d/conv2d.h"
#include "ops/eltwise/activation_cpu.h"

/* The forward run of all implementations: `products` makes z, or y where f is no formula; then y =
 * f(z). */
static inline be_status conv2d_forward(const cpu_call *call,
                                       be_status (*products)(const cpu_call *, be_error *),
                                       be_error *err)
{
    be_activation kind = ((const conv2d_attrs *)call->attrs)->activation;
    if (!activation_needs_x(kind)) return products(call, err);
    cpu_call makes_z = *call;
    if (call->out[1]) makes_z.out[0] = call->out[1];
    TRY(products(&makes_z, err));
    ACTIVATION_RUN(kind, makes_z.out[0], call->out[0], call->out_elements, call->threads);
    return BE_OK;
}

/* 2 × 2 max of two rows of one block; index of the first winner, NaN wins. */
static inline void pool_rows(const float *rows, int64_t ow, bool relu, float *y, uint8_t *index)
{
    for (int64_t j = 0; j < ow / 2; j++) {
        const vec *top = (const vec *)(rows + 2 * j * VEC);
        const vec *low = (const vec *)(rows + (ow + 2 * j) * VEC);
        vec best = top[0], rest[3] = {top[1], low[0], low[1]};
        veci at = {0};
        VEC_UNROLL for (int q = 0; q < 3; q++)
        {
            veci wins = (rest[q] > best) | (rest[q] != rest[q]);
            best = vec_select(wins, rest[q], best);
            at = (wins & (q + 1)) | (~wins & at);
        }
        if (relu) {
            veci none = best <= 0.0f;
            best = vec_select(none, vec_all(0.0f), best);
            at = (none & CONV2D_NO_INDEX) | (~none & at);
        }
        *(vec *)(y + j * VEC) = best;
        *(vecb *)(index + j * VEC) = __builtin_convertvector(at, vecb);
    }
}

/* The gradient image of a convolution's output, with a border of zeros around it. */
typedef struct spread_sizes {
    int blocks;
    int64_t oh, ow;
    int border;
} spread_sizes;

static inline float *spread_row(const spread_sizes *s, float *to, int64_t block, int64_t row)
{
    int64_t rows = s->oh + 2 * s->border, cols = s->ow + 2 * s->border;
    return to + ((block * rows + row + s->border) * cols + s->border) * VEC;
}

/* The gradient of one image through ReLU (y NULL: there was none). */
static inline void spread_relu(const spread_sizes *s, const float *y, const float *dy, float *to)
{
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t i = 0; i < s->oh; i++) {
            int64_t from = (b * s->oh + i) * s->ow * VEC;
            float *row = spread_row(s, to, b, i);
            for (int64_t j = 0; j < s->ow * VEC; j++)
                row[j] = y && y[from + j] <= 0.0f ? 0.0f : dy[from + j];
        }
}

/* … and through the pool: each gradient goes to the one input that won.  What no window covers (the
 * last row and column of odd sizes) is left as it is: zero. */
static inline void spread_pool(const spread_sizes *s, const uint8_t *index, const float *dy,
                               float *to)
{
    int64_t cols = s->ow + 2 * s->border, ph = s->oh / 2, pw = s->ow / 2;
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t i = 0; i < ph; i++) {
            int64_t from = (b * ph + i) * pw * VEC;
            float *row = spread_row(s, to, b, 2 * i);
            for (int64_t j = 0; j < pw; j++) {
                vec d = *(const vec *)(dy + from + j * VEC);
                veci at = __builtin_convertvector(*(const vecb *)(index + from + j * VEC), veci);
                VEC_UNROLL for (int q = 0; q < 4; q++)
                {
                    vec *cell = (vec *)(row + ((q / 2) * cols + 2 * j + q % 2) * VEC);
                    *cell = vec_select(at == q, d, vec_all(0.0f));
                }
            }
        }
}

#endif
