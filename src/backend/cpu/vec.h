/* Vectors of floats as wide as a channel block of the instruction set that a file is compiled for
 * (gcc and clang vector extensions; a set without such vectors splits them). */
#ifndef BACKEND_CPU_VEC_H
#define BACKEND_CPU_VEC_H

#include <stdint.h>

#if defined(__AVX512F__)
#define VEC 16
#else
#define VEC 8
#endif

typedef float vec __attribute__((vector_size(VEC * 4)));
typedef int32_t veci __attribute__((vector_size(VEC * 4)));
typedef uint8_t vecb __attribute__((vector_size(VEC)));

#define VEC_INLINE static inline __attribute__((always_inline))
#define VEC_UNROLL _Pragma("GCC unroll 32")

/* Spelt out: 0 + a would be an addition, because it turns −0 into 0. */
VEC_INLINE vec vec_all(float a)
{
#if VEC == 16
    return (vec){a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a};
#else
    return (vec){a, a, a, a, a, a, a, a};
#endif
}

/* The bits of a where the mask is all ones, of b where it is zero. */
VEC_INLINE vec vec_select(veci mask, vec a, vec b)
{
    return (vec)((mask & (veci)a) | (~mask & (veci)b));
}

#endif
