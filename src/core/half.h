/* The two floating-point types of 16 bits, by their bits: IEEE 754 half precision (f16: 5 bits of
 * exponent, 10 of fraction) and bfloat16 (the upper half of a float).  Rounding is to the nearest,
 * ties to even, as hardware does it.  A NaN stays one, what is too large becomes infinite. */
#ifndef CORE_HALF_H
#define CORE_HALF_H

#include <stdint.h>
#include <string.h>

float half_to_float(uint16_t half);
uint16_t half_from_float(float x);

static inline float brain_to_float(uint16_t brain)
{
    uint32_t bits = (uint32_t)brain << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t brain_from_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, nan = bits >> 16 | 64u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

#endif
