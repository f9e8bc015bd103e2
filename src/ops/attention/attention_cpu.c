/* Attention on the CPU with an online softmax (Milakov, Gimelshein 2018; Dao et al. 2022): a block
 * of queries of one head meets the keys block by block, and its scores are never all there at once.
 * Each block of queries is one thread's, and what it computes depends on no other: the bits are the
 * same on any number of threads. */
#include <math.h>
#include <omp.h>

#include "ops/attention/attention_tile_cpu.h"

#define BLOCKS 4 /* of queries, for which a thread copies keys once */

/* Where a thread keeps what, in floats: keys, and what belongs to each of BLOCKS blocks of queries,
 * `block` floats apart. */
typedef struct plan {
    attention_sizes s;
    int64_t k, v;      /* [KEYS][size] */
    int64_t p;         /* [KEYS][QUERIES] */
    int64_t q;         /* [size][QUERIES], scaled */
    int64_t y;         /* [size][QUERIES] */
    int64_t most, sum; /* [QUERIES] */
    int64_t block, floats;
} plan;

static plan plan_of(const cpu_call *call)
{
    plan w = {.s = attention_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1])};
    w.k = scratch_take(&w.floats, KEYS * w.s.size);
    w.v = scratch_take(&w.floats, KEYS * w.s.size);
    w.p = scratch_take(&w.floats, KEYS * QUERIES);
    int64_t first = w.floats;
    w.q = scratch_take(&w.floats, w.s.size * QUERIES);
    w.y = scratch_take(&w.floats, w.s.size * QUERIES);
    w.most = scratch_take(&w.floats, QUERIES);
    w.sum = scratch_take(&w.floats, QUERIES);
    w.block = w.floats - first;
    w.floats = first + BLOCKS * w.block;
    return w;
}

/* A block of queries, the block-th of the thread's, and keys that meet: from the first of them on.
 */
typedef struct meeting {
    int64_t block, query, key, keys;
} meeting;

/* Scores become p relative to the largest so far, and what was summed before shrinks to that. */
VEC_INLINE void soften_vector(const plan *w, float *room, const meeting *at, int v,
                              const bool is_masked)
{
    veci last = vec_last_key(at->query, v);
    float *own = room + at->block * w->block, *p = room + w->p + v * VEC, *y = own + w->y + v * VEC;
    vec *largest = (vec *)(own + w->most) + v, *sum = (vec *)(own + w->sum) + v, top = *largest;
    for (int64_t r = 0; r < at->keys; r++) {
        vec x = *(const vec *)(p + r * QUERIES);
        veci larger = x > top;
        if (is_masked) larger &= last >= (int32_t)(at->key + r);
        top = vec_select(larger, x, top);
    }
    vec shrink = vec_exp(*largest - top), part = vec_all(0.0f);
    for (int64_t r = 0; r < at->keys; r++) {
        vec *x = (vec *)(p + r * QUERIES), e = vec_exp(*x - top);
        if (is_masked) e = vec_select(last >= (int32_t)(at->key + r), e, vec_all(0.0f));
        part += e;
        *x = e;
    }
    *largest = top;
    *sum = *sum * shrink + part;
    for (int64_t c = 0; c < w->s.size; c++) *(vec *)(y + c * QUERIES) *= shrink;
}

static void soften(const plan *w, float *room, const meeting *at)
{
    bool is_masked = w->s.causal && at->key + at->keys - 1 > at->query;
    for (int v = 0; v < QUERY_VECTORS; v++)
        if (is_masked)
            soften_vector(w, room, at, v, true);
        else
            soften_vector(w, room, at, v, false);
}

static void meet(const plan *w, float *room, const meeting *at)
{
    float *own = room + at->block * w->block;
    tiles_run(&(tiles){.rows = at->keys,
                       .columns = QUERIES,
                       .depth = w->s.size,
                       .a = room + w->k,
                       .a_row = w->s.size,
                       .a_column = 1,
                       .b = own + w->q,
                       .b_row = QUERIES,
                       .c = room + w->p,
                       .c_row = QUERIES});
    soften(w, room, at);
    tiles_run(&(tiles){.rows = w->s.size,
                       .columns = QUERIES,
                       .depth = at->keys,
                       .a = room + w->v,
                       .a_row = 1,
                       .a_column = w->s.size,
                       .b = room + w->p,
                       .b_row = QUERIES,
                       .c = own + w->y,
                       .c_row = QUERIES,
                       .add = true});
}

/* y and lse of a block of queries, the block-th of the thread's. */
static void store_queries(const cpu_call *call, const plan *w, const float *own, int64_t n,
                          int64_t first, bool is_empty)
{
    const attention_sizes *s = &w->s;
    float *y = call->out[0], *lse = (float *)call->out[1] + n * s->queries + first;
    y += (n / s->heads * s->queries + first) * s->width + n % s->heads * s->size;
    for (int64_t i = 0; i < QUERIES && first + i < s->queries; i++) {
        float sum = own[w->sum + i], factor = is_empty ? 0.0f : 1.0f / sum;
        for (int64_t c = 0; c < s->size; c++)
            y[i * s->width + c] = own[w->y + c * QUERIES + i] * factor;
        lse[i] = is_empty ? 0.0f : own[w->most + i] + logf(sum);
    }
}

static void load_queries(const plan *w, float *own, const head_rows *q, int64_t first)
{
    int64_t rest = w->s.queries - first;
    head_transpose(q, first, rest < QUERIES ? rest : QUERIES, (float)w->s.scale, own + w->q);
    memset(own + w->y, 0, (size_t)(w->s.size * QUERIES) * sizeof(float));
    memset(own + w->sum, 0, QUERIES * sizeof(float));
    for (int64_t i = 0; i < QUERIES; i++) own[w->most + i] = -3.402823466e+38f;
}

/* Up to BLOCKS blocks of queries of head n, from `first` on.  Of the keys that a block copies, each
 * block takes those that its last query sees. */
static void run_queries(const cpu_call *call, const plan *w, float *room, int64_t n, int64_t first)
{
    const attention_sizes *s = &w->s;
    head_rows q = head_of(call, s, n, 0), k = head_of(call, s, n, 1), v = head_of(call, s, n, 2);
    int64_t all = head_keys(call, s, n), end = first + BLOCKS * QUERIES;
    if (end > s->queries) end = s->queries;
    int64_t keys = attention_seen(s, all, end - 1);
    for (int64_t i = first; i < end; i += QUERIES)
        load_queries(w, room + (i - first) / QUERIES * w->block, &q, i);
    for (int64_t j = 0; j < keys; j += KEYS) {
        int64_t count = keys - j < KEYS ? keys - j : KEYS;
        head_copy(&k, j, count, 1.0f, room + w->k, s->size);
        head_copy(&v, j, count, 1.0f, room + w->v, s->size);
        for (int64_t i = first; i < end; i += QUERIES) {
            int64_t rest = attention_seen(s, all, i + QUERIES - 1) - j;
            if (rest > count) rest = count;
            if (rest > 0) meet(w, room, &(meeting){(i - first) / QUERIES, i, j, rest});
        }
    }
    for (int64_t i = first; i < end; i += QUERIES)
        store_queries(call, w, room + (i - first) / QUERIES * w->block, n, i, keys == 0);
}

static be_status attention_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    plan w = plan_of(call);
    call->scratch_bytes = (size_t)call->threads * (size_t)w.floats * sizeof(float);
    return BE_OK;
}

static be_status attention_run(const cpu_call *call, be_error *err)
{
    (void)err;
    plan w = plan_of(call);
    int64_t units = (w.s.queries + BLOCKS * QUERIES - 1) / (BLOCKS * QUERIES);
    int64_t count = w.s.batch * w.s.heads * units;
#pragma omp parallel for num_threads(call->threads) schedule(dynamic)
    for (int64_t i = 0; i < count; i++)
        run_queries(call, &w, (float *)call->scratch + omp_get_thread_num() * w.floats, i / units,
                    i % units * BLOCKS * QUERIES);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(attention) = {.implementation = CPU_NATIVE,
                                          .precisions = 1 << BE_PRECISION_BF16,
                                          .prepare = attention_prepare,
                                          .run = attention_run};
