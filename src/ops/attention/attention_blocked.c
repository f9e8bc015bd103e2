/* The products of attention and attention_backward in blocks, for the double interpreter. */
#include <string.h>

#include "graph/graph.h"
#include "graph/reference_product.h"
#include "ops/attention/attention.h"

/* One head, and its pairs [queries, keys]: 0 where the query does not see the key. */
typedef struct pairs {
    const attention_sizes *s;
    attention_head h;
    double *p, *ds;
    int threads;
} pairs;

static product_stride rows(const pairs *n, double *const x[3], int o)
{
    return (product_stride){x[o], n->s->row[o], 1};
}

static product_stride transposed(product_stride x)
{
    return (product_stride){x.data, x.column, x.row};
}

/* of [queries, keys] = a [queries, size] · b [keys, size]ᵀ */
static be_status add_pairs(const pairs *n, product_stride a, product_stride b, double *of,
                           be_error *err)
{
    const attention_sizes *s = n->s;
    memset(of, 0, (size_t)(s->queries * s->keys) * sizeof(double));
    product_strided product = {.m = s->queries,
                               .n = s->keys,
                               .k = s->size,
                               .a = a,
                               .b = transposed(b),
                               .c = {of, s->keys, 1}};
    return product_run_strided(&product, n->threads, err);
}

/* y [queries, size] += of [queries, keys] · x [keys, size] */
static be_status add_to_queries(const pairs *n, double *of, product_stride x, product_stride y,
                                be_error *err)
{
    const attention_sizes *s = n->s;
    product_strided product = {
        .m = s->queries, .n = s->size, .k = s->keys, .a = {of, s->keys, 1}, .b = x, .c = y};
    return product_run_strided(&product, n->threads, err);
}

/* y [keys, size] += of [queries, keys]ᵀ · x [queries, size] */
static be_status add_to_keys(const pairs *n, double *of, product_stride x, product_stride y,
                             be_error *err)
{
    const attention_sizes *s = n->s;
    product_strided product = {
        .m = s->keys, .n = s->size, .k = s->queries, .a = {of, 1, s->keys}, .b = x, .c = y};
    return product_run_strided(&product, n->threads, err);
}

/* p from the products of q and k, and from lse where that is known. */
static void make_p(const pairs *n, bool is_known)
{
    const attention_sizes *s = n->s;
    for (int64_t i = 0; i < s->queries; i++) {
        int64_t reach = attention_seen(s, n->h.keys, i);
        double *p = n->p + i * s->keys, largest = -(double)INFINITY, sum = 0.0;
        for (int64_t j = 0; j < reach; j++) {
            p[j] *= s->scale;
            if (p[j] > largest) largest = p[j];
        }
        for (int64_t j = 0; j < reach && !is_known; j++) sum += exp(p[j] - largest);
        if (!is_known) n->h.lse[i] = reach ? largest + log(sum) : 0.0;
        for (int64_t j = 0; j < s->keys; j++) p[j] = j < reach ? exp(p[j] - n->h.lse[i]) : 0.0;
    }
}

/* ds from the products of dy and v. */
static void make_ds(const pairs *n)
{
    const attention_sizes *s = n->s;
    for (int64_t i = 0; i < s->queries; i++) {
        const double *dy = n->h.dy + i * s->width, *y = n->h.y + i * s->width;
        const double *p = n->p + i * s->keys;
        double *ds = n->ds + i * s->keys, d = 0.0;
        int64_t reach = attention_seen(s, n->h.keys, i);
        for (int64_t c = 0; c < s->size; c++) d += dy[c] * y[c];
        for (int64_t j = 0; j < s->keys; j++)
            ds[j] = j < reach ? s->scale * p[j] * (ds[j] - d) : 0.0;
    }
}

static be_status run_head(const pairs *n, be_error *err)
{
    const attention_head *h = &n->h;
    TRY(add_pairs(n, rows(n, h->x, 0), rows(n, h->x, 1), n->p, err));
    make_p(n, false);
    return add_to_queries(n, n->p, rows(n, h->x, 2), (product_stride){h->y, n->s->width, 1}, err);
}

static be_status run_head_backward(const pairs *n, be_error *err)
{
    const attention_head *h = &n->h;
    product_stride dy = {h->dy, n->s->width, 1};
    TRY(add_pairs(n, rows(n, h->x, 0), rows(n, h->x, 1), n->p, err));
    make_p(n, true);
    TRY(add_to_keys(n, n->p, dy, rows(n, h->dx, 2), err));
    TRY(add_pairs(n, dy, rows(n, h->x, 2), n->ds, err));
    make_ds(n);
    TRY(add_to_queries(n, n->ds, rows(n, h->x, 1), rows(n, h->dx, 0), err));
    return add_to_keys(n, n->ds, rows(n, h->x, 0), rows(n, h->dx, 1), err);
}

/* The outputs that the products add to begin at 0. */
static be_status run_heads(const op_reference *call, bool is_backward, int sums, be_error *err)
{
    attention_sizes s = attention_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    void *memory = NULL;
    be_status status = BE_OK;
    TRY(memory_alloc(&memory, 2 * (size_t)(s.queries * s.keys) * sizeof(double),
                     "the pairs of an attention in double", err));
    pairs n = {.s = &s, .threads = call->threads, .p = memory};
    n.ds = n.p + s.queries * s.keys;
    for (int o = 0; o < sums; o++)
        if (call->y[o])
            memset(call->y[o], 0, (size_t)shape_elements(&call->out[o]) * sizeof(double));
    for (int64_t i = 0; i < s.batch * s.heads && status == BE_OK; i++) {
        n.h = attention_head_of(&s, call, is_backward, i);
        status = is_backward ? run_head_backward(&n, err) : run_head(&n, err);
    }
    memory_free(memory);
    return status;
}

be_status attention_blocked(const op_reference *call, be_error *err)
{
    return run_heads(call, false, 1, err);
}

be_status attention_backward_blocked(const op_reference *call, be_error *err)
{
    return run_heads(call, true, 3, err);
}
