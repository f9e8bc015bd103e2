/* Philox4x32-10 and what is drawn from it. */
#include "core/rng.h"

#include <math.h>

void rng_block(rng_key key, uint64_t index, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = key.sub, c3 = key.stream;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t rng_word(rng_key key, uint64_t index)
{
    uint32_t block[4];
    rng_block(key, index / 4, block);
    return block[index % 4];
}

float rng_uniform(rng_key key, uint64_t index)
{
    return (float)(rng_word(key, index) >> 8) * 0x1p-24f;
}

uint32_t rng_next(rng *r)
{
    return rng_word(r->key, r->next++);
}

float rng_next_uniform(rng *r)
{
    return rng_uniform(r->key, r->next++);
}

uint32_t rng_next_below(rng *r, uint32_t bound)
{
    /* Lemire's multiplication; the words that would bias the result are drawn again. */
    uint32_t threshold = -bound % bound;
    for (;;) {
        uint64_t product = (uint64_t)rng_next(r) * bound;
        if ((uint32_t)product >= threshold) return (uint32_t)(product >> 32);
    }
}

double rng_next_normal(rng *r)
{
    double u = ((double)rng_next(r) + 1.0) / 4294967297.0;
    double v = (double)rng_next(r) / 4294967296.0;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void rng_permutation(rng_key key, int32_t *order, int32_t count)
{
    rng r = {.key = key};
    for (int32_t i = 0; i < count; i++) order[i] = i;
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t j = (int32_t)rng_next_below(&r, (uint32_t)i + 1);
        int32_t entry = order[i];
        order[i] = order[j];
        order[j] = entry;
    }
}
