/* Linear layer: z = x wᵀ + b and y = f(z), with x [..., in], w [out, in], b [out], y [..., out]; f
 * is an activation that was fused, or nothing.  All dimensions of x before the last are rows.  With
 * `input_first` w lies as [in, out].  z is an output of its own where f flows back by it.
 * Backward, with dz = dy where y > 0 (all of dy without ReLU): dx = dz w, dw = dzᵀ x, db = the sum
 * of dz over the rows; with a gradient of x from elsewhere dx is added to it.  Through any other f
 * activation_backward makes dz first. */
#include "ops/matmul/linear.h"

#include <inttypes.h>
#include <math.h>

#include "ops/norm/layer_norm.h"
#include "ops/op_util.h"

/* y of x, in f32. */
static be_shape output_shape(const be_shape *x, int64_t out)
{
    be_shape y = *x;
    y.dtype = BE_F32;
    y.dim[y.rank - 1] = out;
    return y;
}

static be_status expect_operands(const be_shape *x, const be_shape *w, int input_first,
                                 be_error *err)
{
    char text[64];
    TRY(op_expect_operand(x, OP_ANY_RANK, "linear: x", err));
    if (x->rank < 2)
        FAIL(err, BE_USAGE, "linear: x: expected at least 2 dimensions, found %s",
             shape_text(x, text));
    TRY(op_expect(w, x->dtype, 2, "linear: w", err));
    int64_t in = x->dim[x->rank - 1];
    if (w->dim[input_first ? 0 : 1] != in)
        FAIL(err, BE_USAGE,
             "linear: w: expected %" PRId64 " %s, one for each feature of x, found %s", in,
             input_first ? "rows" : "columns", shape_text(w, text));
    return BE_OK;
}

static be_status linear_infer(op_infer *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0], *w = &call->in[1], *b = &call->in[2];
    TRY(expect_operands(x, w, attrs->input_first, err));
    linear_sizes s = linear_sizes_of(attrs, x, w);
    be_shape bias = shape_make(BE_F32, 1, s.out, 0, 0, 0);
    if (b->rank >= 0) TRY(op_expect_same(b, &bias, "linear: b", err));
    call->out[0] = call->out[1] = output_shape(x, s.out);
    if (!attrs->keep_z) call->out[1].rank = -1;
    return BE_OK;
}

static be_status linear_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    linear_attrs *attrs = node->attrs;
    bool has_bias = node->in[2] != BE_NONE, is_formula = activation_needs_x(attrs->activation);
    /* The gradient of the bias is made where dz is, if its maker can. */
    const activation_attrs formula = {attrs->activation, has_bias};
    be_value dz[2] = {call->dy[0], BE_NONE}, db = BE_NONE;
    be_value y = attrs->activation == BE_RELU ? node->out[0] : BE_NONE;
    if (is_formula) TRY(activation_fused_gradient(call, &formula, &attrs->keep_z, 1, dz, err));
    if (is_formula)
        db = dz[1];
    else if (has_bias && y == BE_NONE)
        TRY(layer_norm_sums(call->graph, dz[0], &db, err));
    const linear_attrs backward = {.need_dx = call->need[0],
                                   .has_bias = has_bias && db == BE_NONE,
                                   .input_first = attrs->input_first};
    be_value in[OP_MAX_IN] = {node->in[0], node->in[1], y, dz[0], call->sum[0]};
    be_value out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_linear_backward, &backward, in, out, err));
    call->dx[0] = out[0];
    call->dx[1] = out[1];
    call->dx[2] = db == BE_NONE ? out[2] : db;
    return BE_OK;
}

static bool linear_absorb(const be_graph *g, graph_node *node, const graph_node *next, op_has *has,
                          const void *device)
{
    (void)g;
    (void)has;
    (void)device;
    return activation_absorb(&((linear_attrs *)node->attrs)->activation, next);
}

/* The rows of w are its outputs, unless it lies as [in, out]. */
static bool linear_stacks(const void *attributes)
{
    const linear_attrs *attrs = attributes;
    return !attrs->input_first && !attrs->keep_z && attrs->activation == BE_IDENTITY;
}

static void linear_reference(const op_reference *call)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(attrs, &call->in[0], &call->in[1]);
    const double *x = call->x[0], *w = call->x[1], *b = call->x[2];
    for (int64_t n = 0; n < s.rows; n++)
        for (int64_t o = 0; o < s.out; o++) {
            double sum = b ? b[o] : 0.0;
            for (int64_t i = 0; i < s.in; i++) sum += x[n * s.in + i] * w[o * s.w_out + i * s.w_in];
            call->y[0][n * s.out + o] = sum;
        }
    activation_finish(attrs->activation, call->y[0], call->y[1], s.rows * s.out);
}

static double product_flops(const be_shape *x, const be_shape *w)
{
    double rows = (double)shape_elements(x) / (double)x->dim[x->rank - 1];
    return 2.0 * rows * (double)shape_elements(w);
}

static op_cost linear_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const linear_attrs *a = attrs;
    double each = (double)shape_elements(&out[0]);
    double flops = product_flops(&in[0], &in[1]);
    if (in[2].rank >= 0) flops += each;
    flops += activation_flops(a->activation) * each;
    return (op_cost){.flops = flops, .bytes = op_bytes(in, out)};
}

static be_status linear_backward_infer(op_infer *call, be_error *err)
{
    const linear_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0], *w = &call->in[1];
    TRY(expect_operands(x, w, attrs->input_first, err));
    linear_sizes s = linear_sizes_of(attrs, x, w);
    be_shape y = output_shape(x, s.out);
    if (call->in[2].rank >= 0) TRY(op_expect_same(&call->in[2], &y, "linear_backward: y", err));
    y.dtype = x->dtype;
    TRY(op_expect_same(&call->in[3], &y, "linear_backward: dy", err));
    call->out[0] = *x;
    call->out[1] = *w;
    be_shape dx = *x;
    dx.dtype = BE_F32;
    if (attrs->need_dx && call->in[LINEAR_BACK_SUM].rank >= 0)
        TRY(op_expect_same(&call->in[LINEAR_BACK_SUM], &dx, "linear_backward: sum", err));
    call->out[0].dtype = call->out[1].dtype = BE_F32;
    call->out[2] = shape_make(BE_F32, 1, s.out, 0, 0, 0);
    if (!attrs->need_dx) call->out[0].rank = -1;
    if (!attrs->has_bias) call->out[2].rank = -1;
    return BE_OK;
}

static void linear_backward_reference(const op_reference *call)
{
    const linear_attrs *attrs = call->attrs;
    linear_sizes s = linear_sizes_of(attrs, &call->in[0], &call->in[1]);
    const double *x = call->x[0], *w = call->x[1], *y = call->x[2], *dy = call->x[3];
    const double *sum = call->x[LINEAR_BACK_SUM];
    double *dx = call->y[0], *dw = call->y[1], *db = call->y[2];
    for (int64_t i = 0; dx && i < s.rows * s.in; i++) dx[i] = sum ? sum[i] : 0.0;
    for (int64_t i = 0; i < s.out * s.in; i++) dw[i] = 0.0;
    for (int64_t o = 0; db && o < s.out; o++) db[o] = 0.0;
    for (int64_t n = 0; n < s.rows; n++)
        for (int64_t o = 0; o < s.out; o++) {
            int64_t at = n * s.out + o;
            double dz = y && !(y[at] > 0.0) ? 0.0 : dy[at];
            for (int64_t i = 0; i < s.in; i++) {
                int64_t weight = o * s.w_out + i * s.w_in;
                if (dx) dx[n * s.in + i] += dz * w[weight];
                dw[weight] += dz * x[n * s.in + i];
            }
            if (db) db[o] += dz;
        }
}

static op_cost linear_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const linear_attrs *a = attrs;
    double each = (double)shape_elements(&in[3]);
    double flops = product_flops(&in[0], &in[1]) * (a->need_dx ? 2.0 : 1.0);
    if (a->has_bias) flops += each;
    if (in[2].rank >= 0) flops += each;
    if (in[LINEAR_BACK_SUM].rank >= 0) flops += (double)shape_elements(&in[0]);
    return (op_cost){.flops = flops, .bytes = op_bytes(in, out)};
}

static const linear_attrs plain = {0}, with_relu = {.activation = BE_RELU},
                          input_first = {.input_first = 1},
                          input_first_relu = {.input_first = 1, .activation = BE_RELU};

static const linear_attrs with_gelu = {.activation = BE_GELU},
                          first_gelu = {.input_first = 1, .activation = BE_GELU};
#define X(kind, name) \
    static const linear_attrs kept_##name = {.activation = BE_##kind, .keep_z = 1};
ACTIVATION_LIST(X)
#undef X

#define LINEAR_CASE(text, attr, eps, w0, w1, b0, ...)                                            \
    {                                                                                            \
        .name = text, .attrs = &attr, .in = {__VA_ARGS__, {BE_F32, 2, {w0, w1}}, b0}, .low = -1, \
        .high = 1, .tolerance = eps                                                              \
    }
#define FORMULA_CASE(text, attr, w0, w1, b0, ...)                                                \
    {                                                                                            \
        .name = text, .attrs = &attr, .in = {__VA_ARGS__, {BE_F32, 2, {w0, w1}}, b0}, .low = -1, \
        .high = 1, .tolerance = 3e-6, .is_nonlinear = true                                       \
    }
#define BIAS(count) \
    {               \
        BE_F32, 1,  \
        {           \
            count   \
        }           \
    }

static const op_case linear_cases[] = {
    LINEAR_CASE("cnn-fashion 1", with_relu, 3e-6, 40, 800, BIAS(40), {BE_F32, 2, {100, 800}}),
    LINEAR_CASE("cnn-fashion 2", plain, 2e-6, 10, 40, BIAS(10), {BE_F32, 2, {100, 40}}),
    LINEAR_CASE("mlp-mnist 1", with_relu, 3e-6, 128, 784, BIAS(128), {BE_F32, 2, {64, 784}}),
    LINEAR_CASE("mlp-mnist 2", with_relu, 3e-6, 64, 128, BIAS(64), {BE_F32, 2, {64, 128}}),
    LINEAR_CASE("cnn-cifar 2", with_relu, 3e-6, 84, 120, BIAS(84), {BE_F32, 2, {64, 120}}),
    LINEAR_CASE("cnn-mnist 1", with_relu, 1e-5, 128, 9216, BIAS(128), {BE_F32, 2, {3, 9216}}),
    LINEAR_CASE("cnn5-fashion", plain, 3e-6, 10, 256, BIAS(10), {BE_F32, 2, {100, 256}}),
    LINEAR_CASE("odd", with_relu, 3e-6, 53, 517, BIAS(53), {BE_F32, 2, {37, 517}}),
    LINEAR_CASE("no bias", plain, 3e-6, 33, 65, OP_ABSENT, {BE_F32, 2, {17, 65}}),
    LINEAR_CASE("no bias, ReLU", with_relu, 3e-6, 129, 31, OP_ABSENT, {BE_F32, 2, {5, 31}}),
    {.name = "many columns",
     .attrs = &plain,
     .in = {{BE_F32, 2, {67, 19}}, {BE_F32, 2, {4099, 19}}, BIAS(4099)},
     .low = -1,
     .high = 1,
     .tolerance = 3e-6,
     .in_every_precision = true},
    LINEAR_CASE("one row", with_relu, 3e-6, 40, 800, BIAS(40), {BE_F32, 2, {1, 800}}),
    LINEAR_CASE("one output", plain, 3e-6, 1, 300, BIAS(1), {BE_F32, 2, {7, 300}}),
    LINEAR_CASE("one input", plain, 2e-6, 20, 1, BIAS(20), {BE_F32, 2, {9, 1}}),
    LINEAR_CASE("one", plain, 2e-6, 1, 1, BIAS(1), {BE_F32, 2, {1, 1}}),
    LINEAR_CASE("sequences", with_relu, 3e-6, 96, 64, BIAS(96), {BE_F32, 3, {3, 17, 64}}),
    LINEAR_CASE("sequences, no bias", plain, 3e-6, 65, 33, OP_ABSENT, {BE_F32, 3, {5, 7, 33}}),
    LINEAR_CASE("four dimensions", plain, 3e-6, 9, 21, BIAS(9), {BE_F32, 4, {2, 3, 5, 21}}),
    LINEAR_CASE("input first", input_first, 3e-6, 64, 192, BIAS(192), {BE_F32, 3, {2, 37, 64}}),
    LINEAR_CASE("many rows", with_relu, 3e-6, 260, 300, BIAS(260), {BE_F32, 2, {325, 300}}),
    LINEAR_CASE("input first, rows of 2 KiB", input_first_relu, 3e-6, 300, 512, BIAS(512),
                {BE_F32, 2, {131, 300}}),
    LINEAR_CASE("input first, odd", input_first_relu, 3e-6, 517, 53, BIAS(53),
                {BE_F32, 2, {37, 517}}),
    LINEAR_CASE("input first, no bias", input_first, 3e-6, 33, 65, OP_ABSENT,
                {BE_F32, 3, {3, 5, 33}}),
    LINEAR_CASE("input first, one output", input_first, 3e-6, 300, 1, BIAS(1),
                {BE_F32, 2, {7, 300}}),
    FORMULA_CASE("gelu", with_gelu, 96, 64, BIAS(96), {BE_F32, 3, {3, 17, 64}}),
    FORMULA_CASE("gelu, no bias", kept_gelu, 33, 65, OP_ABSENT, {BE_F32, 2, {17, 65}}),
    FORMULA_CASE("gelu, input first", first_gelu, 65, 129, BIAS(129), {BE_F32, 2, {7, 65}}),
#define X(kind, name) \
    FORMULA_CASE(#name " and z", kept_##name, 53, 117, BIAS(53), {BE_F32, 2, {37, 117}}),
    ACTIVATION_LIST(X)
#undef X
};

static const linear_attrs all = {.need_dx = 1, .has_bias = 1}, first = {.has_bias = 1},
                          weights = {0}, no_bias = {.need_dx = 1},
                          all_input_first = {.input_first = 1, .need_dx = 1, .has_bias = 1};

#define BACKWARD_CASE(text, attr, rows, features, outputs, y) \
    {                                                         \
        .name = text, .attrs = &attr,                         \
        .in = {{BE_F32, 2, {rows, features}},                 \
               {BE_F32, 2, {outputs, features}},              \
               y,                                             \
               {BE_F32, 2, {rows, outputs}},                  \
               OP_ABSENT},                                    \
        .low = -1, .high = 1, .tolerance = 3e-6               \
    }
#define SEQUENCE_CASE(text, attr, length, features, outputs, w0, w1, y) \
    {                                                                   \
        .name = text, .attrs = &attr,                                   \
        .in = {{BE_F32, 3, {3, length, features}},                      \
               {BE_F32, 2, {w0, w1}},                                   \
               y,                                                       \
               {BE_F32, 3, {3, length, outputs}},                       \
               OP_ABSENT},                                              \
        .low = -1, .high = 1, .tolerance = 3e-6                         \
    }
#define ADDING_CASE(text, attr, rows, features, outputs, w0, w1) \
    {                                                            \
        .name = text, .attrs = &attr,                            \
        .in = {{BE_F32, 2, {rows, features}},                    \
               {BE_F32, 2, {w0, w1}},                            \
               OP_ABSENT,                                        \
               {BE_F32, 2, {rows, outputs}},                     \
               {BE_F32, 2, {rows, features}}},                   \
        .low = -1, .high = 1, .tolerance = 3e-6                  \
    }
#define RELU(...)                                           \
    {                                                       \
        BE_F32, sizeof((int[]){__VA_ARGS__}) / sizeof(int), \
        {                                                   \
            __VA_ARGS__                                     \
        }                                                   \
    }

static const op_case linear_backward_cases[] = {
    BACKWARD_CASE("cnn-fashion 1", all, 100, 800, 40, RELU(100, 40)),
    BACKWARD_CASE("cnn-fashion 2", all, 100, 40, 10, OP_ABSENT),
    BACKWARD_CASE("mlp-mnist 1", first, 64, 784, 128, RELU(64, 128)),
    BACKWARD_CASE("mlp-mnist 2", all, 64, 128, 64, RELU(64, 64)),
    BACKWARD_CASE("cnn-cifar 2", all, 64, 120, 84, RELU(64, 84)),
    BACKWARD_CASE("cnn-mnist 1", all, 3, 9216, 128, RELU(3, 128)),
    BACKWARD_CASE("many rows", all, 1037, 33, 12, RELU(1037, 12)),
    BACKWARD_CASE("odd", all, 37, 517, 53, RELU(37, 53)),
    BACKWARD_CASE("no bias", no_bias, 17, 65, 33, OP_ABSENT),
    BACKWARD_CASE("weights alone", weights, 17, 65, 33, RELU(17, 33)),
    BACKWARD_CASE("many columns", all, 21, 4099, 19, OP_ABSENT),
    {.name = "many outputs",
     .attrs = &no_bias,
     .in = {{BE_F32, 2, {67, 19}},
            {BE_F32, 2, {4099, 19}},
            OP_ABSENT,
            {BE_F32, 2, {67, 4099}},
            OP_ABSENT},
     .low = -1,
     .high = 1,
     .tolerance = 3e-6,
     .in_every_precision = true},
    BACKWARD_CASE("rows of 2 KiB", all, 131, 512, 260, RELU(131, 260)),
    BACKWARD_CASE("one row", all, 1, 800, 40, RELU(1, 40)),
    BACKWARD_CASE("one output", all, 7, 300, 1, OP_ABSENT),
    BACKWARD_CASE("one input", all, 9, 1, 20, RELU(9, 20)),
    BACKWARD_CASE("one", all, 1, 1, 1, OP_ABSENT),
    SEQUENCE_CASE("sequences", all, 19, 65, 33, 33, 65, RELU(3, 19, 33)),
    SEQUENCE_CASE("sequences, no bias", no_bias, 7, 64, 96, 96, 64, OP_ABSENT),
    SEQUENCE_CASE("input first", all_input_first, 37, 64, 192, 64, 192, OP_ABSENT),
    SEQUENCE_CASE("input first, odd", all_input_first, 13, 117, 53, 117, 53, RELU(3, 13, 53)),
    SEQUENCE_CASE("input first, weights alone", input_first, 11, 65, 33, 65, 33, RELU(3, 11, 33)),
    SEQUENCE_CASE("input first, one output", all_input_first, 3, 300, 1, 300, 1, OP_ABSENT),
    ADDING_CASE("adding", all, 37, 117, 53, 53, 117),
    ADDING_CASE("adding, input first", all_input_first, 21, 65, 33, 65, 33),
    ADDING_CASE("adding, deep", all, 19, 33, 1031, 1031, 33),
    ADDING_CASE("adding, small", all, 3, 5, 7, 7, 5),
};

const be_op be_op_linear = {.name = "linear",
                            .attrs_bytes = sizeof(linear_attrs),
                            .inputs = 3,
                            .outputs = 2,
                            .optional = 1 << 2,
                            .auxiliary = 1 << 1,
                            .infer = linear_infer,
                            .gradient = linear_gradient,
                            .reference = linear_reference,
                            .blocked = linear_blocked,
                            .cost = linear_cost,
                            .narrow = 1 << 0 | 1 << 1,
                            .narrow_out = 3,
                            .narrow_along = 1u << 2,
                            .cast = &be_op_cast,
                            .absorb = linear_absorb,
                            .stacks = linear_stacks,
                            .cases = linear_cases,
                            .case_count = OP_CASES(linear_cases),
                            .differentiable = 7};

const be_op be_op_linear_backward = {.name = "linear_backward",
                                     .attrs_bytes = sizeof(linear_attrs),
                                     .late = 1u << 0 | 1u << 3, /* x and dy, for dw */
                                     .inputs = 5,
                                     .outputs = 3,
                                     .optional = 1 << 2 | 1 << LINEAR_BACK_SUM,
                                     .updates = {1 + LINEAR_BACK_SUM},
                                     .infer = linear_backward_infer,
                                     .reference = linear_backward_reference,
                                     .blocked = linear_backward_blocked,
                                     .cost = linear_backward_cost,
                                     .narrow = 1 << 0 | 1 << 1 | 1 << 3,
                                     .narrow_out = 1,
                                     .cast = &be_op_cast,
                                     .cases = linear_backward_cases,
                                     .case_count = OP_CASES(linear_backward_cases)};

be_value be_flatten(be_graph *g, be_value x)
{
    be_shape shape = be_value_shape(g, x);
    /* Where there is nothing to flatten x is what it is, and who takes it judges it. */
    if (shape.rank < 3) return x;
    int64_t rows = shape.dim[0], rest = shape_elements(&shape) / rows;
    return be_view(g, x, shape_make(shape.dtype, 2, rows, rest, 0, 0));
}

/* What was left out is PyTorch's start. */
static be_start start_or_default(be_start start, int64_t in)
{
    if (start.kind != BE_UNIFORM || start.value != 0.0f) return start;
    return (be_start){BE_UNIFORM, (float)(1.0 / sqrt((double)in))};
}

/* `features` beside a weight that has another number of them. */
static be_value refuse_features(be_graph *g, const be_linear_options *options, int64_t out)
{
    be_error err;
    status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                "linear \"%s\": expected features to be 0 or those of the weight, %" PRId64
                ", found %d; leave them out",
                options->name ? options->name : "", out, options->features);
    graph_blame(g, &err);
    return BE_NONE;
}

be_value be_linear(be_graph *g, be_value x, const be_linear_options *options)
{
    const linear_attrs attrs = {.input_first = options->input_first};
    be_shape shape = be_value_shape(g, x), weight = {.rank = -1};
    /* What is wrong with x or the weight, linear_infer says. */
    be_value in[OP_MAX_IN] = {x, options->weight ? *options->weight : x, BE_NONE};
    if (options->weight) weight = be_value_shape(g, *options->weight);
    if (shape.rank < 2 || (options->weight && weight.rank != 2))
        return graph_build(g, &be_op_linear, &attrs, in, NULL);
    int64_t features = shape.dim[shape.rank - 1], out = options->features;
    if (options->weight) out = weight.dim[options->input_first ? 1 : 0];
    if (options->weight && options->features && options->features != out)
        return refuse_features(g, options, out);
    be_shape w = options->input_first ? shape_make(BE_F32, 2, features, out, 0, 0)
                                      : shape_make(BE_F32, 2, out, features, 0, 0);
    if (!options->weight)
        in[1] = graph_parameter(g, options->name, "weight", w,
                                start_or_default(options->start, features));
    if (!options->no_bias)
        in[2] = graph_parameter(g, options->name, "bias", shape_make(BE_F32, 1, out, 0, 0, 0),
                                start_or_default(options->bias_start, features));
    return graph_build(g, &be_op_linear, &attrs, in, NULL);
}
