/* Layer normalisation over the last dimension (Ba, Kiros, Hinton: "Layer Normalization", 2016), of
 * x or of x + residual.
 *
 * With v = x + residual, and over the elements of a row of v: mean, the biased variance,
 * rstd = 1 / sqrt(variance + epsilon), n = (v − mean) rstd: y = n weight + bias.  `sum` is v, for
 * the residual stream, and exists only with a residual.
 *
 * Backward, with g = dy weight: dx = rstd (g − mean of g − n · mean of (g n)) + dsum, which is the
 * gradient of the residual too, or that of x from elsewhere; dweight = the sum of dy n over the
 * rows, dbias that of dy, and `sums` that of dx, where it is wanted. */
#include "ops/norm/layer_norm.h"

#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status expect_rows(const be_shape *x, const char *name, be_error *err)
{
    char text[64];
    TRY(op_expect(x, BE_F32, OP_ANY_RANK, name, err));
    if (x->rank < 2)
        FAIL(err, BE_USAGE, "%s: expected at least 2 dimensions, found %s", name,
             shape_text(x, text));
    return BE_OK;
}

static be_shape row_shape(const be_shape *x)
{
    return shape_make(BE_F32, 1, layer_norm_width(x), 0, 0, 0);
}

/* A number for each row. */
static be_shape column_shape(const be_shape *x)
{
    be_shape shape = *x;
    shape.rank--;
    return shape;
}

static be_status layer_norm_infer(op_infer *call, be_error *err)
{
    const layer_norm_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[LAYER_NORM_X], *residual = &call->in[LAYER_NORM_RESIDUAL];
    TRY(expect_rows(x, "layer_norm: x", err));
    be_shape row = row_shape(x);
    TRY(op_expect_same(&call->in[LAYER_NORM_WEIGHT], &row, "layer_norm: weight", err));
    TRY(op_expect_same(&call->in[LAYER_NORM_BIAS], &row, "layer_norm: bias", err));
    if (residual->rank >= 0) TRY(op_expect_same(residual, x, "layer_norm: residual", err));
    if (!(attrs->epsilon > 0.0f) || !isfinite(attrs->epsilon))
        FAIL(err, BE_USAGE, "layer_norm: expected a finite epsilon above 0, found %g",
             (double)attrs->epsilon);
    call->out[LAYER_NORM_Y] = *x;
    call->out[LAYER_NORM_SUM] = *x;
    if (residual->rank < 0) call->out[LAYER_NORM_SUM].rank = -1;
    call->out[LAYER_NORM_MEAN] = call->out[LAYER_NORM_RSTD] = column_shape(x);
    call->out[LAYER_NORM_COPY].rank = -1;
    return BE_OK;
}

static be_status layer_norm_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    bool has_residual = node->in[LAYER_NORM_RESIDUAL] != BE_NONE;
    layer_norm_backward_attrs attrs = {.need_dx = call->need[LAYER_NORM_X] ||
                                                  call->need[LAYER_NORM_RESIDUAL]};
    if (call->dy[LAYER_NORM_Y] == BE_NONE)
        FAIL(err, BE_USAGE,
             "layer_norm: the sum acts on the loss and what is made of it, output 0, does not; use "
             "be_add for a sum alone");
    be_value in[OP_MAX_IN] = {node->in[LAYER_NORM_X],     node->in[LAYER_NORM_WEIGHT],
                              call->dy[LAYER_NORM_Y],     node->out[LAYER_NORM_MEAN],
                              node->out[LAYER_NORM_RSTD], call->dy[LAYER_NORM_SUM]};
    be_value out[OP_MAX_OUT];
    if (has_residual)
        in[LAYER_NORM_BACK_X] = node->out[LAYER_NORM_SUM];
    else
        in[LAYER_NORM_BACK_DSUM] = call->sum[LAYER_NORM_X];
    TRY(graph_add_node(call->graph, &be_op_layer_norm_backward, &attrs, in, out, err));
    call->dx[LAYER_NORM_X] = out[LAYER_NORM_BACK_DX];
    call->dx[LAYER_NORM_RESIDUAL] = out[LAYER_NORM_BACK_DX];
    call->dx[LAYER_NORM_WEIGHT] = out[LAYER_NORM_BACK_DWEIGHT];
    call->dx[LAYER_NORM_BIAS] = out[LAYER_NORM_BACK_DBIAS];
    return BE_OK;
}

be_status layer_norm_sums(be_graph *g, be_value gradient, be_value *out, be_error *err)
{
    int maker = gradient == BE_NONE ? -1 : g->values[gradient].producer;
    *out = BE_NONE;
    if (maker < 0 || g->nodes[maker].op != &be_op_layer_norm_backward) return BE_OK;
    if (g->nodes[maker].out[LAYER_NORM_BACK_DX] != gradient) return BE_OK;
    ((layer_norm_backward_attrs *)g->nodes[maker].attrs)->need_sums = 1;
    TRY(graph_refresh_node(g, (size_t)maker, err));
    *out = g->nodes[maker].out[LAYER_NORM_BACK_SUMS];
    return BE_OK;
}

static void layer_norm_reference(const op_reference *call)
{
    const layer_norm_attrs *attrs = call->attrs;
    const double *weight = call->x[LAYER_NORM_WEIGHT], *bias = call->x[LAYER_NORM_BIAS];
    const double *residual = call->x[LAYER_NORM_RESIDUAL];
    int64_t width = layer_norm_width(&call->in[0]), rows = layer_norm_rows(&call->in[0]);
    for (int64_t n = 0; n < rows; n++) {
        const double *v = call->x[LAYER_NORM_X] + n * width;
        double *y = call->y[LAYER_NORM_Y] + n * width, mean = 0.0, variance = 0.0;
        if (residual) {
            double *sum = call->y[LAYER_NORM_SUM] + n * width;
            for (int64_t i = 0; i < width; i++) sum[i] = v[i] + residual[n * width + i];
            v = sum;
        }
        for (int64_t i = 0; i < width; i++) mean += v[i] / (double)width;
        for (int64_t i = 0; i < width; i++)
            variance += (v[i] - mean) * (v[i] - mean) / (double)width;
        double rstd = 1.0 / sqrt(variance + (double)attrs->epsilon);
        for (int64_t i = 0; i < width; i++) y[i] = (v[i] - mean) * rstd * weight[i] + bias[i];
        call->y[LAYER_NORM_MEAN][n] = mean;
        call->y[LAYER_NORM_RSTD][n] = rstd;
    }
}

static op_cost layer_norm_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    /* Mean, difference, square, sum; the difference again, two products, the bias; the residual. */
    double each = in[LAYER_NORM_RESIDUAL].rank >= 0 ? 9.0 : 8.0;
    return (op_cost){.flops = each * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static be_status layer_norm_backward_infer(op_infer *call, be_error *err)
{
    const layer_norm_backward_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[LAYER_NORM_BACK_X], *dsum = &call->in[LAYER_NORM_BACK_DSUM];
    TRY(expect_rows(x, "layer_norm_backward: x", err));
    be_shape row = row_shape(x), column = column_shape(x);
    TRY(op_expect_same(&call->in[LAYER_NORM_BACK_WEIGHT], &row, "layer_norm_backward: weight",
                       err));
    TRY(op_expect_same(&call->in[LAYER_NORM_BACK_DY], x, "layer_norm_backward: dy", err));
    TRY(op_expect_same(&call->in[LAYER_NORM_BACK_MEAN], &column, "layer_norm_backward: mean", err));
    TRY(op_expect_same(&call->in[LAYER_NORM_BACK_RSTD], &column, "layer_norm_backward: rstd", err));
    if (dsum->rank >= 0) TRY(op_expect_same(dsum, x, "layer_norm_backward: dsum", err));
    call->out[LAYER_NORM_BACK_DX] = *x;
    if (!attrs->need_dx) call->out[LAYER_NORM_BACK_DX].rank = -1;
    call->out[LAYER_NORM_BACK_DWEIGHT] = call->out[LAYER_NORM_BACK_DBIAS] = row;
    call->out[LAYER_NORM_BACK_COPY].rank = -1;
    call->out[LAYER_NORM_BACK_SUMS] = row;
    if (!attrs->need_sums) call->out[LAYER_NORM_BACK_SUMS].rank = -1;
    return BE_OK;
}

/* n at element i of a row. */
static double normalized(const op_reference *call, int64_t row, int64_t i)
{
    double v = call->x[LAYER_NORM_BACK_X][row * layer_norm_width(&call->in[0]) + i];
    return (v - call->x[LAYER_NORM_BACK_MEAN][row]) * call->x[LAYER_NORM_BACK_RSTD][row];
}

static void row_reference(const op_reference *call, int64_t row, double *dx)
{
    int64_t width = layer_norm_width(&call->in[0]);
    const double *weight = call->x[LAYER_NORM_BACK_WEIGHT], *dsum = call->x[LAYER_NORM_BACK_DSUM];
    const double *dy = call->x[LAYER_NORM_BACK_DY] + row * width;
    double rstd = call->x[LAYER_NORM_BACK_RSTD][row], mean_g = 0.0, mean_gn = 0.0;
    for (int64_t i = 0; i < width; i++) {
        mean_g += dy[i] * weight[i] / (double)width;
        mean_gn += dy[i] * weight[i] * normalized(call, row, i) / (double)width;
    }
    for (int64_t i = 0; i < width; i++) {
        dx[i] = rstd * (dy[i] * weight[i] - mean_g - normalized(call, row, i) * mean_gn);
        if (dsum) dx[i] += dsum[row * width + i];
    }
}

static void layer_norm_backward_reference(const op_reference *call)
{
    int64_t width = layer_norm_width(&call->in[0]), rows = layer_norm_rows(&call->in[0]);
    double *dweight = call->y[LAYER_NORM_BACK_DWEIGHT], *dbias = call->y[LAYER_NORM_BACK_DBIAS];
    double *dx = call->y[LAYER_NORM_BACK_DX], *sums = call->y[LAYER_NORM_BACK_SUMS];
    for (int64_t i = 0; i < width; i++) dweight[i] = dbias[i] = 0.0;
    for (int64_t i = 0; sums && i < width; i++) sums[i] = 0.0;
    for (int64_t row = 0; row < rows; row++) {
        const double *dy = call->x[LAYER_NORM_BACK_DY] + row * width;
        for (int64_t i = 0; i < width; i++) {
            dweight[i] += dy[i] * normalized(call, row, i);
            dbias[i] += dy[i];
        }
        if (dx) row_reference(call, row, dx + row * width);
        for (int64_t i = 0; sums && i < width; i++) sums[i] += dx[row * width + i];
    }
}

static op_cost layer_norm_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const layer_norm_backward_attrs *a = attrs;
    /* n: 2; dweight: 2; dbias: 1; dx: the products and their sums 4, itself 4; dsum. */
    double each = 5.0;
    if (a->need_dx) each += 8.0;
    if (a->need_sums) each += 1.0;
    if (in[LAYER_NORM_BACK_DSUM].rank >= 0) each += 1.0;
    return (op_cost){.flops = each * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static const layer_norm_attrs usual = {.epsilon = 1e-5f}, of_bert = {.epsilon = 1e-12f};

#define F32(rank, ...)            \
    {                             \
        BE_F32, rank, __VA_ARGS__ \
    }
#define NORM_CASE(text, attributes, width, residual, ...)                                      \
    {                                                                                          \
        .name = text, .attrs = &attributes,                                                    \
        .in = {__VA_ARGS__, F32(1, {width}), F32(1, {width}), residual}, .low = -1, .high = 1, \
        .tolerance = 2e-6                                                                      \
    }

static const op_case layer_norm_cases[] = {
    NORM_CASE("encoder", usual, 512, OP_ABSENT, F32(3, {2, 37, 512})),
    NORM_CASE("bert-base", of_bert, 768, F32(3, {2, 19, 768}), F32(3, {2, 19, 768})),
    NORM_CASE("odd", usual, 301, OP_ABSENT, F32(2, {37, 301})),
    NORM_CASE("odd with a residual", usual, 301, F32(4, {3, 5, 7, 301}), F32(4, {3, 5, 7, 301})),
    NORM_CASE("many rows", usual, 33, F32(2, {1037, 33}), F32(2, {1037, 33})),
    /* Not around zero, where a mean of a thousand would have lost the digits that are compared. */
    {.name = "one row",
     .attrs = &usual,
     .in = {F32(2, {1, 1000}), F32(1, {1000}), F32(1, {1000}), F32(2, {1, 1000})},
     .low = -1,
     .high = 3,
     .tolerance = 2e-6},
    NORM_CASE("one column", usual, 1, OP_ABSENT, F32(2, {9, 1})),
    /* A mean of 100 is known to 2^-24 · 100 = 6e-6, a tenth of which is y's unit, and no better. */
    {.name = "far from zero",
     .attrs = &usual,
     .in = {F32(2, {23, 517}), F32(1, {517}), F32(1, {517}), OP_ABSENT},
     .low = 99,
     .high = 101,
     .tolerance = 1e-5},
};

static const layer_norm_backward_attrs with_dx = {.need_dx = 1}, weights = {0},
                                       with_sums = {.need_dx = 1, .need_sums = 1};

#define BACKWARD_CASE(text, attributes, rows, width, dsum)                              \
    {                                                                                   \
        .name = text, .attrs = &attributes,                                             \
        .in = {F32(2, {rows, width}), F32(1, {width}), F32(2, {rows, width}),           \
               F32(1, {rows}),        F32(1, {rows}),  dsum},                           \
        .low = -1, .high = 1, .positive = 1u << LAYER_NORM_BACK_RSTD, .tolerance = 3e-6 \
    }

static const op_case layer_norm_backward_cases[] = {
    BACKWARD_CASE("rows", with_dx, 100, 64, OP_ABSENT),
    BACKWARD_CASE("odd", with_dx, 37, 301, F32(2, {37, 301})),
    BACKWARD_CASE("bert-base", with_dx, 67, 768, F32(2, {67, 768})),
    BACKWARD_CASE("weights alone", weights, 37, 301, OP_ABSENT),
    BACKWARD_CASE("many rows", with_dx, 1037, 33, F32(2, {1037, 33})),
    BACKWARD_CASE("parts of several rounds", with_dx, 2713, 9, OP_ABSENT),
    BACKWARD_CASE("one row", with_dx, 1, 1000, OP_ABSENT),
    BACKWARD_CASE("sums", with_sums, 143, 512, F32(2, {143, 512})),
    BACKWARD_CASE("sums, odd", with_sums, 1037, 33, OP_ABSENT),
    BACKWARD_CASE("sums, several turns", with_sums, 19, 2200, OP_ABSENT),
    BACKWARD_CASE("one column", with_dx, 9, 1, F32(2, {9, 1})),
    {.name = "several dimensions",
     .attrs = &with_dx,
     .in = {F32(4, {3, 2, 5, 17}), F32(1, {17}), F32(4, {3, 2, 5, 17}), F32(3, {3, 2, 5}),
            F32(3, {3, 2, 5}), OP_ABSENT},
     .low = -1,
     .high = 1,
     .positive = 1u << LAYER_NORM_BACK_RSTD,
     .tolerance = 3e-6},
};

/* y or the sum may lie where one of the operands ends, which are read element by element first. */
#define LAYER_NORM_ENDS (1u << LAYER_NORM_X | 1u << LAYER_NORM_RESIDUAL)

const be_op be_op_layer_norm = {.name = "layer_norm",
                                .attrs_bytes = sizeof(layer_norm_attrs),
                                .inputs = 4,
                                .outputs = 5,
                                .optional = 1u << LAYER_NORM_RESIDUAL,
                                .in_place = {LAYER_NORM_ENDS, LAYER_NORM_ENDS},
                                .narrow_in = 1u << LAYER_NORM_RESIDUAL,
                                .narrow_out = 1u << LAYER_NORM_Y,
                                .narrow_copy = 1 + LAYER_NORM_COPY,
                                .auxiliary = 1u << LAYER_NORM_MEAN | 1u << LAYER_NORM_RSTD,
                                .infer = layer_norm_infer,
                                .gradient = layer_norm_gradient,
                                .reference = layer_norm_reference,
                                .cost = layer_norm_cost,
                                .cases = layer_norm_cases,
                                .case_count = OP_CASES(layer_norm_cases),
                                .differentiable = 15};

const be_op be_op_layer_norm_backward = {
    .name = "layer_norm_backward",
    .attrs_bytes = sizeof(layer_norm_backward_attrs),
    .inputs = 6,
    .outputs = 5,
    .optional = 1u << LAYER_NORM_BACK_DSUM,
    .narrow_in = 1u << LAYER_NORM_BACK_DY,
    .narrow_copy = 1 + LAYER_NORM_BACK_COPY,
    .in_place = {1u << LAYER_NORM_BACK_X | 1u << LAYER_NORM_BACK_DY | 1u << LAYER_NORM_BACK_DSUM},
    .infer = layer_norm_backward_infer,
    .reference = layer_norm_backward_reference,
    .cost = layer_norm_backward_cost,
    .cases = layer_norm_backward_cases,
    .case_count = OP_CASES(layer_norm_backward_cases)};

/* NAME.SUFFIX, as wide as a row of x and the same everywhere. */
static be_value norm_parameter(be_graph *g, const be_layer_norm_options *options,
                               const char *suffix, int64_t width, float start)
{
    be_error err;
    const char *name;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (arena_printf(g->memory, &name, &err, "%s.%s", options->name ? options->name : "", suffix)) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    return be_parameter_add(g, name, shape_make(BE_F32, 1, width, 0, 0, 0),
                            (be_start){BE_CONSTANT, start});
}

be_value be_layer_norm(be_graph *g, be_value x, const be_layer_norm_options *options)
{
    layer_norm_attrs attrs = {options->epsilon == 0.0f ? 1e-5f : options->epsilon};
    be_value in[OP_MAX_IN], out[OP_MAX_OUT];
    be_shape shape = be_value_shape(g, x);
    int64_t width = shape.rank > 0 ? layer_norm_width(&shape) : 1;
    in[LAYER_NORM_X] = x;
    in[LAYER_NORM_WEIGHT] = norm_parameter(g, options, "weight", width, 1.0f);
    in[LAYER_NORM_BIAS] = norm_parameter(g, options, "bias", width, 0.0f);
    in[LAYER_NORM_RESIDUAL] = options->residual ? *options->residual : BE_NONE;
    be_value y = graph_build(g, &be_op_layer_norm, &attrs, in, out);
    if (options->sum) *options->sum = options->residual ? out[LAYER_NORM_SUM] : x;
    return y;
}
