/* See half.h. */
#include "core/half.h"

#include <math.h>

#include "core/bits.h"

float half_to_float(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float size =
        exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    return half >> 15 ? -size : size;
}

/* A float that becomes a subnormal is rounded by adding 0.5, whose last place is 2^-24 then; one
 * that stays normal by adding half of the last place that is left. */
uint16_t half_from_float(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65,520 and more */
    if (size < 0x38800000u)                                     /* below 2^-14 */
        return (uint16_t)(sign | (bits_of(float_of(size) + 0.5f) - 0x3f000000u));
    size += 0xc8000fffu + (size >> 13 & 1u);
    return (uint16_t)(sign | size >> 13);
}
