/* Convolution (as in neural networks: cross-correlation), alone and with a 2 × 2 max-pool behind
 * it.
 *
 *   conv2d                x [N,C,H,W], w [O,C,K,L], b [O]?  ->  y [N,O,OH,OW], z?
 *   conv2d_backward       x, w, y?, dy, sum?                ->  dx?, dw, db?
 *   conv2d_pool           x, w, b?                          ->  y [N,O,OH/2,OW/2], index u8
 *   conv2d_pool_backward  x, w, index, dy                   ->  dx?, dw, db?
 *
 * OH = (H + 2 padding − K) / stride + 1, and OW so from W, L and the columns' stride and padding;
 * before a pool strides are 1 and windows square.  y = f(z), z the convolution with its bias, f an
 * activation that was fused, or nothing; z is an output of its own where f flows back by it.
 * Through ReLU y is given to go back, for its signs; through any other f activation_backward makes
 * dz first, and it has no pool behind it.  dx is added to a sum that is given.  The pool keeps
 * which of its four inputs won (0 … 3 in reading order, the first of equals), or CONV2D_NO_INDEX
 * where ReLU left nothing. */
#include "ops/conv2d/conv2d.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/pool/pool.h"

/* Rows (0) or columns (1). */
static be_status check_side(const conv2d_attrs *attrs, const be_shape *x, const be_shape *w,
                            int side, be_error *err)
{
    int stride = attrs->stride[side], padding = attrs->padding[side];
    int64_t kernel = w->dim[2 + side];
    char text[64];
    if (stride < 1 || padding < 0)
        FAIL(err, BE_USAGE, "conv2d: expected stride >= 1 and padding >= 0, found %d and %d",
             stride, padding);
    if (padding >= kernel)
        FAIL(err, BE_USAGE,
             "conv2d: expected a padding smaller than the kernel of %" PRId64 ", found %d", kernel,
             padding);
    if (kernel > x->dim[2 + side] + 2 * padding)
        FAIL(err, BE_USAGE,
             "conv2d: a kernel of %" PRId64
             " does not fit into x %s with padding %d; use a smaller "
             "kernel or more padding",
             kernel, shape_text(x, text), padding);
    return BE_OK;
}

static be_status check_operands(const op_infer *call, conv2d_sizes *s, be_error *err)
{
    const be_shape *x = &call->in[0], *w = &call->in[1];
    const conv2d_attrs *attrs = call->attrs;
    char text[64], more[64];
    TRY(op_expect_operand(x, 4, "conv2d: x", err));
    TRY(op_expect(w, x->dtype, 4, "conv2d: w", err));
    if (w->dim[1] != x->dim[1])
        FAIL(err, BE_USAGE,
             "conv2d: expected weights [channels, %" PRId64 ", K, L] for x %s, found %s", x->dim[1],
             shape_text(x, text), shape_text(w, more));
    for (int side = 0; side < 2; side++) TRY(check_side(attrs, x, w, side, err));
    *s = conv2d_size(attrs, x, w);
    return BE_OK;
}

static be_status check_bias(const op_infer *call, const conv2d_sizes *s, be_error *err)
{
    be_shape bias = shape_make(BE_F32, 1, s->o, 0, 0, 0);
    if (call->in[2].rank < 0) return BE_OK;
    return op_expect_same(&call->in[2], &bias, "conv2d: bias", err);
}

static be_status conv2d_infer(op_infer *call, be_error *err)
{
    conv2d_sizes s;
    TRY(check_operands(call, &s, err));
    TRY(check_bias(call, &s, err));
    call->out[0] = call->out[1] = shape_make(BE_F32, 4, s.n, s.o, s.oh, s.ow);
    if (!((const conv2d_attrs *)call->attrs)->keep_z) call->out[1].rank = -1;
    return BE_OK;
}

static be_status conv2d_pool_infer(op_infer *call, be_error *err)
{
    conv2d_sizes s;
    TRY(check_operands(call, &s, err));
    TRY(check_bias(call, &s, err));
    if (!conv2d_is_square(call->attrs, &call->in[1]))
        FAIL(err, BE_USAGE, "conv2d_pool: expected stride 1 and a square window");
    call->out[0] = shape_make(BE_F32, 4, s.n, s.o, s.ph, s.pw);
    call->out[1] = shape_make(BE_U8, 4, s.n, s.o, s.ph, s.pw);
    return BE_OK;
}

static void backward_outputs(op_infer *call, const conv2d_sizes *s)
{
    const conv2d_attrs *attrs = call->attrs;
    call->out[0] = call->in[0];
    if (!attrs->need_dx) call->out[0].rank = -1;
    call->out[1] = call->in[1];
    call->out[0].dtype = call->out[1].dtype = BE_F32;
    call->out[2] = shape_make(BE_F32, 1, s->o, 0, 0, 0);
    if (attrs->no_bias) call->out[2].rank = -1;
}

static be_status conv2d_backward_infer(op_infer *call, be_error *err)
{
    conv2d_sizes s;
    TRY(check_operands(call, &s, err));
    be_shape y = shape_make(BE_F32, 4, s.n, s.o, s.oh, s.ow);
    if (call->in[2].rank >= 0) TRY(op_expect_same(&call->in[2], &y, "conv2d_backward: y", err));
    y.dtype = call->in[0].dtype;
    TRY(op_expect_same(&call->in[3], &y, "conv2d_backward: dy", err));
    backward_outputs(call, &s);
    be_shape *sum = &call->in[CONV2D_BACK_SUM], dx = call->in[0];
    dx.dtype = BE_F32;
    return sum->rank < 0 ? BE_OK : op_expect_same(sum, &dx, "conv2d_backward: sum", err);
}

static be_status conv2d_pool_backward_infer(op_infer *call, be_error *err)
{
    conv2d_sizes s;
    TRY(check_operands(call, &s, err));
    be_shape y = shape_make(BE_F32, 4, s.n, s.o, s.ph, s.pw), index = y;
    index.dtype = BE_U8;
    TRY(op_expect_same(&call->in[2], &index, "conv2d_pool_backward: index", err));
    y.dtype = call->in[0].dtype;
    TRY(op_expect_same(&call->in[3], &y, "conv2d_pool_backward: dy", err));
    backward_outputs(call, &s);
    return BE_OK;
}

static be_status add_backward(op_gradient *call, const be_op *op, be_value third, be_value dz,
                              be_error *err)
{
    const graph_node *node = call->node;
    conv2d_attrs attrs = *(const conv2d_attrs *)node->attrs;
    attrs.activation = BE_IDENTITY;
    attrs.keep_z = 0;
    attrs.need_dx = call->need[0];
    attrs.no_bias = node->in[2] == BE_NONE;
    be_value sum = op == &be_op_conv2d_backward ? call->sum[0] : BE_NONE;
    be_value in[OP_MAX_IN] = {node->in[0], node->in[1], third, dz, sum}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, op, &attrs, in, out, err));
    for (int i = 0; i < 3; i++) call->dx[i] = out[i];
    return BE_OK;
}

static be_status conv2d_gradient(op_gradient *call, be_error *err)
{
    conv2d_attrs *attrs = call->node->attrs;
    be_value dz[2] = {call->dy[0]};
    be_value y = attrs->activation == BE_RELU ? call->node->out[0] : BE_NONE;
    const activation_attrs formula = {attrs->activation, 0};
    if (activation_needs_x(attrs->activation))
        TRY(activation_fused_gradient(call, &formula, &attrs->keep_z, 1, dz, err));
    return add_backward(call, &be_op_conv2d_backward, y, dz[0], err);
}

static be_status conv2d_pool_gradient(op_gradient *call, be_error *err)
{
    return add_backward(call, &be_op_conv2d_pool_backward, call->node->out[1], call->dy[0], err);
}

/* Visit every product of the convolution: f(context, y index, x index, w index). */
typedef void visit(void *context, int64_t y, int64_t x, int64_t w);

static void visit_window(const conv2d_sizes *s, const int64_t at[4], visit *f, void *context)
{
    int64_t n = at[0], o = at[1], i = at[2], j = at[3];
    int64_t y = ((n * s->o + o) * s->oh + i) * s->ow + j;
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t r = 0; r < s->k[0]; r++)
            for (int64_t q = 0; q < s->k[1]; q++) {
                int64_t h = i * s->stride[0] + r - s->padding[0];
                int64_t w = j * s->stride[1] + q - s->padding[1];
                if (h < 0 || w < 0 || h >= s->h || w >= s->w) continue;
                f(context, y, ((n * s->c + c) * s->h + h) * s->w + w,
                  ((o * s->c + c) * s->k[0] + r) * s->k[1] + q);
            }
}

/* In the first `rows` rows and `columns` columns of each image of the output. */
static void visit_all(const conv2d_sizes *s, int64_t rows, int64_t columns, visit *f, void *context)
{
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t o = 0; o < s->o; o++)
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < columns; j++)
                    visit_window(s, (int64_t[]){n, o, i, j}, f, context);
}

typedef struct reference_arrays {
    const double *x, *w, *dy;
    double *y, *dx, *dw;
} reference_arrays;

static void add_forward(void *context, int64_t y, int64_t x, int64_t w)
{
    reference_arrays *a = context;
    (void)y;
    *a->y += a->x[x] * a->w[w];
}

static void add_gradients(void *context, int64_t y, int64_t x, int64_t w)
{
    reference_arrays *a = context;
    if (a->dx) a->dx[x] += a->dy[y] * a->w[w];
    a->dw[w] += a->dy[y] * a->x[x];
}

/* One output of the convolution with bias: z. */
static double reference_at(const op_reference *call, const conv2d_sizes *s, const int64_t at[4])
{
    double sum = call->x[2] ? call->x[2][at[1]] : 0.0;
    reference_arrays a = {.x = call->x[0], .w = call->x[1], .y = &sum};
    visit_window(s, at, add_forward, &a);
    return sum;
}

static void conv2d_reference(const op_reference *call)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in[0], &call->in[1]);
    double *y = call->y[0];
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t o = 0; o < s.o; o++)
            for (int64_t i = 0; i < s.oh; i++)
                for (int64_t j = 0; j < s.ow; j++)
                    *y++ = reference_at(call, &s, (int64_t[]){n, o, i, j});
    activation_finish(attrs->activation, call->y[0], call->y[1], s.n * s.o * s.oh * s.ow);
}

static void conv2d_pool_reference(const op_reference *call)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in[0], &call->in[1]);
    int64_t at = 0;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t o = 0; o < s.o; o++)
            for (int64_t i = 0; i < s.ph; i++)
                for (int64_t j = 0; j < s.pw; j++, at++) {
                    double best = -INFINITY;
                    int index = 0;
                    for (int q = 0; q < 4; q++) {
                        double v =
                            reference_at(call, &s, (int64_t[]){n, o, 2 * i + q / 2, 2 * j + q % 2});
                        if (v > best || isnan(v)) {
                            best = v;
                            index = q;
                        }
                    }
                    if (attrs->activation == BE_RELU && best <= 0.0) {
                        best = 0.0;
                        index = CONV2D_NO_INDEX;
                    }
                    call->y[0][at] = best;
                    call->y[1][at] = index;
                }
}

/* Gradients from the gradient of z, dy.  With a pool, the row
 * and the column that no window of it covers take no part, not even as a zero times a NaN. */
static void reference_backward(const op_reference *call, const conv2d_sizes *s, const double *dy,
                               bool pooled)
{
    int64_t rows = pooled ? 2 * s->ph : s->oh, columns = pooled ? 2 * s->pw : s->ow;
    reference_arrays a = {
        .x = call->x[0], .w = call->x[1], .dy = dy, .dx = call->y[0], .dw = call->y[1]};
    conv2d_begin_dx(call);
    memset(a.dw, 0, (size_t)shape_elements(&call->in[1]) * sizeof(double));
    if (call->y[2]) memset(call->y[2], 0, (size_t)s->o * sizeof(double));
    visit_all(s, rows, columns, add_gradients, &a);
    for (int64_t n = 0; call->y[2] && n < s->n; n++)
        for (int64_t o = 0; o < s->o; o++)
            for (int64_t i = 0; i < s->oh * s->ow; i++) call->y[2][o] += *dy++;
}

static void conv2d_backward_reference(const op_reference *call)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in[0], &call->in[1]);
    const double *y = call->x[2];
    int64_t count = shape_elements(&call->in[3]);
    void *memory = NULL;
    MUST(memory_alloc(&memory, (size_t)count * sizeof(double), "reference", NULL) == BE_OK);
    double *dy = memory;
    for (int64_t i = 0; i < count; i++) dy[i] = y && y[i] <= 0.0 ? 0.0 : call->x[3][i];
    reference_backward(call, &s, dy, false);
    memory_free(memory);
}

static void conv2d_pool_backward_reference(const op_reference *call)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in[0], &call->in[1]);
    void *memory = NULL;
    size_t bytes = (size_t)(s.n * s.o * s.oh * s.ow) * sizeof(double);
    MUST(memory_alloc(&memory, bytes, "reference", NULL) == BE_OK);
    double *dy = memory;
    for (int64_t m = 0; m < s.n * s.o; m++)
        for (int64_t i = 0; i < s.ph; i++)
            for (int64_t j = 0; j < s.pw; j++) {
                int64_t from = (m * s.ph + i) * s.pw + j;
                int q = (int)call->x[2][from];
                if (q == CONV2D_NO_INDEX) continue;
                dy[(m * s.oh + 2 * i + q / 2) * s.ow + 2 * j + q % 2] = call->x[3][from];
            }
    reference_backward(call, &s, dy, true);
    memory_free(memory);
}

static double products(const conv2d_attrs *attrs, const be_shape *in)
{
    conv2d_sizes s = conv2d_size(attrs, &in[0], &in[1]);
    return 2.0 * (double)(s.n * s.o * s.oh * s.ow) * (double)(s.c * s.k[0] * s.k[1]);
}

static op_cost forward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    return (op_cost){.flops = products(attrs, in), .bytes = op_bytes(in, out)};
}

static op_cost backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    return (op_cost){.flops = products(attrs, in) * (out[0].rank < 0 ? 1.0 : 2.0),
                     .bytes = op_bytes(in, out)};
}

static bool conv2d_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                          const void *device)
{
    conv2d_attrs *attrs = node->attrs;
    if (activation_absorb(&attrs->activation, next)) return true;
    if (activation_needs_x(attrs->activation)) return false;
    const pool2d_attrs *pool = next->attrs;
    bool is_square = attrs->square_window && attrs->stride[0] == 1 && attrs->stride[1] == 1 &&
                     attrs->padding[0] == attrs->padding[1];
    if (next->op == &be_op_max_pool2d && pool->size == 2 && pool2d_is_tiling(pool) && is_square &&
        has(device, g, node, &be_op_conv2d_pool)) {
        node->op = &be_op_conv2d_pool;
        return true;
    }
    return false;
}

/* The pair of an option: of rows and of columns, each as `both` where it is left out. */
static void pair_of(int out[2], int both, int rows, int columns)
{
    out[0] = rows ? rows : both;
    out[1] = columns ? columns : both;
}

be_value be_conv2d(be_graph *g, be_value x, const be_conv2d_options *o)
{
    be_shape in = be_value_shape(g, x);
    int kernel[2];
    conv2d_attrs attrs = {0};
    pair_of(kernel, o->kernel, o->kernel_height, o->kernel_width);
    pair_of(attrs.stride, o->stride ? o->stride : 1, o->stride_height, o->stride_width);
    pair_of(attrs.padding, o->padding, o->padding_height, o->padding_width);
    attrs.square_window = kernel[0] == kernel[1];
    int64_t channels = in.rank == 4 ? in.dim[1] : 1, area = (int64_t)kernel[0] * kernel[1];
    be_shape w = shape_make(BE_F32, 4, o->channels, channels, kernel[0], kernel[1]);
    be_start usual = {BE_UNIFORM, 1.0f / sqrtf((float)(channels * area))}, start = o->start;
    if (start.kind == BE_UNIFORM && start.value == 0.0f) start = usual;
    be_value operands[OP_MAX_IN] = {x, graph_parameter(g, o->name, "weight", w, start), BE_NONE};
    if (!o->no_bias)
        operands[2] =
            graph_parameter(g, o->name, "bias", shape_make(BE_F32, 1, o->channels, 0, 0, 0), usual);
    return graph_build(g, &be_op_conv2d, &attrs, operands, NULL);
}

/* Test cases: shapes in reading order N, C, H, W, O, K, L. */
static const conv2d_attrs plain = {.stride = {1, 1}},
                          padded = {.stride = {1, 1}, .padding = {1, 1}};
static const conv2d_attrs strided = {.stride = {2, 2}, .padding = {1, 1}};
static const conv2d_attrs relu = {.stride = {1, 1}, .activation = BE_RELU};
static const conv2d_attrs relu_padded = {
    .stride = {1, 1}, .padding = {1, 1}, .activation = BE_RELU};
static const conv2d_attrs dx = {.stride = {1, 1}, .need_dx = true};
static const conv2d_attrs dx_padded = {.stride = {1, 1}, .padding = {1, 1}, .need_dx = true};
static const conv2d_attrs dx_strided = {.stride = {2, 2}, .padding = {1, 1}, .need_dx = true};
static const conv2d_attrs stem = {.stride = {2, 2}, .padding = {3, 3}, .no_bias = true};
static const conv2d_attrs dx_stem = {
    .stride = {2, 2}, .padding = {3, 3}, .need_dx = true, .no_bias = true};
static const conv2d_attrs shrinking = {.stride = {2, 2}, .activation = BE_RELU};
static const conv2d_attrs dx_shrinking = {.stride = {2, 2}, .need_dx = true, .no_bias = true};
static const conv2d_attrs patches = {.stride = {16, 16}, .no_bias = true};
static const conv2d_attrs small_patches = {.stride = {4, 4}};
static const conv2d_attrs dx_patches = {.stride = {16, 16}, .need_dx = true, .no_bias = true};
static const conv2d_attrs dx_no_bias = {
    .stride = {1, 1}, .padding = {1, 1}, .need_dx = true, .no_bias = true};
static const conv2d_attrs dx_point = {.stride = {1, 1}, .need_dx = true, .no_bias = true};
static const conv2d_attrs no_bias_padded = {.stride = {1, 1}, .padding = {1, 1}, .no_bias = true};
static const conv2d_attrs oblong = {.stride = {1, 2}, .padding = {2, 0}};
static const conv2d_attrs dx_oblong = {.stride = {1, 2}, .padding = {2, 0}, .need_dx = true};
static const conv2d_attrs row = {.stride = {1, 1}, .padding = {0, 3}, .activation = BE_RELU};
static const conv2d_attrs dx_row = {.stride = {1, 1}, .padding = {0, 3}, .need_dx = true};
static const conv2d_attrs dx_wide = {.stride = {1, 1}, .padding = {2, 2}, .need_dx = true};

#define X(kind, name)                         \
    static const conv2d_attrs kept_##name = { \
        .stride = {1, 1}, .activation = BE_##kind, .keep_z = 1};
ACTIVATION_LIST(X)
#undef X
static const conv2d_attrs last = {.stride = {1, 1}, .activation = BE_GELU};
static const conv2d_attrs strided_gelu = {
    .stride = {2, 2}, .padding = {1, 1}, .activation = BE_GELU, .keep_z = 1};

#define CASE(text, attributes, ...)                                                      \
    {                                                                                    \
        .name = text, .attrs = &(attributes), .in = {__VA_ARGS__}, .low = -1, .high = 1, \
        .tolerance = 1e-5                                                                \
    }
#define X(n, c, h, w)  \
    {                  \
        BE_F32, 4,     \
        {              \
            n, c, h, w \
        }              \
    }
#define VECTOR(o)  \
    {              \
        BE_F32, 1, \
        {          \
            o      \
        }          \
    }

#define FORMULA_CASE(text, attributes, ...)                                              \
    {                                                                                    \
        .name = text, .attrs = &(attributes), .in = {__VA_ARGS__}, .low = -1, .high = 1, \
        .tolerance = 1e-5, .is_nonlinear = true                                          \
    }

static const op_case conv2d_cases[] = {
    CASE("one", plain, X(1, 1, 1, 1), X(1, 1, 1, 1), VECTOR(1)),
    CASE("grey", relu, X(3, 1, 28, 28), X(16, 1, 3, 3), VECTOR(16)),
    CASE("colour", relu, X(2, 3, 32, 32), X(6, 3, 5, 5), VECTOR(6)),
    CASE("six", relu, X(2, 6, 14, 14), X(16, 6, 5, 5), VECTOR(16)),
    CASE("padded", relu_padded, X(2, 64, 7, 7), X(96, 64, 3, 3), VECTOR(96)),
    CASE("odd", padded, X(2, 17, 9, 5), X(33, 17, 3, 3), VECTOR(33)),
    CASE("strided", strided, X(2, 5, 9, 11), X(7, 5, 3, 3), VECTOR(7)),
    CASE("no bias", plain, X(2, 16, 13, 13), X(32, 16, 3, 3), OP_ABSENT),
    CASE("pointwise", plain, X(2, 20, 6, 6), X(24, 20, 1, 1), VECTOR(24)),
    CASE("wide", plain, X(1, 32, 26, 40), X(64, 32, 3, 3), VECTOR(64)),
    CASE("stem", stem, X(2, 3, 32, 32), X(64, 3, 7, 7), OP_ABSENT),
    CASE("large image", stem, X(1, 3, 224, 224), X(2, 3, 7, 7), OP_ABSENT),
    CASE("strided, no bias", strided, X(2, 32, 14, 14), X(48, 32, 3, 3), OP_ABSENT),
    CASE("strided pointwise", shrinking, X(2, 32, 14, 13), X(64, 32, 1, 1), VECTOR(64)),
    CASE("patches", patches, X(2, 3, 48, 64), X(40, 3, 16, 16), OP_ABSENT),
    CASE("patches, a rest", small_patches, X(3, 2, 13, 11), X(9, 2, 4, 4), VECTOR(9)),
    CASE("patches of many channels", patches, X(1, 8, 32, 32), X(24, 8, 16, 16), VECTOR(24)),
    CASE("oblong", oblong, X(2, 5, 9, 16), X(7, 5, 5, 2), VECTOR(7)),
    CASE("oblong, blocked", oblong, X(2, 16, 7, 12), X(24, 16, 3, 4), OP_ABSENT),
    CASE("row", row, X(2, 16, 5, 17), X(32, 16, 1, 7), VECTOR(32)),
    CASE("residual", no_bias_padded, X(2, 48, 9, 9), X(48, 48, 3, 3), OP_ABSENT),
    FORMULA_CASE("gelu alone", last, X(2, 16, 7, 6), X(32, 16, 3, 3), VECTOR(32)),
    FORMULA_CASE("gelu, few outputs", kept_gelu, X(2, 3, 9, 9), X(6, 3, 3, 3), OP_ABSENT),
    FORMULA_CASE("gelu, strided", strided_gelu, X(2, 5, 9, 11), X(7, 5, 3, 3), VECTOR(7)),
    FORMULA_CASE("gelu, many weights", kept_gelu, X(1, 64, 5, 5), X(64, 64, 3, 3), VECTOR(64)),
#define KIND(kind, name) \
    FORMULA_CASE(#name " and z", kept_##name, X(2, 16, 7, 6), X(32, 16, 3, 3), VECTOR(32)),
    ACTIVATION_LIST(KIND)
#undef KIND
};

#define BACK(text, attributes, ...) CASE(text, attributes, __VA_ARGS__, OP_ABSENT)

static const op_case conv2d_backward_cases[] = {
    BACK("one", dx, X(1, 1, 1, 1), X(1, 1, 1, 1), OP_ABSENT, X(1, 1, 1, 1)),
    BACK("grey", plain, X(3, 1, 28, 28), X(16, 1, 3, 3), X(3, 16, 26, 26), X(3, 16, 26, 26)),
    BACK("colour", plain, X(2, 3, 32, 32), X(6, 3, 5, 5), X(2, 6, 28, 28), X(2, 6, 28, 28)),
    BACK("six", dx, X(2, 6, 14, 14), X(16, 6, 5, 5), X(2, 16, 10, 10), X(2, 16, 10, 10)),
    BACK("padded", dx_padded, X(2, 64, 7, 7), X(96, 64, 3, 3), X(2, 96, 7, 7), X(2, 96, 7, 7)),
    BACK("odd", dx_padded, X(2, 17, 9, 5), X(33, 17, 3, 3), X(2, 33, 9, 5), X(2, 33, 9, 5)),
    BACK("strided", dx_strided, X(2, 5, 9, 11), X(7, 5, 3, 3), OP_ABSENT, X(2, 7, 5, 6)),
    BACK("wide padding", dx_wide, X(2, 4, 6, 6), X(8, 4, 3, 3), OP_ABSENT, X(2, 8, 8, 8)),
    BACK("pointwise", dx, X(2, 20, 6, 6), X(24, 20, 1, 1), OP_ABSENT, X(2, 24, 6, 6)),
    BACK("stem", stem, X(2, 3, 32, 32), X(64, 3, 7, 7), OP_ABSENT, X(2, 64, 16, 16)),
    BACK("stem, dx", dx_stem, X(1, 3, 25, 22), X(16, 3, 7, 7), OP_ABSENT, X(1, 16, 13, 11)),
    BACK("large image", stem, X(1, 3, 224, 224), X(2, 3, 7, 7), OP_ABSENT, X(1, 2, 112, 112)),
    BACK("strided pointwise", dx_shrinking, X(2, 32, 14, 13), X(64, 32, 1, 1), X(2, 64, 7, 7),
         X(2, 64, 7, 7)),
    BACK("patches", patches, X(2, 3, 48, 64), X(40, 3, 16, 16), OP_ABSENT, X(2, 40, 3, 4)),
    BACK("patches, dx", dx_patches, X(1, 3, 32, 32), X(7, 3, 16, 16), OP_ABSENT, X(1, 7, 2, 2)),
    BACK("patches, a rest", small_patches, X(3, 2, 13, 11), X(9, 2, 4, 4), OP_ABSENT,
         X(3, 9, 3, 2)),
    BACK("oblong", dx_oblong, X(2, 5, 9, 16), X(7, 5, 5, 2), X(2, 7, 9, 8), X(2, 7, 9, 8)),
    BACK("row", dx_row, X(2, 16, 5, 17), X(32, 16, 1, 7), OP_ABSENT, X(2, 32, 5, 17)),
    BACK("residual", dx_no_bias, X(2, 48, 9, 9), X(48, 48, 3, 3), OP_ABSENT, X(2, 48, 9, 9)),
    CASE("added, point", dx_point, X(3, 16, 7, 5), X(24, 16, 1, 1), OP_ABSENT, X(3, 24, 7, 5),
         X(3, 16, 7, 5)),
    BACK("no bias", no_bias_padded, X(2, 3, 12, 12), X(6, 3, 3, 3), OP_ABSENT, X(2, 6, 12, 12)),
    CASE("added, six", dx, X(2, 6, 14, 14), X(16, 6, 5, 5), X(2, 16, 10, 10), X(2, 16, 10, 10),
         X(2, 6, 14, 14)),
    CASE("added, odd", dx_padded, X(2, 17, 9, 5), X(33, 17, 3, 3), X(2, 33, 9, 5), X(2, 33, 9, 5),
         X(2, 17, 9, 5)),
    CASE("added, strided", dx_shrinking, X(2, 32, 14, 13), X(64, 32, 1, 1), OP_ABSENT,
         X(2, 64, 7, 7), X(2, 32, 14, 13)),
    CASE("added, residual", dx_no_bias, X(2, 48, 9, 9), X(48, 48, 3, 3), OP_ABSENT, X(2, 48, 9, 9),
         X(2, 48, 9, 9)),
};

static const op_case conv2d_pool_cases[] = {
    CASE("grey", relu, X(3, 1, 28, 28), X(16, 1, 3, 3), VECTOR(16)),
    CASE("odd rest", relu, X(2, 16, 13, 13), X(32, 16, 3, 3), VECTOR(32)),
    CASE("colour", relu, X(2, 3, 32, 32), X(6, 3, 5, 5), VECTOR(6)),
    CASE("six", plain, X(2, 6, 14, 14), X(16, 6, 5, 5), OP_ABSENT),
    CASE("padded", relu_padded, X(2, 32, 14, 14), X(64, 32, 3, 3), VECTOR(64)),
    CASE("mnist", relu, X(1, 32, 26, 26), X(64, 32, 3, 3), VECTOR(64)),
};

#define POOL_CASE(text, attributes, ...)                                                 \
    {                                                                                    \
        .name = text, .attrs = &(attributes), .in = {__VA_ARGS__}, .low = -1, .high = 1, \
        .below = {[2] = CONV2D_NO_INDEX + 1}, .tolerance = 1e-5                          \
    }
#define INDEX(n, c, h, w) \
    {                     \
        BE_U8, 4,         \
        {                 \
            n, c, h, w    \
        }                 \
    }

static const op_case conv2d_pool_backward_cases[] = {
    POOL_CASE("grey", plain, X(3, 1, 28, 28), X(16, 1, 3, 3), INDEX(3, 16, 13, 13),
              X(3, 16, 13, 13)),
    POOL_CASE("odd rest", dx, X(2, 16, 13, 13), X(32, 16, 3, 3), INDEX(2, 32, 5, 5),
              X(2, 32, 5, 5)),
    POOL_CASE("colour", plain, X(2, 3, 32, 32), X(6, 3, 5, 5), INDEX(2, 6, 14, 14),
              X(2, 6, 14, 14)),
    POOL_CASE("six", dx, X(2, 6, 14, 14), X(16, 6, 5, 5), INDEX(2, 16, 5, 5), X(2, 16, 5, 5)),
    POOL_CASE("no bias", dx_no_bias, X(2, 16, 10, 10), X(24, 16, 3, 3), INDEX(2, 24, 5, 5),
              X(2, 24, 5, 5)),
    POOL_CASE("padded", dx_padded, X(2, 32, 14, 14), X(64, 32, 3, 3), INDEX(2, 64, 7, 7),
              X(2, 64, 7, 7)),
};

const be_op be_op_conv2d = {.name = "conv2d",
                            .narrow_out = 1u << 0,
                            .attrs_bytes = sizeof(conv2d_attrs),
                            .inputs = 3,
                            .outputs = 2,
                            .optional = 1 << 2,
                            .auxiliary = 1 << 1,
                            .infer = conv2d_infer,
                            .gradient = conv2d_gradient,
                            .reference = conv2d_reference,
                            .blocked = conv2d_blocked,
                            .cost = forward_cost,
                            .narrow = 1 << 0 | 1 << 1,
                            .cast = &be_op_cast,
                            .absorb = conv2d_absorb,
                            .cases = conv2d_cases,
                            .case_count = OP_CASES(conv2d_cases),
                            .differentiable = 7};

const be_op be_op_conv2d_backward = {.name = "conv2d_backward",
                                     .narrow_in = 1u << CONV2D_BACK_SUM,
                                     .narrow_out = 1u << 0,
                                     .attrs_bytes = sizeof(conv2d_attrs),
                                     .late = 1u << 0 | 1u << 3, /* x and dy, for dw */
                                     .inputs = 5,
                                     .outputs = 3,
                                     .optional = 1 << 2 | 1 << CONV2D_BACK_SUM,
                                     .in_place = {1u << CONV2D_BACK_SUM},
                                     .infer = conv2d_backward_infer,
                                     .reference = conv2d_backward_reference,
                                     .blocked = conv2d_backward_blocked,
                                     .cost = backward_cost,
                                     .narrow = 1 << 0 | 1 << 1 | 1 << 3,
                                     .cast = &be_op_cast,
                                     .cases = conv2d_backward_cases,
                                     .case_count = OP_CASES(conv2d_backward_cases)};

const be_op be_op_conv2d_pool = {.name = "conv2d_pool",
                                 .attrs_bytes = sizeof(conv2d_attrs),
                                 .inputs = 3,
                                 .outputs = 2,
                                 .optional = 1 << 2,
                                 .infer = conv2d_pool_infer,
                                 .gradient = conv2d_pool_gradient,
                                 .reference = conv2d_pool_reference,
                                 .cost = forward_cost,
                                 .narrow = 1 << 0 | 1 << 1,
                                 .cast = &be_op_cast,
                                 .cases = conv2d_pool_cases,
                                 .case_count = OP_CASES(conv2d_pool_cases),
                                 .differentiable = 7};

const be_op be_op_conv2d_pool_backward = {.name = "conv2d_pool_backward",
                                          .attrs_bytes = sizeof(conv2d_attrs),
                                          .inputs = 4,
                                          .outputs = 3,
                                          .infer = conv2d_pool_backward_infer,
                                          .reference = conv2d_pool_backward_reference,
                                          .cost = backward_cost,
                                          .narrow = 1 << 0 | 1 << 1 | 1 << 3,
                                          .cast = &be_op_cast,
                                          .cases = conv2d_pool_backward_cases,
                                          .case_count = OP_CASES(conv2d_pool_backward_cases)};
