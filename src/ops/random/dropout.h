/* Dropout's attributes, and how its mask follows from the counter-based generator. */
#ifndef OPS_RANDOM_DROPOUT_H
#define OPS_RANDOM_DROPOUT_H

#include <math.h>

#include "core/rng.h"

typedef struct dropout_attrs {
    uint64_t seed;
    uint32_t salt; /* which dropout layer of the graph */
    float p;       /* the probability of a zero, 0 <= p < 1 */
    /* Of a batch cut into equal parts: x is part rank · turns + clock mod turns of it, and the step
     * is clock / turns; turns 0 is 1. */
    uint32_t rank, turns;
    /* Of a batch cut into unequal parts, without turns: x is of `each` samples, and so many lie
     * before them; each 0: the parts are equal. */
    int32_t before, each;
} dropout_attrs;

/* What x is at this clock. */
typedef struct dropout_place {
    uint32_t step;
    int64_t part;
} dropout_place;

static inline dropout_place dropout_at(const dropout_attrs *attrs, uint32_t clock)
{
    uint32_t turns = attrs->turns ? attrs->turns : 1;
    return (dropout_place){clock / turns, (int64_t)attrs->rank * turns + clock % turns};
}

/* The place of the first of `count` elements in the whole batch. */
static inline int64_t dropout_first(const dropout_attrs *attrs, int64_t part, int64_t count)
{
    return attrs->each ? count / attrs->each * attrs->before : part * count;
}

static inline rng_key dropout_key(const dropout_attrs *attrs)
{
    return (rng_key){.seed = attrs->seed, .stream = RNG_DROPOUT, .sub = attrs->salt};
}

/* The block of four words for the elements 4 · quad … 4 · quad + 3 of step t. */
static inline uint64_t dropout_block(uint32_t t, uint32_t quad)
{
    return (uint64_t)t << 32 | quad;
}

/* An element is kept if its word's upper 24 bits are at least this; the same as
 * (word >> 8) / 2^24 >= p, without a rounding. */
static inline uint32_t dropout_threshold(float p)
{
    return (uint32_t)ceil((double)p * 16777216.0);
}

#endif
