/* Dropout on the CPU: Philox4x32-10 as in core/rng.c, for LANES blocks side by side.  Plain layout
 * only: the mask goes by the plain index.
 *
 * Each word stands in the lower half of a 64-bit lane; the upper halves are rubbish that no product
 * reads.  So a round is two products, two shifts and two exclusive ors, with nothing to pack. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/random/dropout.h"

#if defined(__AVX512F__) || defined(__SSE2__)
#include <immintrin.h>
#endif

/* LANES, and the orders in which the lanes of two vectors a and b become a0 b0 a1 b1 … */
#if defined(__AVX512F__)
#define LANES 8
#define MERGE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define MERGE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif defined(__AVX2__)
#define LANES 4
#define MERGE_LOW 0, 4, 1, 5
#define MERGE_HIGH 2, 6, 3, 7
#else
#define LANES 2
#define MERGE_LOW 0, 2
#define MERGE_HIGH 1, 3
#endif

#define SPAN 64                /* elements at a time */
#define THREADS_PAY_FROM 16384 /* elements */

typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));

/* The lower halves times b. */
static inline lanes product(lanes a, uint32_t b)
{
#if defined(__AVX512F__)
    return (lanes)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((int64_t)b));
#elif defined(__AVX2__)
    return (lanes)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((int64_t)b));
#elif defined(__SSE2__)
    return (lanes)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((int64_t)b));
#else
    return (a & 0xffffffffu) * b;
#endif
}

/* The words of the blocks quad … quad + LANES − 1 of step t, in the order of the elements. */
static inline void draw_words(rng_key key, uint32_t t, uint32_t quad, uint32_t words[4 * LANES])
{
    lanes c0, c1 = (lanes){0} + t, c2 = (lanes){0} + key.sub, c3 = (lanes){0} + key.stream;
    for (uint32_t l = 0; l < LANES; l++) c0[l] = quad + l;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        lanes p0 = product(c0, 0xD2511F53u), p1 = product(c2, 0xCD9E8D57u);
        c0 = p1 >> 32 ^ c1 ^ k0;
        c1 = p1;
        c2 = p0 >> 32 ^ c3 ^ k1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    lanes first = (c0 & 0xffffffffu) | c1 << 32, second = (c2 & 0xffffffffu) | c3 << 32;
    lanes low = __builtin_shufflevector(first, second, MERGE_LOW);
    lanes high = __builtin_shufflevector(first, second, MERGE_HIGH);
    memcpy(words, &low, sizeof low);
    memcpy(words + 2 * LANES, &high, sizeof high);
}

static inline void drop(const float *x, float *y, int64_t count, const uint32_t *restrict words,
                        uint32_t threshold, float scale)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        /* By a mask of bits: a choice would be compiled into a branch. */
        float scaled = x[i] * scale;
        uint32_t bits, mask = (int32_t)(words[i] >> 8) >= (int32_t)threshold ? UINT32_MAX : 0;
        memcpy(&bits, &scaled, sizeof bits);
        bits &= mask;
        memcpy(&y[i], &bits, sizeof bits);
    }
}

static be_status dropout_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const dropout_attrs *attrs = call->attrs;
    const float *x = call->in[0];
    float *y = call->out[0];
    dropout_place place = dropout_at(attrs, *(const uint32_t *)call->in[1]);
    uint32_t t = place.step, threshold = dropout_threshold(attrs->p);
    rng_key key = dropout_key(attrs);
    float scale = 1.0f / (1.0f - attrs->p);
    int64_t count = call->out_elements, first = dropout_first(attrs, place.part, count);
    uint32_t offset = (uint32_t)(first % 4); /* words of the first block that are another part's */
#pragma omp parallel for num_threads(call->threads) schedule(static) if (count >= THREADS_PAY_FROM)
    for (int64_t at = 0; at < count; at += SPAN) {
        uint32_t words[SPAN + 4 * LANES];
        for (uint32_t d = 0; d < SPAN + offset; d += 4 * LANES)
            draw_words(key, t, (uint32_t)((first + at + d) / 4), words + d);
        if (count - at >= SPAN)
            drop(x + at, y + at, SPAN, words + offset, threshold, scale);
        else
            drop(x + at, y + at, count - at, words + offset, threshold, scale);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(dropout) = {.implementation = CPU_NATIVE, .run = dropout_run};
