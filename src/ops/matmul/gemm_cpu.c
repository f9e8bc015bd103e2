/* The native matrix product.
 *
 * c is made in tiles of TILE_ROWS × up to 2 vectors that stay in registers over DEPTH steps of k.
 * b is packed into panels as wide as a tile, because reading it across its rows would miss the
 * cache; where b's rows already lie right and few tiles share a panel, packing costs more than it
 * gains and b is read in place.  a is packed tile by tile where it meets many panels: rows that lie
 * a power of two apart share a few places of the cache.  (Panels, blocks and depth as in Goto and
 * van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.) */
#include "ops/matmul/gemm_cpu.h"

#include <omp.h>
#include <string.h>

#include "backend/cpu/transpose.h"
#include "ops/eltwise/activation_cpu.h"

#if defined(__AVX512F__)
#define LANES 16
#define TILE_ROWS 10 /* 20 sums, 2 of b, 1 of a in 32 registers; divides batches of 100 */
#elif defined(__AVX2__)
#define LANES 8
#define TILE_ROWS 6 /* 12 sums in 16 registers */
#else
#define LANES 4
#define TILE_ROWS 6
#endif

#define PANEL (2 * LANES)
#define DEPTH 256       /* a panel of this depth takes 32 KiB at most */
#define WIDTH 1024      /* columns packed at a time: 1 MiB at most */
#define BLOCK_TILES 48  /* tiles of rows that meet all panels before the next: a stays in cache */
#define DIRECT_TILES 4  /* up to this many tiles of rows, b is not worth packing */
#define PACKED_FROM 128 /* rows and columns from which on a is worth packing */
#define SERIAL_WORK 2e5 /* multiplications for which starting threads costs more than it saves */

#define PANELS_FLOATS(n) (((n) < WIDTH ? (n) + PANEL - 1 : WIDTH) / PANEL * PANEL * DEPTH)

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* One tile: where its operands start and how much of it exists. */
typedef struct tile {
    const float *a, *b;
    int64_t a_row, a_column, b_row;
    int64_t depth;
    float *c;
    int64_t c_row;
    int rows, columns;
    bool add;          /* to what c holds from the steps of k before */
    const float *bias; /* after the last step of k; or NULL */
    bool relu;
} tile;

/* One vector of one row, whole. */
static inline __attribute__((always_inline)) void store_vector(const tile *t, float *c,
                                                               const float *bias, lanes value)
{
    if (t->add) value += *(const lanes *)c;
    if (bias) value += *(const lanes *)bias;
    if (t->relu) value = (lanes)((mask)value & ~(value < 0.0f)); /* NaN stays NaN */
    *(lanes *)c = value;
}

static void store_part(const tile *t, float *c, const float *bias, lanes value, int columns)
{
    for (int j = 0; j < columns; j++) {
        float sum = value[j];
        if (t->add) sum += c[j];
        if (bias) sum += bias[j];
        c[j] = t->relu && sum < 0.0f ? 0.0f : sum;
    }
}

static inline __attribute__((always_inline)) void tile_store(const tile *t, int row, int vectors,
                                                             const lanes *sums)
{
    for (int v = 0; v < vectors; v++) {
        float *c = t->c + row * t->c_row + v * LANES;
        const float *bias = t->bias ? t->bias + v * LANES : NULL;
        int columns = t->columns - v * LANES;
        if (columns >= LANES)
            store_vector(t, c, bias, sums[v]);
        else
            store_part(t, c, bias, sums[v], columns);
    }
}

static inline __attribute__((always_inline)) void tile_run(const tile *t, const int vectors,
                                                           const bool packed)
{
    lanes sums[TILE_ROWS][2] = {0};
    int64_t at[TILE_ROWS], step = packed ? TILE_ROWS : t->a_column;
    const float *a = t->a, *b = t->b;
    /* Rows that do not exist repeat the last one; their sums are not stored. */
    for (int i = 0; i < TILE_ROWS; i++)
        at[i] = packed ? i : (i < t->rows ? i : t->rows - 1) * t->a_row;
    for (int64_t k = 0; k < t->depth; k++, a += step, b += t->b_row) {
        lanes b0 = *(const lanes *)b, b1 = vectors == 2 ? *(const lanes *)(b + LANES) : b0;
#pragma GCC unroll 16
        for (int i = 0; i < TILE_ROWS; i++) {
            float value = a[at[i]];
            sums[i][0] += value * b0;
            if (vectors == 2) sums[i][1] += value * b1;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < TILE_ROWS; i++)
        if (i < t->rows) tile_store(t, i, vectors, sums[i]);
}

/* out[k * width + i] = in[k + i * stride] for k below 8 and i below the constant `rows`, at most 8:
 * what lies side by side in memory becomes columns. */
static inline __attribute__((always_inline)) void
turn_block(const float *in, int64_t stride, const int rows, float *out, int64_t width)
{
    row8 r[8];
    VEC_UNROLL
    for (int i = 0; i < 8; i++) r[i] = *(const row8 *)(in + (i < rows ? i : rows - 1) * stride);
    transpose8(r);
    VEC_UNROLL
    for (int k = 0; k < 8; k++) memcpy(out + k * width, &r[k], (size_t)rows * sizeof *out);
}

/* Columns [first, first + columns) of b, DEPTH steps of k from `from`, as rows of `width` floats;
 * columns that do not exist are 0. */
static void pack_panel(const gemm *g, int64_t from, int64_t depth, int64_t first, float *panel)
{
    int64_t columns = g->n - first < PANEL ? g->n - first : PANEL;
    int64_t width = columns <= LANES ? LANES : PANEL, k = 0;
    const float *b = g->b + from * g->b_row + first * g->b_column;
    if (columns < width) memset(panel, 0, (size_t)(depth * width) * sizeof *panel);
    if (g->b_column == 1 && columns == PANEL)
        for (; k < depth; k++) memcpy(panel + k * PANEL, b + k * g->b_row, PANEL * sizeof *panel);
    if (g->b_row == 1 && columns % 8 == 0)
        for (; k + 8 <= depth; k += 8)
            for (int64_t j = 0; j < columns; j += 8)
                turn_block(b + k + j * g->b_column, g->b_column, 8, panel + k * width + j, width);
    for (; k < depth; k++)
        for (int64_t j = 0; j < columns; j++)
            panel[k * width + j] = b[k * g->b_row + j * g->b_column];
}

/* Tile `row_tile` of a's rows, DEPTH steps of k from `from`, TILE_ROWS floats per step; the last
 * row stands for rows that do not exist. */
static void pack_rows(const gemm *g, int64_t from, int64_t depth, int64_t row_tile, float *out)
{
    int64_t first = row_tile * TILE_ROWS, rows = g->m - first, k = 0;
    const float *a = g->a + first * g->a_row + from * g->a_column;
    if (rows >= TILE_ROWS && g->a_row == 1)
        for (; k < depth; k++)
            memcpy(out + k * TILE_ROWS, a + k * g->a_column, TILE_ROWS * sizeof *out);
    if (rows >= TILE_ROWS && g->a_column == 1)
        for (; k + 8 <= depth; k += 8) {
            VEC_UNROLL
            for (int i = 0; i < TILE_ROWS; i += 8)
                turn_block(a + i * g->a_row + k, g->a_row, TILE_ROWS - i < 8 ? TILE_ROWS - i : 8,
                           out + k * TILE_ROWS + i, TILE_ROWS);
        }
    for (; k < depth; k++)
        for (int i = 0; i < TILE_ROWS; i++)
            out[k * TILE_ROWS + i] = a[(i < rows ? i : rows - 1) * g->a_row + k * g->a_column];
}

static bool rows_packed(int64_t m, int64_t n)
{
    return m >= PACKED_FROM && n >= PACKED_FROM;
}

/* Is this panel read from b itself? */
static bool panel_direct(const gemm *g, int64_t first)
{
    int64_t rest = g->n - first;
    return g->b_column == 1 && g->m <= DIRECT_TILES * TILE_ROWS && (rest >= PANEL || rest == LANES);
}

/* The part of c that one pass makes: columns [column, column + columns), from k = from. */
typedef struct pass {
    int64_t from, depth, column, columns;
} pass;

static float *packed_rows(const gemm *g)
{
    return (float *)g->scratch + PANELS_FLOATS(g->n);
}

/* Tile `row_tile`, the `at`-th of its block, times a panel. */
static void pass_tile(const gemm *g, const pass *p, int64_t panel, int64_t row_tile, int64_t at)
{
    int64_t first = p->column + panel * PANEL, row = row_tile * TILE_ROWS;
    bool direct = panel_direct(g, first), last = p->from + p->depth == g->k;
    bool packed = rows_packed(g->m, g->n);
    int columns = (int)(g->n - first < PANEL ? g->n - first : PANEL);
    tile t = {.a = packed ? packed_rows(g) + at * TILE_ROWS * DEPTH
                          : g->a + row * g->a_row + p->from * g->a_column,
              .a_row = g->a_row,
              .a_column = g->a_column,
              .b = direct ? g->b + p->from * g->b_row + first
                          : (const float *)g->scratch + panel * PANEL * DEPTH,
              .b_row = direct             ? g->b_row
                       : columns <= LANES ? LANES
                                          : PANEL,
              .depth = p->depth,
              .c = g->c + row * g->n + first,
              .c_row = g->n,
              .rows = (int)(g->m - row < TILE_ROWS ? g->m - row : TILE_ROWS),
              .columns = columns,
              .add = p->from > 0 || g->add,
              .bias = last && g->bias ? g->bias + first : NULL,
              .relu = last && g->activation == BE_RELU};
    if (columns <= LANES)
        packed ? tile_run(&t, 1, true) : tile_run(&t, 1, false);
    else
        packed ? tile_run(&t, 2, true) : tile_run(&t, 2, false);
    if (!last || !activation_needs_x(g->activation)) return;
    /* The tile is still in the first cache. */
    for (int i = 0; i < t.rows; i++)
        ACTIVATION_RUN(g->activation, t.c + i * g->n, g->activated + (row + i) * g->n + first,
                       columns, 1);
}

static void meet(int threads)
{
    if (threads > 1) {
#pragma omp barrier
    }
}

/* One thread's share of all tiles of a pass, which read a in place. */
static void pass_in_place(const gemm *g, const pass *p, int64_t panels, int thread, int threads)
{
    int64_t row_tiles = (g->m + TILE_ROWS - 1) / TILE_ROWS, tiles = panels * row_tiles;
    meet(threads);
    for (int64_t i = tiles * thread / threads; i < tiles * (thread + 1) / threads; i++) {
        int64_t block = i / (panels * BLOCK_TILES), rest = i % (panels * BLOCK_TILES);
        int64_t first = block * BLOCK_TILES;
        int64_t high = row_tiles - first < BLOCK_TILES ? row_tiles - first : BLOCK_TILES;
        pass_tile(g, p, rest / high, first + rest % high, 0);
    }
    meet(threads);
}

/* The same with a packed block by block, by all threads for all. */
static void pass_packed(const gemm *g, const pass *p, int64_t panels, int thread, int threads)
{
    int64_t row_tiles = (g->m + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t first = 0; first < row_tiles; first += BLOCK_TILES) {
        int64_t high = row_tiles - first < BLOCK_TILES ? row_tiles - first : BLOCK_TILES;
        int64_t tiles = panels * high;
        for (int64_t i = thread; i < high; i += threads)
            pack_rows(g, p->from, p->depth, first + i, packed_rows(g) + i * TILE_ROWS * DEPTH);
        meet(threads);
        for (int64_t i = tiles * thread / threads; i < tiles * (thread + 1) / threads; i++)
            pass_tile(g, p, i / high, first + i % high, i % high);
        meet(threads);
    }
}

/* One thread's share of a pass: panels to pack, then, after a barrier, tiles. */
static void pass_share(const gemm *g, const pass *p, int thread, int threads)
{
    int64_t panels = (p->columns + PANEL - 1) / PANEL;
    /* About those that it will read: they are in its own cache then. */
    for (int64_t i = panels * thread / threads; i < panels * (thread + 1) / threads; i++)
        if (!panel_direct(g, p->column + i * PANEL))
            pack_panel(g, p->from, p->depth, p->column + i * PANEL,
                       (float *)g->scratch + i * PANEL * DEPTH);
    if (rows_packed(g->m, g->n))
        pass_packed(g, p, panels, thread, threads);
    else
        pass_in_place(g, p, panels, thread, threads);
}

static void gemm_share(const gemm *g, int thread, int threads)
{
    for (int64_t column = 0; column < g->n; column += WIDTH)
        for (int64_t from = 0; from < g->k; from += DEPTH) {
            const pass p = {.from = from,
                            .depth = g->k - from < DEPTH ? g->k - from : DEPTH,
                            .column = column,
                            .columns = g->n - column < WIDTH ? g->n - column : WIDTH};
            pass_share(g, &p, thread, threads);
        }
}

size_t GEMM_SCRATCH_BYTES(int64_t m, int64_t n)
{
    int64_t rows = rows_packed(m, n) ? BLOCK_TILES * TILE_ROWS * DEPTH : 0;
    return (size_t)(PANELS_FLOATS(n) + rows) * sizeof(float);
}

void GEMM_RUN(const gemm *g)
{
    if (g->threads == 1 || (double)g->m * (double)g->n * (double)g->k < SERIAL_WORK) {
        gemm_share(g, 0, 1);
        return;
    }
#pragma omp parallel num_threads(g->threads)
    gemm_share(g, omp_get_thread_num(), omp_get_num_threads());
}
