/* Attention (Vaswani et al. 2017), each head apart: with scores[i, j] = scale · q[i] · k[j],
 *
 *     y[i] = Σ_j p[i, j] v[j],   p[i, j] = exp(scores[i, j] − lse[i]),
 *     lse[i] = log Σ_j exp(scores[i, j])
 *
 * over the keys j that query i sees: those below the sample's length, and if causal those up to i
 * alone, also where there are more keys than queries (PyTorch's is_causal).  A query that sees no
 * key has y = 0 and lse = 0.  A query at or beyond the length is one like the others: it sees the
 * keys below the length, and gradients that come into its y go back to them.
 *
 * Backward, from its output y and log-sum-exp: with
 * d[i] = dy[i] · y[i], for the pairs of a query i and a key j that it sees,
 *
 *     dv[j] = Σ_i p[i, j] dy[i],   ds[i, j] = scale · p[i, j] (dy[i] · v[j] − d[i]),
 *     dq[i] = Σ_j ds[i, j] k[j],   dk[j] = Σ_i ds[i, j] q[i]
 *
 * (Dao et al. 2022, "FlashAttention", appendix B.4).  What no query sees has zeros.  The gradients
 * lie as q, k and v do: side by side in one value if these did. */
#include "ops/attention/attention.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ops/op_util.h"

static be_status check_heads(const char *op, const attention_attrs *attrs, const be_shape *q,
                             bool is_packed, be_error *err)
{
    char text[64];
    int64_t of = is_packed ? 3 : 1, all = q->dim[2];
    if (attrs->heads < 1)
        FAIL(err, BE_USAGE, "%s: expected at least 1 head, found %d", op, attrs->heads);
    if (is_packed && all % 3 != 0)
        FAIL(err, BE_USAGE,
             "%s: qkv: expected a last dimension of three equal parts, q, k and v side by side, "
             "found %s",
             op, shape_text(q, text));
    if (all / of % attrs->heads != 0)
        FAIL(err, BE_USAGE,
             "%s: expected a number of heads that divides the width %" PRId64 ", found %d", op,
             all / of, attrs->heads);
    if (!isfinite(attrs->scale) || attrs->scale < 0.0f)
        FAIL(err, BE_USAGE,
             "%s: expected a finite scale above 0, or 0 for 1 / sqrt(head size), found %g", op,
             (double)attrs->scale);
    return BE_OK;
}

be_status attention_check(const char *op, const void *attrs, const be_shape *in,
                          attention_sizes *out, be_error *err)
{
    const be_shape *q = &in[ATTENTION_Q], *k = &in[ATTENTION_K], *v = &in[ATTENTION_V],
                   *lengths = &in[ATTENTION_LENGTHS];
    bool is_packed = k->rank < 0;
    char name[64];
    if (is_packed != (v->rank < 0))
        FAIL(err, BE_USAGE,
             "%s: expected q, k and v, or one value with the three side by side, found no %s", op,
             is_packed ? "k" : "v");
    snprintf(name, sizeof name, "%s: %s", op, is_packed ? "qkv" : "q");
    TRY(op_expect_operand(q, 3, name, err));
    TRY(check_heads(op, attrs, q, is_packed, err));
    if (!is_packed) {
        snprintf(name, sizeof name, "%s: k", op);
        TRY(op_expect(k, q->dtype, 3, name, err));
        be_shape like = shape_make(q->dtype, 3, q->dim[0], k->dim[1], q->dim[2], 0);
        TRY(op_expect_same(k, &like, name, err));
        snprintf(name, sizeof name, "%s: v", op);
        TRY(op_expect_same(v, k, name, err));
    }
    if (lengths->rank >= 0) {
        be_shape like = shape_make(BE_I32, 1, q->dim[0], 0, 0, 0);
        snprintf(name, sizeof name, "%s: lengths", op);
        TRY(op_expect_same(lengths, &like, name, err));
    }
    *out = attention_sizes_of(attrs, q, k);
    return BE_OK;
}

static be_status attention_infer(op_infer *call, be_error *err)
{
    attention_sizes s;
    TRY(attention_check("attention", call->attrs, call->in, &s, err));
    call->out[0] = shape_make(BE_F32, 3, s.batch, s.queries, s.width, 0);
    call->out[1] = shape_make(BE_F32, 3, s.batch, s.heads, s.queries, 0);
    return BE_OK;
}

static be_status attention_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    be_value in[OP_MAX_IN] = {node->in[ATTENTION_Q],
                              node->in[ATTENTION_K],
                              node->in[ATTENTION_V],
                              node->in[ATTENTION_LENGTHS],
                              node->out[0],
                              node->out[1],
                              call->dy[0]};
    be_value out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_attention_backward, node->attrs, in, out, err));
    for (int i = 0; i < 3; i++) call->dx[i] = out[i];
    return BE_OK;
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t c = 0; c < count; c++) sum += a[c] * b[c];
    return sum;
}

static double score(const attention_sizes *s, const attention_head *h, int64_t i, int64_t j)
{
    return s->scale * dot(h->x[0] + i * s->row[0], h->x[1] + j * s->row[1], s->size);
}

static void run_query(const attention_sizes *s, const attention_head *h, int64_t i)
{
    double *y = h->y + i * s->width, largest = -(double)INFINITY, sum = 0.0;
    int64_t reach = attention_seen(s, h->keys, i);
    for (int64_t c = 0; c < s->size; c++) y[c] = 0.0;
    h->lse[i] = 0.0;
    if (reach == 0) return;
    for (int64_t j = 0; j < reach; j++) {
        double value = score(s, h, i, j);
        if (value > largest) largest = value;
    }
    for (int64_t j = 0; j < reach; j++) {
        double p = exp(score(s, h, i, j) - largest);
        sum += p;
        for (int64_t c = 0; c < s->size; c++) y[c] += p * h->x[2][j * s->row[2] + c];
    }
    for (int64_t c = 0; c < s->size; c++) y[c] /= sum;
    h->lse[i] = largest + log(sum);
}

static void attention_reference(const op_reference *call)
{
    attention_sizes s = attention_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    for (int64_t n = 0; n < s.batch * s.heads; n++) {
        attention_head h = attention_head_of(&s, call, false, n);
        for (int64_t i = 0; i < s.queries; i++) run_query(&s, &h, i);
    }
}

double attention_pairs(const attention_sizes *s)
{
    double pairs = 0.0;
    for (int64_t i = 0; i < s->queries; i++) pairs += (double)attention_seen(s, s->keys, i);
    return pairs * (double)(s->batch * s->heads);
}

/* The two products, of the pairs that causality leaves; of lengths a graph knows nothing. */
static op_cost attention_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    attention_sizes s = attention_sizes_of(attrs, &in[0], &in[1]);
    return (op_cost){.flops = 2.0 * 2.0 * attention_pairs(&s) * (double)s.size,
                     .bytes = op_bytes(in, out)};
}

static be_status attention_backward_infer(op_infer *call, be_error *err)
{
    const be_shape *in = call->in;
    attention_sizes s;
    TRY(attention_check("attention_backward", call->attrs, in, &s, err));
    be_shape y = shape_make(BE_F32, 3, s.batch, s.queries, s.width, 0),
             lse = shape_make(BE_F32, 3, s.batch, s.heads, s.queries, 0);
    TRY(op_expect_same(&in[ATTENTION_Y], &y, "attention_backward: y", err));
    TRY(op_expect_same(&in[ATTENTION_LSE], &lse, "attention_backward: lse", err));
    y.dtype = in[ATTENTION_Q].dtype;
    TRY(op_expect_same(&in[ATTENTION_DY], &y, "attention_backward: dy", err));
    for (int o = 0; o < 3; o++) {
        call->out[o] = in[o];
        call->out[o].dtype = BE_F32;
    }
    return BE_OK;
}

static void run_query_backward(const attention_sizes *s, const attention_head *h, int64_t i)
{
    const double *q = h->x[0] + i * s->row[0], *dy = h->dy + i * s->width;
    double *dq = h->dx[0] + i * s->row[0];
    double d = dot(dy, h->y + i * s->width, s->size);
    for (int64_t j = 0; j < attention_seen(s, h->keys, i); j++) {
        const double *k = h->x[1] + j * s->row[1], *v = h->x[2] + j * s->row[2];
        double *dk = h->dx[1] + j * s->row[1], *dv = h->dx[2] + j * s->row[2];
        double p = exp(score(s, h, i, j) - h->lse[i]);
        double ds = s->scale * p * (dot(dy, v, s->size) - d);
        for (int64_t c = 0; c < s->size; c++) {
            dq[c] += ds * k[c];
            dk[c] += ds * q[c];
            dv[c] += p * dy[c];
        }
    }
}

static void attention_backward_reference(const op_reference *call)
{
    attention_sizes s = attention_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    for (int o = 0; o < (s.is_packed ? 1 : 3); o++)
        memset(call->y[o], 0, (size_t)shape_elements(&call->out[o]) * sizeof(double));
    for (int64_t n = 0; n < s.batch * s.heads; n++) {
        attention_head h = attention_head_of(&s, call, true, n);
        for (int64_t i = 0; i < s.queries; i++) run_query_backward(&s, &h, i);
    }
}

/* The five products; see attention_cost. */
static op_cost attention_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    attention_sizes s = attention_sizes_of(attrs, &in[0], &in[1]);
    return (op_cost){.flops = 5.0 * 2.0 * attention_pairs(&s) * (double)s.size,
                     .bytes = op_bytes(in, out)};
}

static const attention_attrs one = {.heads = 1}, two = {.heads = 2}, three = {.heads = 3},
                             causal1 = {.heads = 1, .causal = 1},
                             causal2 = {.heads = 2, .causal = 1},
                             scaled = {.heads = 2, .scale = 0.75f};

#define LENGTHS(b) \
    {              \
        BE_I32, 1, \
        {          \
            b      \
        }          \
    }
#define SEPARATE(b, t, s, w)                        \
    {BE_F32, 3, {b, t, w}}, {BE_F32, 3, {b, s, w}}, \
    {                                               \
        BE_F32, 3,                                  \
        {                                           \
            b, s, w                                 \
        }                                           \
    }
#define PACKED(b, t, w) {BE_F32, 3, {b, t, 3 * (w)}}, OP_ABSENT, OP_ABSENT
#define ATTENTION_CASE(text, attr, most, ...)                                    \
    {                                                                            \
        .name = text, .attrs = &attr, .in = {__VA_ARGS__}, .low = -1, .high = 1, \
        .below = {[ATTENTION_LENGTHS] = (most) + 1}, .tolerance = 2e-6           \
    }

static const op_case attention_cases[] = {
    ATTENTION_CASE("small", two, 5, SEPARATE(2, 5, 5, 16), OP_ABSENT),
    ATTENTION_CASE("lengths", three, 37, SEPARATE(4, 37, 37, 60), LENGTHS(4)),
    ATTENTION_CASE("causal", causal2, 70, SEPARATE(2, 70, 70, 32), OP_ABSENT),
    ATTENTION_CASE("packed, causal, lengths", causal2, 45, PACKED(3, 45, 64), LENGTHS(3)),
    ATTENTION_CASE("more keys", scaled, 45, SEPARATE(2, 19, 45, 48), LENGTHS(2)),
    ATTENTION_CASE("more keys, causal", causal1, 131, SEPARATE(1, 67, 131, 36), OP_ABSENT),
    ATTENTION_CASE("more keys, heads of 32", causal2, 131, SEPARATE(2, 67, 131, 64), LENGTHS(2)),
    ATTENTION_CASE("more queries, causal", causal2, 67, SEPARATE(1, 131, 67, 24), OP_ABSENT),
    ATTENTION_CASE("clip's text", causal2, 77, PACKED(1, 77, 128), OP_ABSENT),
    ATTENTION_CASE("several blocks", one, 197, PACKED(1, 197, 64), LENGTHS(1)),
    ATTENTION_CASE("head of 80", two, 41, SEPARATE(1, 41, 41, 160), LENGTHS(1)),
    ATTENTION_CASE("head of 128", causal1, 150, PACKED(1, 150, 128), OP_ABSENT),
    ATTENTION_CASE("head of 7", three, 33, PACKED(2, 33, 21), LENGTHS(2)),
    ATTENTION_CASE("one", one, 1, SEPARATE(1, 1, 1, 1), LENGTHS(1)),
    /* Scores far beyond what exp has room for.  One of 16 products of at most 144, by 4, may be off
     * by 16 · 2^-24 of their sizes, 1.4e-4 where these are as large as they are on average; p is
     * off by as much in relation to itself, its sum too. */
    {.name = "large scores",
     .attrs = &two,
     .in = {SEPARATE(1, 70, 150, 32), OP_ABSENT},
     .low = -12,
     .high = 12,
     .tolerance = 3e-4},
};

/* y, lse and dy */
#define RESULTS(b, t, h, w)                         \
    {BE_F32, 3, {b, t, w}}, {BE_F32, 3, {b, h, t}}, \
    {                                               \
        BE_F32, 3,                                  \
        {                                           \
            b, t, w                                 \
        }                                           \
    }
#define BACKWARD_CASE(text, attr, most, ...)                                         \
    {                                                                                \
        .name = text, .attrs = &attr, .in = {__VA_ARGS__}, .low = -1, .high = 1,     \
        .below = {[ATTENTION_LENGTHS] = (most) + 1}, .positive = 1 << ATTENTION_LSE, \
        .tolerance = 3e-6                                                            \
    }

static const op_case attention_backward_cases[] = {
    BACKWARD_CASE("small", two, 5, SEPARATE(2, 5, 5, 16), OP_ABSENT, RESULTS(2, 5, 2, 16)),
    BACKWARD_CASE("lengths", three, 37, SEPARATE(4, 37, 37, 60), LENGTHS(4), RESULTS(4, 37, 3, 60)),
    BACKWARD_CASE("causal", causal2, 70, SEPARATE(2, 70, 70, 32), OP_ABSENT, RESULTS(2, 70, 2, 32)),
    BACKWARD_CASE("packed, causal, lengths", causal2, 45, PACKED(3, 45, 64), LENGTHS(3),
                  RESULTS(3, 45, 2, 64)),
    BACKWARD_CASE("more keys", scaled, 45, SEPARATE(2, 19, 45, 48), LENGTHS(2),
                  RESULTS(2, 19, 2, 48)),
    BACKWARD_CASE("more keys, causal", causal1, 131, SEPARATE(1, 67, 131, 36), OP_ABSENT,
                  RESULTS(1, 67, 1, 36)),
    BACKWARD_CASE("more keys, heads of 32", causal2, 131, SEPARATE(2, 67, 131, 64), LENGTHS(2),
                  RESULTS(2, 67, 2, 64)),
    BACKWARD_CASE("more queries, causal", causal2, 67, SEPARATE(1, 131, 67, 24), OP_ABSENT,
                  RESULTS(1, 131, 2, 24)),
    BACKWARD_CASE("clip's text", causal2, 77, PACKED(1, 77, 128), OP_ABSENT,
                  RESULTS(1, 77, 2, 128)),
    BACKWARD_CASE("several blocks", one, 197, PACKED(1, 197, 64), LENGTHS(1),
                  RESULTS(1, 197, 1, 64)),
    BACKWARD_CASE("head of 80", two, 41, SEPARATE(1, 41, 41, 160), LENGTHS(1),
                  RESULTS(1, 41, 2, 160)),
    BACKWARD_CASE("head of 128", causal1, 150, PACKED(1, 150, 128), OP_ABSENT,
                  RESULTS(1, 150, 1, 128)),
    BACKWARD_CASE("head of 7", three, 33, PACKED(2, 33, 21), LENGTHS(2), RESULTS(2, 33, 3, 21)),
    BACKWARD_CASE("one", one, 1, SEPARATE(1, 1, 1, 1), LENGTHS(1), RESULTS(1, 1, 1, 1)),
};

const be_op be_op_attention = {
    .name = "attention",
    .attrs_bytes = sizeof(attention_attrs),
    .inputs = 4,
    .outputs = 2,
    .optional = 1 << ATTENTION_K | 1 << ATTENTION_V | 1 << ATTENTION_LENGTHS,
    .auxiliary = 1 << 1,
    .infer = attention_infer,
    .gradient = attention_gradient,
    .reference = attention_reference,
    .blocked = attention_blocked,
    .cost = attention_cost,
    .narrow = 1 << ATTENTION_Q | 1 << ATTENTION_K | 1 << ATTENTION_V,
    .is_nonlinear = true,
    .narrow_out = 1,
    .cast = &be_op_cast,
    .side_by_side = 1 << ATTENTION_Q | 1 << ATTENTION_K | 1 << ATTENTION_V,
    .cases = attention_cases,
    .case_count = OP_CASES(attention_cases),
    .differentiable = 1 << ATTENTION_Q | 1 << ATTENTION_K | 1 << ATTENTION_V};

const be_op be_op_attention_backward = {
    .name = "attention_backward",
    .attrs_bytes = sizeof(attention_attrs),
    .inputs = 7,
    .outputs = 3,
    .optional = 1 << ATTENTION_K | 1 << ATTENTION_V | 1 << ATTENTION_LENGTHS,
    .infer = attention_backward_infer,
    .reference = attention_backward_reference,
    .blocked = attention_backward_blocked,
    .cost = attention_backward_cost,
    .narrow = 1 << ATTENTION_Q | 1 << ATTENTION_K | 1 << ATTENTION_V | 1 << ATTENTION_DY,
    .is_nonlinear = true,
    .narrow_in = 1u << ATTENTION_Y,
    .narrow_out = 7,
    .cast = &be_op_cast,
    .cases = attention_backward_cases,
    .case_count = OP_CASES(attention_backward_cases)};

be_value be_attention(be_graph *g, const be_attention_options *options)
{
    const be_attention_options *o = options;
    be_error err;
    attention_attrs attrs = {.heads = o->heads, .causal = o->causal != 0, .scale = o->scale};
    bool is_packed = o->qkv != BE_NONE;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (is_packed && (o->q != BE_NONE || o->k != BE_NONE || o->v != BE_NONE)) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "attention: expected q, k and v, or qkv in their place, found both; set what "
                    "is not there to BE_NONE");
        graph_blame(g, &err);
        return BE_NONE;
    }
    if (!is_packed && o->k == BE_NONE && o->v == BE_NONE) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "attention: expected q, k and v, or qkv with the three side by side, found no "
                    "k and no v");
        graph_blame(g, &err);
        return BE_NONE;
    }
    return graph_build(g, &be_op_attention, &attrs,
                       (be_value[OP_MAX_IN]){is_packed ? o->qkv : o->q, o->k, o->v, o->lengths},
                       NULL);
}
