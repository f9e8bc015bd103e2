/* exp and tanh of floats, without a branch and to a few units in the last place, so that loops
 * over them become vector code, which libm's functions do not.  A NaN stays one. */
#ifndef BACKEND_CPU_SMOOTH_H
#define BACKEND_CPU_SMOOTH_H

#include <stdint.h>
#include <string.h>

static inline float smooth_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t smooth_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* a if the condition holds, else b: both are computed.  Of `?:` the compiler makes a branch again.
 */
static inline float smooth_select(int condition, float a, float b)
{
    uint32_t mask = 0u - (uint32_t)condition;
    return smooth_float((mask & smooth_bits(a)) | (~mask & smooth_bits(b)));
}

/* `magnitude` (not negative) with the sign of x. */
static inline float smooth_signed(float magnitude, float x)
{
    return smooth_float(smooth_bits(magnitude) | (smooth_bits(x) & 0x80000000u));
}

/* Below −87 it is exp(−87), above 88 exp(88).  The polynomial is that of Cephes' expf
 * (S. Moshier). */
static inline float smooth_exp(float x)
{
    x = smooth_select(x < -87.0f, -87.0f, x);
    x = smooth_select(x > 88.0f, 88.0f, x);
    /* 1.5 · 2²³ leaves the nearest whole number in the last bits. */
    float shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    float r = x - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * smooth_float((smooth_bits(shifted) + 127u) << 23);
}

/* Below 0.625 the polynomial of Cephes' tanhf, above by an exponential. */
static inline float smooth_tanh(float x)
{
    float a = smooth_float(smooth_bits(x) & 0x7fffffffu), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = a + p * z * a, large = 1.0f - 2.0f / (smooth_exp(2.0f * a) + 1.0f);
    return smooth_signed(smooth_select(a < 0.625f, small, large), x);
}

#endif
