/* Dropout on the CPU: Philox4x32-10 as in core/rng.c, for LANES blocks side by side, so that the
 * compiler makes vector code of it.  Plain layout only: the mask goes by the plain index. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/random/dropout.h"

#define LANES 16               /* blocks of four words at a time */
#define SPAN (4 * LANES)       /* elements at a time */
#define THREADS_PAY_FROM 16384 /* elements */

/* The words of the blocks quad … quad + LANES − 1 of step t, in the order of the elements. */
static void draw_words(rng_key key, uint32_t t, uint32_t quad, uint32_t words[restrict SPAN])
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    for (uint32_t l = 0; l < LANES; l++) {
        c0[l] = quad + l;
        c1[l] = t;
        c2[l] = key.sub;
        c3[l] = key.stream;
    }
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < LANES; l++) {
        words[4 * l] = c0[l];
        words[4 * l + 1] = c1[l];
        words[4 * l + 2] = c2[l];
        words[4 * l + 3] = c3[l];
    }
}

static void drop_span(const float *restrict x, float *restrict y, const uint32_t *restrict words,
                      uint32_t threshold, float scale)
{
#pragma omp simd
    for (int i = 0; i < SPAN; i++) y[i] = words[i] >> 8 >= threshold ? x[i] * scale : 0.0f;
}

static be_status dropout_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const dropout_attrs *attrs = call->attrs;
    const float *x = call->in[0];
    float *y = call->out[0];
    uint32_t t = (uint32_t) * (const int32_t *)call->in[1];
    uint32_t threshold = dropout_threshold(attrs->p);
    rng_key key = dropout_key(attrs);
    float scale = 1.0f / (1.0f - attrs->p);
    int64_t count = call->out_elements;
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t at = 0; at < count; at += SPAN) {
        uint32_t words[SPAN];
        draw_words(key, t, (uint32_t)(at / 4), words);
        if (count - at >= SPAN) {
            drop_span(x + at, y + at, words, threshold, scale);
            continue;
        }
        for (int64_t i = at; i < count; i++)
            y[i] = words[i - at] >> 8 >= threshold ? x[i] * scale : 0.0f;
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(dropout) = {.implementation = CPU_NATIVE, .run = dropout_run};
