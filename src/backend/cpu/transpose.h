/* A block of 8 × 8 floats on its side, in registers where the instruction set has vectors of 8. */
#ifndef BACKEND_CPU_TRANSPOSE_H
#define BACKEND_CPU_TRANSPOSE_H

#include <stdint.h>

#include "backend/cpu/vec.h"

typedef float row8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t order8 __attribute__((vector_size(32)));

#if defined(__clang__)
#define ROW8_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ROW8_PICK(a, b, ...) __builtin_shuffle(a, b, (order8){__VA_ARGS__})
#endif

/* Neighbours of a pair of rows, then pairs of neighbours, then halves change places. */
VEC_INLINE void transpose8(row8 r[8])
{
    row8 t[8];
    VEC_UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = ROW8_PICK(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = ROW8_PICK(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    VEC_UNROLL
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = ROW8_PICK(t[i + j], t[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
            r[i + 2 * j + 1] = ROW8_PICK(t[i + j], t[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        t[i] = ROW8_PICK(r[i], r[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
        t[4 + i] = ROW8_PICK(r[i], r[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    VEC_UNROLL
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

#endif
