/* Rows of a table by their numbers: tokens i32 [...], table f32 [V, W] -> y f32 [..., W], y[n] =
 * table[tokens[n]].  A token below 0 or of V or more has no row: its y is NaN, so that it is
 * noticed, nothing outside the table is read, and it gets no gradient.
 *
 * Backward: row v of dtable is the sum of dy[n] over all n with tokens[n] = v, in the order of n,
 * and zero where there is none or v is the padding.  dtable is written wholly; or, where the sum of
 * the gradients until now is given, it lies there, and these rows are added to its own. */
#include "ops/embedding/embedding.h"

#include <inttypes.h>
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status expect_tokens(const be_shape *tokens, const char *name, be_error *err)
{
    char text[64];
    TRY(op_expect(tokens, BE_I32, OP_ANY_RANK, name, err));
    if (tokens->rank > BE_MAX_RANK - 1)
        FAIL(err, BE_USAGE, "%s: expected at most %d dimensions, found %s", name, BE_MAX_RANK - 1,
             shape_text(tokens, text));
    return BE_OK;
}

/* A row of `width` for each token. */
static be_shape rows_of(const be_shape *tokens, int64_t width)
{
    be_shape y = *tokens;
    y.dtype = BE_F32;
    y.dim[y.rank++] = width;
    return y;
}

static be_status embedding_infer(op_infer *call, be_error *err)
{
    const embedding_attrs *attrs = call->attrs;
    const be_shape *tokens = &call->in[0], *table = &call->in[1];
    TRY(expect_tokens(tokens, "embedding: tokens", err));
    TRY(op_expect(table, BE_F32, 2, "embedding: table", err));
    if (attrs->has_padding && (attrs->padding < 0 || attrs->padding >= table->dim[0]))
        FAIL(err, BE_USAGE,
             "embedding: expected a padding_index of 0 to %" PRId64 ", a row of the table, found "
             "%" PRId64,
             table->dim[0] - 1, attrs->padding);
    call->out[0] = rows_of(tokens, table->dim[1]);
    return BE_OK;
}

static be_status embedding_gradient(op_gradient *call, be_error *err)
{
    const embedding_attrs *attrs = call->node->attrs;
    embedding_backward_attrs back = {.padding =
                                         attrs->has_padding ? attrs->padding : EMBEDDING_NO_PADDING,
                                     .rows = be_value_shape(call->graph, call->node->in[1]).dim[0]};
    be_value in[OP_MAX_IN] = {call->node->in[0], call->dy[0], call->sum[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_embedding_backward, &back, in, out, err));
    call->dx[1] = out[0];
    return BE_OK;
}

static void embedding_reference(const op_reference *call)
{
    int64_t count = shape_elements(&call->in[0]), rows = call->in[1].dim[0];
    int64_t width = call->in[1].dim[1];
    for (int64_t n = 0; n < count; n++) {
        int64_t token = (int64_t)call->x[0][n];
        bool is_row = token >= 0 && token < rows;
        for (int64_t c = 0; c < width; c++)
            call->y[0][n * width + c] = is_row ? call->x[1][token * width + c] : (double)NAN;
    }
}

/* Of the table only rows that are asked for are read. */
static op_cost embedding_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    double y = (double)shape_elements(&out[0]), table = (double)shape_elements(&in[1]);
    double elements = (double)shape_elements(&in[0]) + y + (table < y ? table : y);
    return (op_cost){.flops = 0.0, .bytes = elements * sizeof(float)};
}

static be_status embedding_backward_infer(op_infer *call, be_error *err)
{
    const embedding_backward_attrs *attrs = call->attrs;
    const be_shape *tokens = &call->in[0], *dy = &call->in[1];
    TRY(expect_tokens(tokens, "embedding_backward: tokens", err));
    TRY(op_expect(dy, BE_F32, tokens->rank + 1, "embedding_backward: dy", err));
    int64_t width = dy->dim[tokens->rank];
    be_shape rows = rows_of(tokens, width);
    TRY(op_expect_same(dy, &rows, "embedding_backward: dy", err));
    call->out[0] = shape_make(BE_F32, 2, attrs->rows, width, 0, 0);
    if (call->in[EMBEDDING_BACK_SUM].rank < 0) return BE_OK;
    return op_expect_same(&call->in[EMBEDDING_BACK_SUM], &call->out[0], "embedding_backward: sum",
                          err);
}

static void embedding_backward_reference(const op_reference *call)
{
    const embedding_backward_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->in[0]), width = call->out[0].dim[1];
    for (int64_t i = 0; !call->x[EMBEDDING_BACK_SUM] && i < attrs->rows * width; i++)
        call->y[0][i] = 0.0;
    for (int64_t n = 0; n < count; n++) {
        int64_t token = (int64_t)call->x[0][n];
        if (token < 0 || token >= attrs->rows || token == attrs->padding) continue;
        for (int64_t c = 0; c < width; c++)
            call->y[0][token * width + c] += call->x[1][n * width + c];
    }
}

/* Of a sum only the rows that are added to are read and written. */
static op_cost embedding_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    double dy = (double)shape_elements(&in[1]), table = (double)shape_elements(&out[0]);
    double added = 2.0 * (table < dy ? table : dy) + dy + (double)shape_elements(&in[0]);
    bool adds = in[EMBEDDING_BACK_SUM].rank >= 0;
    return (op_cost){.flops = dy, .bytes = adds ? added * sizeof(float) : op_bytes(in, out)};
}

static const embedding_attrs plain = {0};

#define TABLE(rows, width) \
    {                      \
        BE_F32, 2,         \
        {                  \
            rows, width    \
        }                  \
    }
#define EMBEDDING_CASE(text, rows, width, rank, ...)                                              \
    {                                                                                             \
        .name = text, .attrs = &plain, .in = {{BE_I32, rank, {__VA_ARGS__}}, TABLE(rows, width)}, \
        .low = -1, .high = 1, .below = {rows}, .tolerance = 0                                     \
    }

static const op_case embedding_cases[] = {
    EMBEDDING_CASE("sentences", 301, 64, 2, 4, 37),
    EMBEDDING_CASE("odd", 17, 33, 3, 2, 3, 5),
    EMBEDDING_CASE("a vocabulary", 4099, 31, 2, 5, 101),
    EMBEDDING_CASE("one row", 1, 7, 1, 9),
    EMBEDDING_CASE("one", 3, 1, 1, 1),
    EMBEDDING_CASE("several threads", 57, 129, 2, 8, 53),
};

static const embedding_backward_attrs few = {EMBEDDING_NO_PADDING, 17}, padded = {0, 301},
                                      many = {5, 4099}, single = {EMBEDDING_NO_PADDING, 1},
                                      pair = {EMBEDDING_NO_PADDING, 2},
                                      half_used = {EMBEDDING_NO_PADDING, 114};

#define BACKWARD_CASE(text, attributes, used, width, sum, rank, ...)                          \
    {                                                                                         \
        .name = text, .attrs = &attributes,                                                   \
        .in = {{BE_I32, rank, {__VA_ARGS__}}, {BE_F32, rank + 1, {__VA_ARGS__, width}}, sum}, \
        .low = -1, .high = 1, .below = {used}, .ignored = 1, .tolerance = 2e-6                \
    }

/* Tokens of −1 are none; those of `used` and more are never met. */
static const op_case embedding_backward_cases[] = {
    BACKWARD_CASE("sentences, padded with token 0", padded, 5, 64, OP_ABSENT, 2, 4, 37),
    BACKWARD_CASE("odd", few, 17, 33, OP_ABSENT, 3, 2, 3, 5),
    BACKWARD_CASE("a vocabulary", many, 4099, 31, OP_ABSENT, 2, 5, 101),
    BACKWARD_CASE("beyond the vocabulary", few, 23, 33, OP_ABSENT, 2, 3, 41),
    BACKWARD_CASE("one row", single, 1, 7, OP_ABSENT, 1, 2601),
    BACKWARD_CASE("many tokens a row, by words", pair, 2, 136, OP_ABSENT, 2, 3, 1103),
    BACKWARD_CASE("a row in several chunks", pair, 2, 97, OP_ABSENT, 2, 3, 29),
    BACKWARD_CASE("rows without a token", half_used, 57, 129, OP_ABSENT, 2, 8, 53),
    BACKWARD_CASE("added, padded with token 0", padded, 5, 64, TABLE(301, 64), 2, 4, 37),
    BACKWARD_CASE("added, beyond the vocabulary", few, 23, 33, TABLE(17, 33), 2, 3, 41),
    BACKWARD_CASE("added, rows without a token", half_used, 57, 129, TABLE(114, 129), 2, 8, 53),
};

const be_op be_op_embedding = {.name = "embedding",
                               .attrs_bytes = sizeof(embedding_attrs),
                               .inputs = 2,
                               .outputs = 1,
                               .infer = embedding_infer,
                               .gradient = embedding_gradient,
                               .reference = embedding_reference,
                               .cost = embedding_cost,
                               .cases = embedding_cases,
                               .case_count = OP_CASES(embedding_cases),
                               .differentiable = 1u << 1};

const be_op be_op_embedding_backward = {.name = "embedding_backward",
                                        .attrs_bytes = sizeof(embedding_backward_attrs),
                                        .inputs = 3,
                                        .outputs = 1,
                                        .optional = 1u << EMBEDDING_BACK_SUM,
                                        .updates = {1 + EMBEDDING_BACK_SUM},
                                        .infer = embedding_backward_infer,
                                        .reference = embedding_backward_reference,
                                        .cost = embedding_backward_cost,
                                        .cases = embedding_backward_cases,
                                        .case_count = OP_CASES(embedding_backward_cases)};

static be_value make_table(be_graph *g, const be_embedding_options *options)
{
    be_error err;
    const char *name;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (arena_printf(g->memory, &name, &err, "%s.weight", options->name ? options->name : "")) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    return be_parameter_add(g, name, shape_make(BE_F32, 2, options->rows, options->width, 0, 0),
                            options->start);
}

be_value be_embedding(be_graph *g, be_value tokens, const be_embedding_options *options)
{
    embedding_attrs attrs = {options->has_padding, options->padding_index};
    be_value table = options->weight ? *options->weight : make_table(g, options);
    if (options->table) *options->table = table;
    return graph_build(g, &be_op_embedding, &attrs, (be_value[OP_MAX_IN]){tokens, table}, NULL);
}
