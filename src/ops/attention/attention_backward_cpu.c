/* Backward of attention on the CPU: a head at a time by one thread.  A block of its queries meets
 * the keys block by block, makes their p anew from lse, and adds to dk and dv, which the thread
 * keeps in floats for the whole head.  So each sum is made in one order, whatever the number of
 * threads. */
#include <omp.h>

#include "ops/attention/attention_tile_cpu.h"

/* Where a thread keeps what, in floats.  Rows are `padded` long, a whole number of vectors. */
typedef struct plan {
    attention_sizes s;
    int64_t padded;
    int64_t q, dy;                   /* [QUERIES][padded]; q is scaled */
    int64_t q_turned, dy_turned, dq; /* [size][QUERIES] */
    int64_t p, ds;                   /* [KEYS][QUERIES] */
    int64_t lse, d;                  /* [QUERIES] */
    int64_t dk, dv;                  /* [keys][padded] */
    int64_t k, v;                    /* [keys][size] */
    int64_t floats;
} plan;

static plan plan_of(const cpu_call *call)
{
    plan w = {.s = attention_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1])};
    w.padded = (w.s.size + VEC - 1) / VEC * VEC;
    w.q = scratch_take(&w.floats, QUERIES * w.padded);
    w.dy = scratch_take(&w.floats, QUERIES * w.padded);
    w.q_turned = scratch_take(&w.floats, w.s.size * QUERIES);
    w.dy_turned = scratch_take(&w.floats, w.s.size * QUERIES);
    w.dq = scratch_take(&w.floats, w.s.size * QUERIES);
    w.p = scratch_take(&w.floats, KEYS * QUERIES);
    w.ds = scratch_take(&w.floats, KEYS * QUERIES);
    w.lse = scratch_take(&w.floats, QUERIES);
    w.d = scratch_take(&w.floats, QUERIES);
    w.dk = scratch_take(&w.floats, w.s.keys * w.padded);
    w.dv = scratch_take(&w.floats, w.s.keys * w.padded);
    w.k = scratch_take(&w.floats, w.s.keys * w.s.size);
    w.v = scratch_take(&w.floats, w.s.keys * w.s.size);
    return w;
}

/* One head at work. */
typedef struct work {
    const cpu_call *call;
    const plan *w;
    float *room;
    int64_t n;
} work;

/* Of a block of keys, for the queries from `first` on: p from the scores, ds from dy · v. */
VEC_INLINE void make_vector(const work *t, int v, int64_t count, veci last, int64_t first_key,
                            const bool is_masked)
{
    const plan *w = t->w;
    vec lse = *((const vec *)(t->room + w->lse) + v), d = *((const vec *)(t->room + w->d) + v);
    for (int64_t r = 0; r < count; r++) {
        vec *p = (vec *)(t->room + w->p + r * QUERIES) + v;
        vec *ds = (vec *)(t->room + w->ds + r * QUERIES) + v;
        vec e = vec_exp(*p - lse), x = e * (*ds - d);
        if (is_masked) {
            veci in_reach = last >= (int32_t)(first_key + r);
            e = vec_select(in_reach, e, vec_all(0.0f));
            x = vec_select(in_reach, x, vec_all(0.0f));
        }
        *p = e;
        *ds = x;
    }
}

/* [keys][QUERIES] = rows of the keys · what the queries have in `turned` */
static void make_pairs(const work *t, int64_t rows, int64_t count, int64_t turned, int64_t out)
{
    tiles_run(&(tiles){.rows = count,
                       .columns = QUERIES,
                       .depth = t->w->s.size,
                       .a = t->room + rows,
                       .a_row = t->w->s.size,
                       .a_column = 1,
                       .b = t->room + turned,
                       .b_row = QUERIES,
                       .c = t->room + out,
                       .c_row = QUERIES});
}

/* The keys' rows of `out` += pairs [keys][queries] · x [queries][padded] */
static void add_to_keys(const work *t, int64_t pairs, int64_t queries, int64_t x, int64_t count,
                        float *out)
{
    tiles_run(&(tiles){.rows = count,
                       .columns = t->w->padded,
                       .depth = queries,
                       .a = t->room + pairs,
                       .a_row = QUERIES,
                       .a_column = 1,
                       .b = t->room + x,
                       .b_row = t->w->padded,
                       .c = out,
                       .c_row = t->w->padded,
                       .add = true});
}

/* `queries` of them are there. */
static void meet_keys(const work *t, int64_t first, int64_t queries, int64_t first_key,
                      int64_t count)
{
    const plan *w = t->w;
    bool is_masked = w->s.causal && first_key + count - 1 > first;
    int64_t from = first_key * w->s.size;
    make_pairs(t, w->k + from, count, w->q_turned, w->p);
    make_pairs(t, w->v + from, count, w->dy_turned, w->ds);
    for (int v = 0; v < QUERY_VECTORS; v++) {
        veci last = vec_last_key(first, v);
        if (is_masked)
            make_vector(t, v, count, last, first_key, true);
        else
            make_vector(t, v, count, last, first_key, false);
    }
    add_to_keys(t, w->p, queries, w->dy, count, t->room + w->dv + first_key * w->padded);
    add_to_keys(t, w->ds, queries, w->q, count, t->room + w->dk + first_key * w->padded);
    tiles_run(&(tiles){.rows = w->s.size,
                       .columns = QUERIES,
                       .depth = count,
                       .a = t->room + w->k + from,
                       .a_row = 1,
                       .a_column = w->s.size,
                       .b = t->room + w->ds,
                       .b_row = QUERIES,
                       .c = t->room + w->dq,
                       .c_row = QUERIES,
                       .add = true});
}

/* What the queries from `first` on bring: q and dy as rows and as columns, lse, and dy · y. */
static void load_queries(const work *t, int64_t first, int64_t count)
{
    const plan *w = t->w;
    const attention_sizes *s = &w->s;
    const float *y = t->call->in[ATTENTION_Y], *lse = t->call->in[ATTENTION_LSE];
    head_rows q = head_of(t->call, s, t->n, 0);
    head_rows dy = {.data = t->call->in[ATTENTION_DY],
                    .dtype = t->call->in_shape[ATTENTION_DY].dtype,
                    .at = t->n / s->heads * s->queries * s->width + t->n % s->heads * s->size,
                    .row = s->width,
                    .size = s->size};
    head_copy(&q, first, count, (float)s->scale, t->room + w->q, w->padded);
    head_copy(&dy, first, count, 1.0f, t->room + w->dy, w->padded);
    head_transpose(&q, first, count, (float)s->scale, t->room + w->q_turned);
    head_transpose(&dy, first, count, 1.0f, t->room + w->dy_turned);
    for (int64_t i = 0; i < QUERIES; i++) {
        const float *row = y + dy.at + (first + i) * s->width,
                    *dy_row = t->room + w->dy + i * w->padded;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < (i < count ? s->size : 0); c++) sum += dy_row[c] * row[c];
        t->room[w->d + i] = sum;
        t->room[w->lse + i] = i < count ? lse[t->n * s->queries + first + i] : 0.0f;
    }
    memset(t->room + w->dq, 0, (size_t)(s->size * QUERIES) * sizeof(float));
}

/* Where output o (dq, dk or dv) of the head begins. */
static float *output_of(const work *t, int o)
{
    const attention_sizes *s = &t->w->s;
    int64_t rows = o ? s->keys : s->queries;
    return (float *)t->call->out[s->is_packed ? 0 : o] + t->n / s->heads * rows * s->row[o] +
           s->at[o] + t->n % s->heads * s->size;
}

static void run_queries(const work *t, int64_t first, int64_t keys)
{
    const plan *w = t->w;
    const attention_sizes *s = &w->s;
    int64_t rest = s->queries - first, count = rest < QUERIES ? rest : QUERIES;
    int64_t reach = attention_seen(s, keys, first + count - 1);
    float *dq = output_of(t, 0) + first * s->row[0];
    load_queries(t, first, count);
    for (int64_t j = 0; j < reach; j += KEYS)
        meet_keys(t, first, count, j, reach - j < KEYS ? reach - j : KEYS);
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < s->size; c++)
            dq[i * s->row[0] + c] = (float)s->scale * t->room[w->dq + c * QUERIES + i];
}

static void run_head(work *t)
{
    const plan *w = t->w;
    const attention_sizes *s = &w->s;
    int64_t keys = head_keys(t->call, s, t->n);
    head_rows k = head_of(t->call, s, t->n, 1), v = head_of(t->call, s, t->n, 2);
    head_copy(&k, 0, keys, 1.0f, t->room + w->k, s->size);
    head_copy(&v, 0, keys, 1.0f, t->room + w->v, s->size);
    memset(t->room + w->dk, 0, (size_t)(s->keys * w->padded) * sizeof(float));
    memset(t->room + w->dv, 0, (size_t)(s->keys * w->padded) * sizeof(float));
    for (int64_t i = 0; i < s->queries; i += QUERIES) run_queries(t, i, keys);
    for (int o = 1; o < 3; o++) {
        const float *from = t->room + (o == 1 ? w->dk : w->dv);
        float *to = output_of(t, o);
        for (int64_t j = 0; j < s->keys; j++)
            memcpy(to + j * s->row[o], from + j * w->padded, (size_t)s->size * sizeof(float));
    }
}

static be_status attention_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    plan w = plan_of(call);
    call->scratch_bytes = (size_t)call->threads * (size_t)w.floats * sizeof(float);
    return BE_OK;
}

static be_status attention_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    plan w = plan_of(call);
    int64_t count = w.s.batch * w.s.heads;
#pragma omp parallel for num_threads(call->threads) schedule(dynamic)
    for (int64_t n = 0; n < count; n++)
        run_head(&(work){.call = call,
                         .w = &w,
                         .room = (float *)call->scratch + omp_get_thread_num() * w.floats,
                         .n = n});
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(attention_backward) = {.implementation = CPU_NATIVE,
                                                   .precisions = 1 << BE_PRECISION_BF16,
                                                   .prepare = attention_backward_prepare,
                                                   .run = attention_backward_run};
