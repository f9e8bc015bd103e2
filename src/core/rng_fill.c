/* Many numbers at once.  A piece of PIECE numbers is made by whole loops over arrays, which
 * compilers turn into vectors; pieces depend on nothing but their place, so threads may share them
 * out. */
#include <math.h>
#include <string.h>

#include "core/bits.h"
#include "core/rng.h"

#define PIECE 256
#define HALF (PIECE / 2)
#define PARALLEL 65536 /* numbers for which starting threads costs less than it saves */

static void piece_words(rng_key key, int64_t piece, uint32_t words[PIECE])
{
    for (int i = 0; i < PIECE / 4; i++)
        rng_block(key, (uint64_t)(piece * (PIECE / 4) + i), words + 4 * i);
}

/* As in rng_uniform. */
static float uniform_of(uint32_t word)
{
    return (float)(int32_t)(word >> 8) * 0x1p-24f;
}

/* ln u for normal u > 0, to 2e-7 of it: u = 2^e (1 + f), 1 + f between sqrt(1/2) and sqrt(2), and a
 * polynomial for (ln(1 + f) − f) / f² (interpolated at Chebyshev's points; 4e-9 apart). */
static float log_of(float u)
{
    int32_t bits = (int32_t)bits_of(u), e = (bits - (int32_t)bits_of(0.70710678f)) >> 23;
    float f = float_of((uint32_t)(bits - e * (1 << 23))) - 1.0f;
    float p = 0.069419723f;
    p = p * f - 0.116565787f;
    p = p * f + 0.117889063f;
    p = p * f - 0.124027494f;
    p = p * f + 0.142330141f;
    p = p * f - 0.166685818f;
    p = p * f + 0.200014524f;
    p = p * f - 0.249999913f;
    p = p * f + 0.333333226f;
    p = p * f - 0.5f;
    return (float)e * 0.693147181f + (f + f * f * p);
}

/* The cosine and the sine of v turns, v in [0, 1): of the nearest quarter's rest, which polynomials
 * give (interpolated likewise; 5e-9 apart), turned by that quarter. */
static void turn(float v, float *cosine, float *sine)
{
    int32_t quarter = (int32_t)(4.0f * v + 0.5f);
    float y = 4.0f * v - (float)quarter, z = y * y;
    float s = (((-0.0046021631f * z + 0.0796802229f) * z - 0.645963478f) * z + 1.57079632f) * y;
    float c =
        (((0.000903629886f * z - 0.0208600704f) * z + 0.253669204f) * z - 1.23370054f) * z + 1.0f;
    uint32_t odd = -(uint32_t)(quarter & 1);
    uint32_t x = (bits_of(s) & odd) | (bits_of(c) & ~odd);
    uint32_t w = (bits_of(c) & odd) | (bits_of(s) & ~odd);
    *cosine = float_of(x ^ (uint32_t)((quarter + 1) & 2) << 30);
    *sine = float_of(w ^ (uint32_t)(quarter & 2) << 30);
}

/* Box-Muller: word i and word HALF + i make the numbers at both places. */
static void piece_normal(const uint32_t words[PIECE], float scale, float out[PIECE])
{
    for (int i = 0; i < HALF; i++) {
        float cosine, sine;
        float u = (float)((int32_t)(words[i] >> 8) + 1) * 0x1p-24f;
        float r = scale * sqrtf(-2.0f * log_of(u));
        turn(uniform_of(words[HALF + i]), &cosine, &sine);
        out[i] = r * cosine;
        out[HALF + i] = r * sine;
    }
}

static void piece_uniform(const uint32_t words[PIECE], float scale, float out[PIECE])
{
    for (int i = 0; i < PIECE; i++) out[i] = (2.0f * uniform_of(words[i]) - 1.0f) * scale;
}

static void fill(rng_key key, float scale, float *out, int64_t count,
                 void make(const uint32_t[PIECE], float, float[PIECE]))
{
    int64_t pieces = (count + PIECE - 1) / PIECE;
#pragma omp parallel for schedule(static) if (count >= PARALLEL)
    for (int64_t p = 0; p < pieces; p++) {
        uint32_t words[PIECE];
        float made[PIECE];
        int64_t rest = count - p * PIECE;
        piece_words(key, p, words);
        make(words, scale, made);
        memcpy(out + p * PIECE, made, (size_t)(rest < PIECE ? rest : PIECE) * sizeof *out);
    }
}

void rng_fill_normal(rng_key key, float scale, float *out, int64_t count)
{
    fill(key, scale, out, count, piece_normal);
}

void rng_fill_uniform(rng_key key, float scale, float *out, int64_t count)
{
    fill(key, scale, out, count, piece_uniform);
}
