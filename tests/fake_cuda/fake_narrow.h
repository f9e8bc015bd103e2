/* What the narrow formats keep of a number, for the fake libraries; by itself, so that a mistake of
 * the program's own rounding shows. */
#ifndef TESTS_FAKE_NARROW_H
#define TESTS_FAKE_NARROW_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Element `at` of an array of bfloat16. */
static inline double fake_bf16(const void *values, uint64_t at)
{
    uint32_t bits = (uint32_t)((const uint16_t *)values)[at] << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return (double)number;
}

/* The bits of the nearest bfloat16, ties to even. */
static inline uint16_t fake_bf16_bits(double value)
{
    float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (isnan(value)) return 0x7fc0;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline double fake_round_bf16(double value)
{
    uint16_t bits = fake_bf16_bits(value);
    return fake_bf16(&bits, 0);
}

/* The nearest number of 11 significant bits, ties to even. */
static inline double fake_tf32(double value)
{
    int exponent = 0;
    if (value == 0.0 || !isfinite(value)) return value;
    double part = frexp(value, &exponent); /* 0.5 to 1 */
    return ldexp(nearbyint(ldexp(part, 11)), exponent - 11);
}

#endif
