/* Attention on the CPU with an online softmax (Milakov, Gimelshein 2018; Dao et al. 2022): a block
 * of queries of one head meets the keys block by block, and its scores are never all there at once.
 * Each block of queries is one thread's, and what it computes depends on no other: the bits are the
 * same on any number of threads. */
#include <math.h>
#include <omp.h>

#include "ops/attention/attention_tile_cpu.h"

/* Where a thread keeps what, in floats. */
typedef struct plan {
    attention_sizes s;
    int64_t q;         /* [size][QUERIES], scaled */
    int64_t y;         /* [size][QUERIES] */
    int64_t p;         /* [KEYS][QUERIES] */
    int64_t most, sum; /* [QUERIES] */
    int64_t k, v;      /* [KEYS][size], of bf16 */
    int64_t floats;
} plan;

static plan plan_of(const cpu_call *call)
{
    plan w = {.s = attention_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1])};
    int64_t copied = call->in_shape[0].dtype == BE_F32 ? 0 : KEYS * w.s.size;
    w.q = scratch_take(&w.floats, w.s.size * QUERIES);
    w.y = scratch_take(&w.floats, w.s.size * QUERIES);
    w.p = scratch_take(&w.floats, KEYS * QUERIES);
    w.most = scratch_take(&w.floats, QUERIES);
    w.sum = scratch_take(&w.floats, QUERIES);
    w.k = scratch_take(&w.floats, copied);
    w.v = scratch_take(&w.floats, copied);
    return w;
}

/* Queries of a head and keys that meet: both from the first of them on. */
typedef struct block {
    int64_t head, query, key, keys;
} block;

/* Scores become p relative to the largest so far, and what was summed before shrinks to that. */
VEC_INLINE void soften_vector(const plan *w, float *room, const block *at, int v,
                              const bool is_masked)
{
    veci last = vec_last_key(at->query, v);
    vec *most = (vec *)(room + w->most) + v, *sum = (vec *)(room + w->sum) + v, top = *most;
    float *p = room + w->p + v * VEC, *y = room + w->y + v * VEC;
    for (int64_t r = 0; r < at->keys; r++) {
        vec x = *(const vec *)(p + r * QUERIES);
        veci larger = x > top;
        if (is_masked) larger &= last >= (int32_t)(at->key + r);
        top = vec_select(larger, x, top);
    }
    vec shrink = vec_exp(*most - top), part = vec_all(0.0f);
    for (int64_t r = 0; r < at->keys; r++) {
        vec *x = (vec *)(p + r * QUERIES), e = vec_exp(*x - top);
        if (is_masked) e = vec_select(last >= (int32_t)(at->key + r), e, vec_all(0.0f));
        part += e;
        *x = e;
    }
    *most = top;
    *sum = *sum * shrink + part;
    for (int64_t c = 0; c < w->s.size; c++) *(vec *)(y + c * QUERIES) *= shrink;
}

static void soften(const plan *w, float *room, const block *at)
{
    bool is_masked = w->s.causal && at->key + at->keys - 1 > at->query;
    for (int v = 0; v < QUERY_VECTORS; v++)
        if (is_masked)
            soften_vector(w, room, at, v, true);
        else
            soften_vector(w, room, at, v, false);
}

static void meet_keys(const cpu_call *call, const plan *w, float *room, const block *at)
{
    head_rows k = head_of(call, &w->s, at->head, 1), v = head_of(call, &w->s, at->head, 2);
    float_rows keys = head_floats(&k, at->key, at->keys, room + w->k);
    float_rows values = head_floats(&v, at->key, at->keys, room + w->v);
    tiles_run(&(tiles){.rows = at->keys,
                       .columns = QUERIES,
                       .depth = w->s.size,
                       .a = keys.data,
                       .a_row = keys.row,
                       .a_column = 1,
                       .b = room + w->q,
                       .b_row = QUERIES,
                       .c = room + w->p,
                       .c_row = QUERIES});
    soften(w, room, at);
    tiles_run(&(tiles){.rows = w->s.size,
                       .columns = QUERIES,
                       .depth = at->keys,
                       .a = values.data,
                       .a_row = 1,
                       .a_column = values.row,
                       .b = room + w->p,
                       .b_row = QUERIES,
                       .c = room + w->y,
                       .c_row = QUERIES,
                       .add = true});
}

/* y and lse of the queries from `first` on of head n. */
static void run_queries(const cpu_call *call, const plan *w, float *room, int64_t n, int64_t first)
{
    const attention_sizes *s = &w->s;
    int64_t left = s->queries - first, count = left < QUERIES ? left : QUERIES;
    int64_t keys = attention_seen(s, head_keys(call, s, n), first + count - 1);
    head_rows q = head_of(call, s, n, 0);
    float *y = call->out[0], *lse = (float *)call->out[1] + n * s->queries + first;
    y += (n / s->heads * s->queries + first) * s->width + n % s->heads * s->size;
    head_transpose(&q, first, count, (float)s->scale, room + w->q);
    memset(room + w->y, 0, (size_t)(s->size * QUERIES) * sizeof(float));
    memset(room + w->sum, 0, QUERIES * sizeof(float));
    for (int64_t i = 0; i < QUERIES; i++) room[w->most + i] = -3.402823466e+38f;
    for (int64_t j = 0; j < keys; j += KEYS)
        meet_keys(call, w, room, &(block){n, first, j, keys - j < KEYS ? keys - j : KEYS});
    for (int64_t i = 0; i < count; i++) {
        float sum = room[w->sum + i], factor = keys ? 1.0f / sum : 0.0f;
        for (int64_t c = 0; c < s->size; c++)
            y[i * s->width + c] = room[w->y + c * QUERIES + i] * factor;
        lse[i] = keys ? room[w->most + i] + logf(sum) : 0.0f;
    }
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
    int64_t blocks = (w.s.queries + QUERIES - 1) / QUERIES;
    int64_t count = w.s.batch * w.s.heads * blocks;
#pragma omp parallel for num_threads(call->threads) schedule(dynamic)
    for (int64_t i = 0; i < count; i++)
        run_queries(call, &w, (float *)call->scratch + omp_get_thread_num() * w.floats, i / blocks,
                    i % blocks * QUERIES);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(attention) = {.implementation = CPU_NATIVE,
                                          .precisions = 1 << BE_PRECISION_BF16,
                                          .prepare = attention_prepare,
                                          .run = attention_run};
