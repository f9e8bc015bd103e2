/* What attention_cpu.c and attention_backward_cpu.c share: products of tiles that stay in
 * registers, a vector of exponentials, and heads as they lie.
 *
 * Queries are taken QUERIES at a time and lie side by side in vectors: scores are [key][query],
 * and what belongs to a query, [column][query].  So a maximum, a sum and a factor of each query
 * need no step across a vector, and k and v are read element by element where they are, never
 * packed. */
#ifndef OPS_ATTENTION_ATTENTION_TILE_CPU_H
#define OPS_ATTENTION_ATTENTION_TILE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "core/memory.h"
#include "ops/attention/attention.h"

#define QUERIES 32
#define QUERY_VECTORS (QUERIES / VEC)
#define KEYS \
    64 /* of a block: their rows, their scores and the queries' columns stay in the cache */

/* Rows of a tile: with two vectors each their sums and the operands just fill the registers. */
#if defined(__AVX512F__)
#define TILE_ROWS 8
#elif defined(__aarch64__) || defined(__AVX2__)
#define TILE_ROWS 6
#else
#define TILE_ROWS 3
#endif

typedef uint32_t vecu __attribute__((vector_size(VEC * 4)));

/* c [rows][columns] (+)= a [rows][depth] · b [depth][columns].  Columns are whole vectors, and b
 * and c are aligned to them; an element of a is at row · a_row + step · a_column. */
typedef struct tiles {
    int64_t rows, columns, depth;
    const float *a;
    ptrdiff_t a_row, a_column;
    const float *b;
    ptrdiff_t b_row;
    float *c;
    ptrdiff_t c_row;
    bool add; /* to what c holds */
} tiles;

VEC_INLINE void tile_run(const tiles *t, int64_t row, int64_t column, const int rows,
                         const int vectors)
{
    const float *a = t->a + row * t->a_row, *b = t->b + column;
    float *c = t->c + row * t->c_row + column;
    vec sum[TILE_ROWS][2];
    VEC_UNROLL for (int i = 0; i < rows; i++)
    {
        VEC_UNROLL for (int v = 0; v < vectors; v++)
        {
            sum[i][v] = t->add ? *(const vec *)(c + i * t->c_row + v * VEC) : vec_all(0.0f);
        }
    }
    for (int64_t k = 0; k < t->depth; k++, a += t->a_column, b += t->b_row) {
        vec b0 = *(const vec *)b, b1 = vectors == 2 ? *(const vec *)(b + VEC) : b0;
        VEC_UNROLL for (int i = 0; i < rows; i++)
        {
            vec x = vec_all(a[i * t->a_row]);
            sum[i][0] += x * b0;
            if (vectors == 2) sum[i][1] += x * b1;
        }
    }
    VEC_UNROLL for (int i = 0; i < rows; i++)
    {
        VEC_UNROLL for (int v = 0; v < vectors; v++)
        {
            *(vec *)(c + i * t->c_row + v * VEC) = sum[i][v];
        }
    }
}

/* The rows that whole tiles leave. */
VEC_INLINE void tile_rest(const tiles *t, int64_t row, int64_t column, const int vectors)
{
    switch (t->rows - row) {
#if TILE_ROWS > 6
    case 7:
        tile_run(t, row, column, 7, vectors);
        break;
    case 6:
        tile_run(t, row, column, 6, vectors);
        break;
#endif
#if TILE_ROWS > 3
    case 5:
        tile_run(t, row, column, 5, vectors);
        break;
    case 4:
        tile_run(t, row, column, 4, vectors);
        break;
    case 3:
        tile_run(t, row, column, 3, vectors);
        break;
#endif
    case 2:
        tile_run(t, row, column, 2, vectors);
        break;
    case 1:
        tile_run(t, row, column, 1, vectors);
        break;
    default:
        break;
    }
}

VEC_INLINE void tile_column(const tiles *t, int64_t column, const int vectors)
{
    int64_t row = 0;
    for (; row + TILE_ROWS <= t->rows; row += TILE_ROWS)
        tile_run(t, row, column, TILE_ROWS, vectors);
    tile_rest(t, row, column, vectors);
}

static void tiles_run(const tiles *t)
{
    int64_t column = 0;
    for (; column + 2 * VEC <= t->columns; column += 2 * VEC) tile_column(t, column, 2);
    if (column < t->columns) tile_column(t, column, 1);
}

/* exp(x) to 2 ulp; x below −87 is taken as −87, above 88 as 88; a NaN stays one.  The polynomial is
 * that of Cephes' expf (S. Moshier). */
VEC_INLINE vec vec_exp(vec x)
{
    const float to_integer = 12582912.0f; /* 1.5 · 2^23: adding it leaves no fraction bits */
    x = vec_select(x < -87.0f, vec_all(-87.0f), x);
    x = vec_select(x > 88.0f, vec_all(88.0f), x);
    vec shifted = x * 1.44269504088896341f + to_integer;
    vec n = shifted - to_integer;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* The low bits of `shifted` are n: this is 2^n. */
    return p * (vec)(((vecu)shifted + 127u) << 23);
}

/* The keys up to which vector v of the queries from `first` on sees: i for query i. */
VEC_INLINE veci vec_last_key(int64_t first, int v)
{
    veci last;
    for (int l = 0; l < VEC; l++) last[l] = (int32_t)(first + v * VEC + l);
    return last;
}

/* An operand of a head: rows of `size` numbers, `row` apart. */
typedef struct head_rows {
    const void *data;
    be_dtype dtype; /* f32 or bf16 */
    int64_t at, row, size;
} head_rows;

static inline float head_element(const head_rows *h, int64_t i)
{
    if (h->dtype == BE_F32) return ((const float *)h->data)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)h->data)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Rows from `first` on as floats, `width` apart; the columns behind the last are 0. */
static void head_copy(const head_rows *h, int64_t first, int64_t count, float factor, float *out,
                      int64_t width)
{
    for (int64_t i = 0; i < count; i++, out += width) {
        int64_t from = h->at + (first + i) * h->row;
        for (int64_t c = 0; c < h->size; c++) out[c] = factor * head_element(h, from + c);
        for (int64_t c = h->size; c < width; c++) out[c] = 0.0f;
    }
}

/* Rows as columns: out [size][QUERIES]; queries behind the last are 0. */
static void head_transpose(const head_rows *h, int64_t first, int64_t count, float factor,
                           float *out)
{
    for (int64_t i = 0; i < QUERIES; i++) {
        int64_t from = h->at + (first + i) * h->row;
        for (int64_t c = 0; c < h->size; c++)
            out[c * QUERIES + i] = i < count ? factor * head_element(h, from + c) : 0.0f;
    }
}

/* The operand o (q, k or v) of head n of all. */
static inline head_rows head_of(const cpu_call *call, const attention_sizes *s, int64_t n, int o)
{
    int from = s->is_packed ? 0 : o;
    int64_t b = n / s->heads, rows = o ? s->keys : s->queries;
    return (head_rows){.data = call->in[from],
                       .dtype = call->in_shape[from].dtype,
                       .at = b * rows * s->row[o] + s->at[o] + n % s->heads * s->size,
                       .row = s->row[o],
                       .size = s->size};
}

static inline int64_t head_keys(const cpu_call *call, const attention_sizes *s, int64_t n)
{
    const int32_t *lengths = call->in[ATTENTION_LENGTHS];
    return lengths ? attention_keys(s, lengths[n / s->heads]) : s->keys;
}

/* Takes `floats` more of a thread's scratch; returns where they begin.  All begin at a cache line.
 */
static inline int64_t scratch_take(int64_t *total, int64_t floats)
{
    int64_t at = *total, line = MEMORY_ALIGN / (int64_t)sizeof(float);
    *total = at + (floats + line - 1) / line * line;
    return at;
}

#endif
