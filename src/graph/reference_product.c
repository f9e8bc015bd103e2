/* Blocks of a and b are copied into panels, and tiles of c are summed in registers. */
#include "graph/reference_product.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum {
    TILE_ROWS = 6,
    TILE_COLUMNS_MAX = 16,
    BLOCK_ROWS = 192,    /* of a: with BLOCK_DEPTH it stays in a core's own cache … */
    BLOCK_COLUMNS = 240, /* … and so does the block of b */
    BLOCK_DEPTH = 192
};

#define PRODUCT_THREADS_MAX 128
#define PRODUCT_OF_A_THREAD 2000000 /* multiply-adds: less is done before a thread has started */

/* ------------------------------------------------------------------ a tile in registers */

/* c [TILE_ROWS][columns] += a [depth][TILE_ROWS] · b [depth][columns] */
typedef void tile_function(int64_t depth, const double *a, const double *b, double *c);

typedef struct tile_kernel {
    tile_function *run;
    int columns;
} tile_kernel;

#define TILE_FUNCTION(name, bytes)                                               \
    static void name(int64_t depth, const double *a, const double *b, double *c) \
    {                                                                            \
        typedef double vector __attribute__((vector_size(bytes)));               \
        enum { LANES = (bytes) / 8 };                                            \
        vector sum[TILE_ROWS][2];                                                \
        memcpy(sum, c, sizeof sum);                                              \
        for (int64_t d = 0; d < depth; d++, a += TILE_ROWS, b += 2 * LANES) {    \
            vector left, right;                                                  \
            memcpy(&left, b, sizeof left);                                       \
            memcpy(&right, b + LANES, sizeof right);                             \
            for (int i = 0; i < TILE_ROWS; i++) {                                \
                sum[i][0] += a[i] * left;                                        \
                sum[i][1] += a[i] * right;                                       \
            }                                                                    \
        }                                                                        \
        memcpy(c, sum, sizeof sum);                                              \
    }

TILE_FUNCTION(tile_16, 16)

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) TILE_FUNCTION(tile_32, 32) __attribute__((target("avx512f")))
TILE_FUNCTION(tile_64, 64)
#endif

    static tile_kernel choose_kernel(int lanes)
{
    if (lanes == 0) lanes = 8;
#ifdef __x86_64__
    if (lanes >= 8 && __builtin_cpu_supports("avx512f")) return (tile_kernel){tile_64, 16};
    if (lanes >= 4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (tile_kernel){tile_32, 8};
#endif
    return (tile_kernel){tile_16, 4};
}

/* ------------------------------------------------------------------ blocks */

typedef struct block_plan {
    const product *p;
    tile_kernel tile;
    int64_t rows, columns, depth;      /* of a block of c, and how much of k at a time */
    int64_t row_blocks, column_blocks; /* of c */
} block_plan;

/* A block of c: rows and columns from … to. */
typedef struct block {
    int64_t row, row_end, column, column_end;
} block;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t round_up(int64_t count, int64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

/* Lines of a or b, along which k runs, to be put side by side. */
typedef struct panel {
    const double *data;
    const int64_t *line, *depth;
    int64_t count, depth_count; /* lines that there are, steps of k */
    int width;                  /* lines with those of zeros */
} panel;

static bool are_neighbours(const int64_t *line, int64_t count)
{
    for (int64_t i = 1; i < count; i++)
        if (line[i] != line[0] + i) return false;
    return true;
}

static void pack_panel(const panel *p, double *out)
{
    if (p->count == p->width && are_neighbours(p->line, p->count)) {
        const double *from = p->data + p->line[0];
        size_t bytes = (size_t)p->width * sizeof(double);
        for (int64_t d = 0; d < p->depth_count; d++, out += p->width)
            memcpy(out, from + p->depth[d], bytes);
        return;
    }
    for (int64_t d = 0; d < p->depth_count; d++, out += p->width) {
        const double *at = p->data + p->depth[d];
        for (int64_t i = 0; i < p->count; i++) out[i] = at[p->line[i]];
        for (int64_t i = p->count; i < p->width; i++) out[i] = 0.0;
    }
}

/* Panels of the lines from … to, one behind the other. */
static void pack(panel p, int64_t from, int64_t to, double *out)
{
    const int64_t *line = p.line;
    for (int64_t i = from; i < to; i += p.width, out += p.width * p.depth_count) {
        p.line = line + i;
        p.count = least(p.width, to - i);
        pack_panel(&p, out);
    }
}

/* The tile of c at (i, j), as far as it lies in the block. */
static void add_tile(const block_plan *b, const block *at, int64_t i, int64_t j,
                     const double *panels[2], int64_t depth)
{
    const product_matrix *c = &b->p->c;
    double tile[TILE_ROWS * TILE_COLUMNS_MAX] = {0};
    int columns = b->tile.columns, height = (int)least(TILE_ROWS, at->row_end - i),
        width = (int)least(columns, at->column_end - j);
    for (int r = 0; r < height; r++)
        for (int q = 0; q < width; q++)
            tile[r * columns + q] = c->data[c->row[i + r] + c->column[j + q]];
    b->tile.run(depth, panels[0], panels[1], tile);
    for (int r = 0; r < height; r++)
        for (int q = 0; q < width; q++)
            c->data[c->row[i + r] + c->column[j + q]] = tile[r * columns + q];
}

static void add_block(const block_plan *b, const block *at, double *room)
{
    const product *p = b->p;
    double *one = room, *other = room + b->rows * b->depth;
    for (int64_t k = 0; k < p->k; k += b->depth) {
        int64_t depth = least(b->depth, p->k - k);
        pack((panel){p->a.data, p->a.row, p->a.column + k, 0, depth, TILE_ROWS}, at->row,
             at->row_end, one);
        pack((panel){p->b.data, p->b.column, p->b.row + k, 0, depth, b->tile.columns}, at->column,
             at->column_end, other);
        for (int64_t j = at->column; j < at->column_end; j += b->tile.columns)
            for (int64_t i = at->row; i < at->row_end; i += TILE_ROWS) {
                const double *panels[2] = {one + (i - at->row) * depth,
                                           other + (j - at->column) * depth};
                add_tile(b, at, i, j, panels, depth);
            }
    }
}

/* ------------------------------------------------------------------ products */

/* Smaller blocks where large ones would leave threads without any. */
static void choose_blocks(block_plan *b, int threads)
{
    const product *p = b->p;
    b->depth = least(BLOCK_DEPTH, p->k);
    b->rows = least(BLOCK_ROWS, round_up(p->m, TILE_ROWS));
    b->columns = least(BLOCK_COLUMNS, round_up(p->n, b->tile.columns));
    for (;;) {
        b->row_blocks = (p->m + b->rows - 1) / b->rows;
        b->column_blocks = (p->n + b->columns - 1) / b->columns;
        if (b->row_blocks * b->column_blocks >= 2 * threads) return;
        if (b->columns > b->tile.columns && b->columns >= b->rows)
            b->columns = round_up(b->columns / 2, b->tile.columns);
        else if (b->rows > TILE_ROWS)
            b->rows = round_up(b->rows / 2, TILE_ROWS);
        else
            return;
    }
}

/* What the threads of one product share: each takes the next block until none is left. */
typedef struct work {
    const block_plan *plan;
    double *room; /* for the panels of one thread after the other */
    size_t doubles;
    atomic_llong next_block;
    atomic_int next_room;
} work;

static void *take_blocks(void *context)
{
    work *w = context;
    const block_plan *b = w->plan;
    double *room = w->room + (size_t)atomic_fetch_add(&w->next_room, 1) * w->doubles;
    for (;;) {
        int64_t i = atomic_fetch_add(&w->next_block, 1);
        if (i >= b->row_blocks * b->column_blocks) return NULL;
        block at = {.row = i % b->row_blocks * b->rows, .column = i / b->row_blocks * b->columns};
        at.row_end = least(at.row + b->rows, b->p->m);
        at.column_end = least(at.column + b->columns, b->p->n);
        add_block(b, &at, room);
    }
}

/* Threads of its own, not OpenMP's: those wait for the next product at full speed, and what is
 * between two products takes longer than starting a thread.  One that the system does not start
 * leaves its blocks to the others. */
static void share_out(work *w, int threads)
{
    pthread_t thread[PRODUCT_THREADS_MAX];
    int running = 0;
    while (running < threads - 1 && pthread_create(&thread[running], NULL, take_blocks, w) == 0)
        running++;
    take_blocks(w);
    for (int i = 0; i < running; i++) pthread_join(thread[i], NULL);
}

be_status product_run(const product *p, int threads, be_error *err)
{
    block_plan b = {.p = p, .tile = choose_kernel(p->lanes)};
    void *room = NULL;
    if (p->m < 1 || p->n < 1 || p->k < 1) return BE_OK;
    threads = (int)least(least(threads, PRODUCT_THREADS_MAX),
                         1 + p->m * p->n * p->k / PRODUCT_OF_A_THREAD);
    choose_blocks(&b, threads);
    size_t doubles = (size_t)((b.rows + b.columns) * b.depth);
    TRY(memory_alloc(&room, (size_t)threads * doubles * sizeof(double),
                     "the blocks of a product in double", err));
    share_out(&(work){.plan = &b, .room = room, .doubles = doubles}, threads);
    memory_free(room);
    return BE_OK;
}

static int64_t *distances(int64_t *out, int64_t count, int64_t distance)
{
    for (int64_t i = 0; i < count; i++) out[i] = i * distance;
    return out;
}

be_status product_run_strided(const product_strided *s, int threads, be_error *err)
{
    void *memory = NULL;
    int64_t m = s->m, n = s->n, k = s->k;
    TRY(memory_alloc(&memory, 2 * (size_t)(m + n + k) * sizeof(int64_t), "the places of a product",
                     err));
    int64_t *at = memory;
    product p = {.m = m, .n = n, .k = k, .lanes = s->lanes};
    p.a =
        (product_matrix){s->a.data, distances(at, m, s->a.row), distances(at + m, k, s->a.column)};
    at += m + k;
    p.b =
        (product_matrix){s->b.data, distances(at, k, s->b.row), distances(at + k, n, s->b.column)};
    at += k + n;
    p.c =
        (product_matrix){s->c.data, distances(at, m, s->c.row), distances(at + m, n, s->c.column)};
    be_status status = product_run(&p, threads, err);
    memory_free(memory);
    return status;
}
