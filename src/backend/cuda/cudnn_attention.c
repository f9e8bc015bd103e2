/* The tables of attention and of its backward.  See cudnn_patterns.h; the formulas are those of
 * src/ops/attention/attention.c.  The order of the operations is the one that cuDNN knows the
 * pattern by ("cuDNN frontend: scaled dot product attention" tells it). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cudnn_patterns.h"

/* The tensors that both directions have. */
typedef struct parts {
    cudnn_graph *g;
    const cudnn_attention_pattern *what;
    int q, k_turned, y, lse, dy;
    int query_lengths, key_lengths; /* or 0 */
    int64_t pairs[CUDNN_RANK];
} parts;

/* Of q, k, v or y; turned: the rows are the columns. */
static int add_rows(const parts *p, int operand, int64_t tokens, int64_t row, bool turned)
{
    const cudnn_attention_pattern *w = p->what;
    const int64_t dims[2][CUDNN_RANK] = {{w->batch, w->heads, tokens, w->size},
                                         {w->batch, w->heads, w->size, tokens}};
    const int64_t strides[2][CUDNN_RANK] = {{tokens * row, w->size, row, 1},
                                            {tokens * row, w->size, 1, row}};
    return cudnn_add_operand(p->g, operand, DNN_DATA_BFLOAT16, dims[turned], strides[turned]);
}

static int add_lengths(const parts *p, int operand)
{
    const int64_t dims[CUDNN_RANK] = {p->what->batch, 1, 1, 1};
    return p->what->has_lengths ? cudnn_add_operand(p->g, operand, DNN_DATA_INT32, dims, NULL) : 0;
}

/* One number for each query. */
static int add_statistic(const parts *p, int operand)
{
    const cudnn_attention_pattern *w = p->what;
    const int64_t dims[CUDNN_RANK] = {w->batch, w->heads, w->queries, 1};
    return cudnn_add_operand(p->g, operand, DNN_DATA_FLOAT, dims, NULL);
}

static void add_parts(parts *p)
{
    const cudnn_attention_pattern *w = p->what;
    p->q = add_rows(p, CUDNN_ATTENTION_Q, w->queries, w->row, false);
    p->k_turned = add_rows(p, CUDNN_ATTENTION_K, w->keys, w->row, true);
    p->y = add_rows(p, CUDNN_ATTENTION_Y, w->queries, w->heads * w->size, false);
    p->lse = add_statistic(p, CUDNN_ATTENTION_LSE);
    p->query_lengths = add_lengths(p, CUDNN_ATTENTION_QUERY_LENGTHS);
    p->key_lengths = add_lengths(p, CUDNN_ATTENTION_KEY_LENGTHS);
    memcpy(p->pairs, (int64_t[]){w->batch, w->heads, w->queries, w->keys}, sizeof p->pairs);
}

typedef enum product_lengths { QUERIES_KEYS, QUERIES_ALONE, KEYS_ALONE } product_lengths;

/* out = a · b; `of` says which of rows and columns are queries and keys: QUERIES_ALONE has queries
 * as its rows and keys as its depth, KEYS_ALONE the other way round. */
static void multiply(const parts *p, int a, int b, int out, product_lengths of)
{
    cudnn_operation o = {.kind = CUDNN_MULTIPLY, .in = {a, b}, .out = out};
    o.lengths[0] = of == KEYS_ALONE ? p->key_lengths : p->query_lengths;
    o.lengths[1] = of == QUERIES_KEYS ? p->key_lengths : 0;
    o.lengths[2] = of == QUERIES_KEYS ? 0 : of == KEYS_ALONE ? p->query_lengths : p->key_lengths;
    cudnn_add_operation(p->g, &o);
}

static int add_index(const parts *p, int scores, int axis)
{
    int y = cudnn_add_inner(p->g, DNN_DATA_INT32, p->pairs);
    cudnn_add_operation(p->g, &(cudnn_operation){.kind = CUDNN_POINTWISE,
                                                 .mode = DNN_POINTWISE_GEN_INDEX,
                                                 .axis = axis,
                                                 .in = {scores},
                                                 .out = y});
    return y;
}

static int add_truth(const parts *p, int mode, int a, int b)
{
    int y = cudnn_add_inner(p->g, DNN_DATA_BOOLEAN, p->pairs);
    cudnn_add_operation(
        p->g, &(cudnn_operation){.kind = CUDNN_POINTWISE, .mode = mode, .in = {a, b}, .out = y});
    return y;
}

/* The scores where the truth holds, and −∞ elsewhere. */
static int select_scores(const parts *p, int scores, int truth)
{
    int none = cudnn_add_number(p->g, -INFINITY);
    int y = cudnn_add_inner(p->g, DNN_DATA_FLOAT, p->pairs);
    cudnn_add_operation(p->g, &(cudnn_operation){.kind = CUDNN_POINTWISE,
                                                 .mode = DNN_POINTWISE_BINARY_SELECT,
                                                 .in = {scores, none, truth},
                                                 .out = y});
    return y;
}

/* scale · q · kᵀ, and −∞ for what a query does not see. */
static int add_scores(const parts *p)
{
    const cudnn_attention_pattern *w = p->what;
    int products = cudnn_add_inner(p->g, DNN_DATA_FLOAT, p->pairs);
    multiply(p, p->q, p->k_turned, products, QUERIES_KEYS);
    int scale = cudnn_add_number(p->g, w->scale);
    int scores = cudnn_add_pointwise(p->g, DNN_POINTWISE_MUL, products, scale);
    if (w->has_lengths) {
        int query = add_index(p, scores, 2), key = add_index(p, scores, 3);
        int queries = add_truth(p, DNN_POINTWISE_CMP_LT, query, p->query_lengths);
        int keys = add_truth(p, DNN_POINTWISE_CMP_LT, key, p->key_lengths);
        scores = select_scores(p, scores, add_truth(p, DNN_POINTWISE_LOGICAL_AND, queries, keys));
    }
    if (w->is_causal) {
        int query = add_index(p, scores, 2), key = add_index(p, scores, 3);
        scores = select_scores(p, scores, add_truth(p, DNN_POINTWISE_CMP_GE, query, key));
    }
    return scores;
}

static int add_reduction(const parts *p, int mode, int x)
{
    int64_t dims[CUDNN_RANK];
    memcpy(dims, p->g->tensors[x].dims, sizeof dims);
    dims[3] = 1;
    int y = cudnn_add_inner(p->g, DNN_DATA_FLOAT, dims);
    cudnn_add_operation(
        p->g, &(cudnn_operation){.kind = CUDNN_REDUCE, .mode = mode, .in = {x}, .out = y});
    return y;
}

static void add_pointwise_to(const parts *p, int mode, int x, int b, int out)
{
    cudnn_add_operation(
        p->g, &(cudnn_operation){.kind = CUDNN_POINTWISE, .mode = mode, .in = {x, b}, .out = out});
}

static void add_forward(parts *p)
{
    const cudnn_attention_pattern *w = p->what;
    int v = add_rows(p, CUDNN_ATTENTION_V, w->keys, w->row, false);
    int scores = add_scores(p);
    int largest = add_reduction(p, DNN_REDUCE_TENSOR_MAX, scores);
    int below = cudnn_add_pointwise(p->g, DNN_POINTWISE_SUB, scores, largest);
    int powers = cudnn_add_pointwise(p->g, DNN_POINTWISE_EXP, below, 0);
    int sum = add_reduction(p, DNN_REDUCE_TENSOR_ADD, powers);
    int logarithm = cudnn_add_pointwise(p->g, DNN_POINTWISE_LOG, sum, 0);
    add_pointwise_to(p, DNN_POINTWISE_ADD, largest, logarithm, p->lse);
    int weights = cudnn_add_inner(p->g, DNN_DATA_BFLOAT16, p->pairs);
    add_pointwise_to(p, DNN_POINTWISE_DIV, powers, sum, weights);
    multiply(p, weights, v, p->y, QUERIES_ALONE);
}

/* A tensor between operations with its two last dimensions exchanged. */
static int turn(const parts *p, int x)
{
    const cudnn_tensor *from = &p->g->tensors[x];
    const int64_t dims[CUDNN_RANK] = {from->dims[0], from->dims[1], from->dims[3], from->dims[2]};
    int y = cudnn_add_inner(p->g, DNN_DATA_BFLOAT16, dims);
    cudnn_tensor *to = &p->g->tensors[y];
    memcpy(to->strides, from->strides, sizeof to->strides);
    to->strides[2] = from->strides[3];
    to->strides[3] = from->strides[2];
    cudnn_add_operation(p->g, &(cudnn_operation){.kind = CUDNN_RESHAPE, .in = {x}, .out = y});
    return y;
}

/* The sums of dq are written at once and never added to in memory: the form that gives the same
 * bits twice. */
static void add_backward(parts *p)
{
    const cudnn_attention_pattern *w = p->what;
    int v_turned = add_rows(p, CUDNN_ATTENTION_V, w->keys, w->row, true);
    p->dy = add_rows(p, CUDNN_ATTENTION_DY, w->queries, w->heads * w->size, false);
    int dots = add_statistic(p, CUDNN_ATTENTION_DOTS);
    int dq = add_rows(p, CUDNN_ATTENTION_DQ, w->queries, w->row, false);
    int dk = add_rows(p, CUDNN_ATTENTION_DK, w->keys, w->row, false);
    int dv = add_rows(p, CUDNN_ATTENTION_DV, w->keys, w->row, false);
    int one = cudnn_add_number(p->g, 1.0f), scale = cudnn_add_number(p->g, w->scale);

    int products = cudnn_add_pointwise(p->g, DNN_POINTWISE_MUL, p->dy, p->y);
    int sums = add_reduction(p, DNN_REDUCE_TENSOR_ADD, products);
    add_pointwise_to(p, DNN_POINTWISE_MUL, sums, one, dots);

    int below = cudnn_add_pointwise(p->g, DNN_POINTWISE_SUB, add_scores(p), p->lse);
    int weights = cudnn_add_pointwise(p->g, DNN_POINTWISE_EXP, below, 0);
    multiply(p, turn(p, weights), p->dy, dv, KEYS_ALONE);

    int slopes = cudnn_add_inner(p->g, DNN_DATA_FLOAT, p->pairs);
    multiply(p, p->dy, v_turned, slopes, QUERIES_KEYS);
    slopes = cudnn_add_pointwise(p->g, DNN_POINTWISE_SUB, slopes, dots);
    slopes = cudnn_add_pointwise(p->g, DNN_POINTWISE_MUL, slopes, weights);
    slopes = cudnn_add_pointwise(p->g, DNN_POINTWISE_MUL, slopes, scale);
    p->g->tensors[slopes].type = DNN_DATA_BFLOAT16;
    multiply(p, turn(p, slopes), p->q, dk, KEYS_ALONE);
    multiply(p, slopes, turn(p, p->k_turned), dq, QUERIES_ALONE);
}

#define TOKENS_WITHOUT_LENGTHS 128

bool cudnn_attention_is_masked(int64_t queries, int64_t keys, bool has_lengths)
{
    return has_lengths || queries % TOKENS_WITHOUT_LENGTHS || keys % TOKENS_WITHOUT_LENGTHS;
}

void cudnn_attention_graph(const cudnn_attention_pattern *what, cudnn_graph *out)
{
    parts p = {.g = out, .what = what};
    *out = (cudnn_graph){.precision = BE_PRECISION_BF16,
                         .workspace_most = CUDNN_ATTENTION_WORKSPACE_MOST};
    snprintf(out->what, sizeof out->what,
             "%s of %" PRId64 " × %" PRId64 " heads of %" PRId64 ", %" PRId64
             " queries and %" PRId64 " keys",
             what->is_backward ? "the backward of attention" : "attention", what->batch,
             what->heads, what->size, what->queries, what->keys);
    add_parts(&p);
    if (what->is_backward)
        add_backward(&p);
    else
        add_forward(&p);
}
