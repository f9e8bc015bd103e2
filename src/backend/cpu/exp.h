/* Exponentials and maxima of rows in loops that become vector code, for the CPU implementations of
 * softmax and of its loss. */
#ifndef BACKEND_CPU_EXP_H
#define BACKEND_CPU_EXP_H

#include <stdint.h>
#include <string.h>

#define EXP_MAX_LANES 16

/* exp(x) for x <= 0, to 2 ulp; below −87 it is exp(−87).  The polynomial is that of Cephes' expf
 * (S. Moshier).  Written so that a loop of it becomes vector code, which libm's expf does not. */
static inline float exp_of_negative(float x)
{
    const float to_integer = 12582912.0f; /* 1.5 · 2^23: adding it leaves no fraction bits */
    x = x < -87.0f ? -87.0f : x;
    float shifted = x * 1.44269504088896341f + to_integer;
    float n = shifted - to_integer;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits; /* those of 2^n: the low bits of `shifted` are n */
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* The largest of x; a NaN behind the first place loses.  The lanes are written out because the
 * compilers may not reorder a maximum by themselves. */
static inline float row_max(const float *x, int64_t count)
{
    float lane[EXP_MAX_LANES];
    int64_t c = 0;
    for (int l = 0; l < EXP_MAX_LANES; l++) lane[l] = x[0];
    for (; c + EXP_MAX_LANES <= count; c += EXP_MAX_LANES)
        for (int l = 0; l < EXP_MAX_LANES; l++) lane[l] = x[c + l] > lane[l] ? x[c + l] : lane[l];
    for (; c < count; c++) lane[0] = x[c] > lane[0] ? x[c] : lane[0];
    for (int l = 1; l < EXP_MAX_LANES; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return lane[0];
}

#endif
