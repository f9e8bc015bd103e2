/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011).  A number depends on (seed, stream, index) alone, so the
 * same bits come out on every device, in every order, with any number of threads. */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include <stdint.h>

/* The streams: the second word of the counter.  One purpose each, so that no two draw alike. */
typedef enum rng_stream {
    RNG_PARAMETER = 1, /* initial weights; sub-stream: the parameter's index */
    RNG_ORDER = 2,     /* order of the batches; sub-stream: the epoch */
    RNG_DROPOUT = 3,   /* dropout masks; sub-stream: the node's salt */
    RNG_DATA = 4,      /* generated data sets; sub-stream: the sample's index */
    RNG_TEST = 5,
    RNG_BOOTSTRAP = 6,
    RNG_TUNE = 7,   /* operands to try kernels on */
    RNG_BUFFER = 8, /* buffers of a model at the start; sub-stream: the buffer's index */
} rng_stream;

typedef struct rng_key {
    uint64_t seed;
    uint32_t stream; /* rng_stream */
    uint32_t sub;    /* meaning: see the stream */
} rng_key;

/* Four words of the block `index`.  Counter words: {index low, index high, sub, stream}; key words:
 * {seed low, seed high}. */
void rng_block(rng_key key, uint64_t index, uint32_t out[4]);

/* Word `index` of the sequence: word index % 4 of block index / 4. */
uint32_t rng_word(rng_key key, uint64_t index);

/* Uniform in [0, 1): the word's upper 24 bits / 2^24, exact in float. */
float rng_uniform(rng_key key, uint64_t index);

/* A sequential reader of the same sequence. */
typedef struct rng {
    rng_key key;
    uint64_t next;
} rng;

uint32_t rng_next(rng *r);
float rng_next_uniform(rng *r);
uint32_t rng_next_below(rng *r, uint32_t bound); /* unbiased, 0 … bound - 1; bound > 0 */
double rng_next_normal(rng *r);                  /* mean 0, variance 1 (Box-Muller) */

/* out[i] = scale · x, x of mean 0 and variance 1 (Box-Muller in float; |x| < 5.8), for i < count.
 * Not the numbers of rng_next_normal. */
void rng_fill_normal(rng_key key, float scale, float *out, int64_t count);

/* out[i] = (2 · rng_uniform(key, i) − 1) · scale, bit by bit. */
void rng_fill_uniform(rng_key key, float scale, float *out, int64_t count);

/* Fill order[0 … count) with a uniform permutation of 0 … count - 1 (Fisher-Yates). */
void rng_permutation(rng_key key, int32_t *order, int32_t count);

#endif
