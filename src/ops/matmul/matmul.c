/* Matrix product: y [m, n] = a [m, k] · b [k, n], each operand also as its transpose; or as many
 * products as both operands have matrices: y [batch, m, n] = a [batch, m, k] · b [batch, k, n]. */
#include "ops/matmul/matmul.h"

#include "ops/op_util.h"

static be_status matmul_infer(op_infer *call, be_error *err)
{
    char a[64], b[64];
    int rank = call->in[0].rank == 3 ? 3 : 2;
    TRY(op_expect_operand(&call->in[0], rank, "matmul: a", err));
    TRY(op_expect(&call->in[1], call->in[0].dtype, rank, "matmul: b", err));
    const matmul_attrs *attrs = call->attrs;
    matmul_sizes s = matmul_sizes_of(attrs, &call->in[0], &call->in[1]);
    if (rank == 3 && call->in[1].dim[0] != s.batch)
        FAIL(err, BE_USAGE, "matmul: expected as many matrices of b as of a, found a %s and b %s",
             shape_text(&call->in[0], a), shape_text(&call->in[1], b));
    if (call->in[1].dim[rank - 2 + (attrs->transpose_b != 0)] != s.k)
        FAIL(err, BE_USAGE,
             "matmul: expected as many rows of b as a has columns, found a %s%s and b %s%s",
             shape_text(&call->in[0], a), attrs->transpose_a ? " transposed" : "",
             shape_text(&call->in[1], b), attrs->transpose_b ? " transposed" : "");
    call->out[0] = rank == 3 ? shape_make(BE_F32, 3, s.batch, s.m, s.n, 0)
                             : shape_make(BE_F32, 2, s.m, s.n, 0, 0);
    return BE_OK;
}

static be_status add_product(op_gradient *call, be_value a, be_value b, matmul_attrs attrs,
                             be_value *dx, be_error *err)
{
    be_value in[OP_MAX_IN] = {a, b}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_matmul, &attrs, in, out, err));
    *dx = out[0];
    return BE_OK;
}

/* With A and B the operands as multiplied: dA = dy Bᵀ, dB = Aᵀ dy; a transposed operand gets the
 * transpose of that. */
static be_status matmul_gradient(op_gradient *call, be_error *err)
{
    const matmul_attrs *attrs = call->node->attrs;
    be_value a = call->node->in[0], b = call->node->in[1], dy = call->dy[0];
    int ta = attrs->transpose_a, tb = attrs->transpose_b;
    if (call->need[0] && !ta)
        TRY(add_product(call, dy, b, (matmul_attrs){0, !tb}, &call->dx[0], err));
    if (call->need[0] && ta)
        TRY(add_product(call, b, dy, (matmul_attrs){tb, 1}, &call->dx[0], err));
    if (call->need[1] && !tb)
        TRY(add_product(call, a, dy, (matmul_attrs){!ta, 0}, &call->dx[1], err));
    if (call->need[1] && tb)
        TRY(add_product(call, dy, a, (matmul_attrs){1, ta}, &call->dx[1], err));
    return BE_OK;
}

static void matmul_reference(const op_reference *call)
{
    matmul_sizes s = matmul_sizes_of(call->attrs, &call->in[0], &call->in[1]);
    for (int64_t r = 0; r < s.batch * s.m; r++)
        for (int64_t j = 0; j < s.n; j++) {
            const double *a = call->x[0] + r / s.m * s.m * s.k;
            const double *b = call->x[1] + r / s.m * s.k * s.n;
            double sum = 0.0;
            for (int64_t k = 0; k < s.k; k++)
                sum += a[r % s.m * s.a_stride[0] + k * s.a_stride[1]] *
                       b[k * s.b_stride[0] + j * s.b_stride[1]];
            call->y[0][r * s.n + j] = sum;
        }
}

static op_cost matmul_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    matmul_sizes s = matmul_sizes_of(attrs, &in[0], &in[1]);
    return (op_cost){.flops = 2.0 * (double)s.batch * (double)s.m * (double)s.n * (double)s.k,
                     .bytes = op_bytes(in, out)};
}

static const matmul_attrs nn = {0, 0}, nt = {0, 1}, tn = {1, 0}, tt = {1, 1};

#define MATMUL_CASE(text, attr, a0, a1, b0, b1)                                             \
    {                                                                                       \
        .name = text, .attrs = &attr, .in = {{BE_F32, 2, {a0, a1}}, {BE_F32, 2, {b0, b1}}}, \
        .low = -1, .high = 1, .tolerance = 3e-6                                             \
    }

#define MATMUL_CASE_BATCH(text, attr, count, a0, a1, b0, b1)                                      \
    {                                                                                             \
        .name = text, .attrs = &attr,                                                             \
        .in = {{BE_F32, 3, {count, a0, a1}}, {BE_F32, 3, {count, b0, b1}}}, .low = -1, .high = 1, \
        .tolerance = 3e-6                                                                         \
    }

static const op_case matmul_cases[] = {
    MATMUL_CASE("square", nn, 64, 64, 64, 64),
    MATMUL_CASE("odd", nn, 37, 301, 301, 53),
    MATMUL_CASE("odd, b transposed", nt, 37, 301, 53, 301),
    MATMUL_CASE("odd, a transposed", tn, 301, 37, 301, 53),
    MATMUL_CASE("odd, both transposed", tt, 301, 37, 53, 301),
    MATMUL_CASE("many columns", nn, 11, 7, 7, 2051),
    MATMUL_CASE("many columns, b transposed", nt, 11, 7, 2051, 7),
    MATMUL_CASE("large", nn, 200, 520, 520, 160),
    MATMUL_CASE("row", nn, 1, 99, 99, 17),
    MATMUL_CASE("column", nt, 19, 99, 1, 99),
    MATMUL_CASE("outer", tn, 1, 40, 1, 33),
    MATMUL_CASE("one", tt, 1, 1, 1, 1),
    MATMUL_CASE_BATCH("products", nn, 3, 37, 101, 101, 53),
    MATMUL_CASE_BATCH("products, b transposed", nt, 5, 37, 41, 53, 41),
    MATMUL_CASE_BATCH("products, a transposed", tn, 2, 41, 37, 41, 53),
    MATMUL_CASE_BATCH("products, both transposed", tt, 4, 29, 17, 9, 29),
    MATMUL_CASE_BATCH("many small products", nn, 67, 8, 8, 8, 8),
    MATMUL_CASE_BATCH("products, deep", nn, 2, 16, 2100, 2100, 8),
    MATMUL_CASE_BATCH("a product", nn, 1, 16, 24, 24, 40),
};

const be_op be_op_matmul = {.name = "matmul",
                            .attrs_bytes = sizeof(matmul_attrs),
                            .inputs = 2,
                            .outputs = 1,
                            .infer = matmul_infer,
                            .gradient = matmul_gradient,
                            .reference = matmul_reference,
                            .blocked = matmul_blocked,
                            .cost = matmul_cost,
                            .narrow = 1 << 0 | 1 << 1,
                            .cast = &be_op_cast,
                            .cases = matmul_cases,
                            .case_count = OP_CASES(matmul_cases),
                            .differentiable = 3};

be_value be_matmul(be_graph *g, be_value a, be_value b)
{
    return graph_build(g, &be_op_matmul, &(matmul_attrs){0, 0}, (be_value[OP_MAX_IN]){a, b}, NULL);
}
