/* Batch norm (Ioffe, Szegedy: "Batch normalization", 2015), as PyTorch's BatchNorm1d and 2d:
 * x [N, C, …], each channel over all others of its values, M of them.
 *
 *   batch_norm           x, weight, bias, residual?, running_mean, running_var
 *                          -> y, mean, inverse, running_mean, running_var, z?
 *   batch_norm_infer     the same inputs -> y
 *   batch_norm_backward  x, weight, mean, inverse, y?, dy -> dx?, dweight, dbias, dresidual?
 *
 * z = (x − mean) · inverse · weight + bias, inverse = 1 / √(variance + epsilon), with the residual
 * added to it; y = f(z), f an activation that was fused, or nothing.  While training mean and
 * variance are those of the batch (the variance over M), and the running ones move towards them:
 * running += momentum · (new − running), the variance over M − 1 there.  When inferring the running
 * ones are taken.
 *
 * In a group of ranks that are synced, M, mean and variance are those of all ranks' parts together,
 * and so are the two sums in dx below.
 *
 * Backward, with dz = dy where ReLU let y through (through any other f activation_backward makes dz
 * first, from z): dbias = Σ dz, dweight = Σ dz · x̂,
 * dx = weight · inverse · (dz − dbias / M − x̂ · dweight / M), x̂ = (x − mean) · inverse. */
#include "ops/norm/batch_norm.h"

#include <inttypes.h>
#include <math.h>

#include "ops/op_util.h"

static be_status check_x(const be_shape *x, const char *name, be_error *err)
{
    char text[64];
    if (x->dtype != BE_F32 || x->rank < 2)
        FAIL(err, BE_USAGE, "%s: expected f32 of 2 to 4 dimensions, found %s", name,
             shape_text(x, text));
    return BE_OK;
}

static be_status check_channels(const op_infer *call, int first, int count,
                                const char *const *names, be_error *err)
{
    be_shape channels = shape_make(BE_F32, 1, call->in[0].dim[1], 0, 0, 0);
    for (int i = 0; i < count; i++)
        TRY(op_expect_same(&call->in[first + i], &channels, names[i], err));
    return BE_OK;
}

static be_status infer_y(op_infer *call, be_error *err)
{
    static const char *const trained[] = {"batch_norm: weight", "batch_norm: bias"};
    static const char *const running[] = {"batch_norm: running mean",
                                          "batch_norm: running variance"};
    TRY(check_x(&call->in[0], "batch_norm: x", err));
    TRY(check_channels(call, 1, 2, trained, err));
    TRY(check_channels(call, 4, 2, running, err));
    if (call->in[3].rank >= 0)
        TRY(op_expect_same(&call->in[3], &call->in[0], "batch_norm: residual", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status batch_norm_infer_shapes(op_infer *call, be_error *err)
{
    TRY(infer_y(call, err));
    for (int o = 1; o < 5; o++) call->out[o] = call->in[1];
    call->out[5] = call->out[0];
    if (!((const batch_norm_attrs *)call->attrs)->keep_z) call->out[5].rank = -1;
    return BE_OK;
}

static be_status batch_norm_backward_infer(op_infer *call, be_error *err)
{
    static const char *const names[] = {"batch_norm_backward: weight", "batch_norm_backward: mean",
                                        "batch_norm_backward: inverse"};
    const batch_norm_backward_attrs *attrs = call->attrs;
    TRY(check_x(&call->in[0], "batch_norm_backward: x", err));
    TRY(check_channels(call, 1, 3, names, err));
    if (call->in[4].rank >= 0)
        TRY(op_expect_same(&call->in[4], &call->in[0], "batch_norm_backward: y", err));
    TRY(op_expect_same(&call->in[5], &call->in[0], "batch_norm_backward: dy", err));
    call->out[0] = call->out[3] = call->in[0];
    if (!attrs->need_dx) call->out[0].rank = -1;
    if (!attrs->need_dresidual) call->out[3].rank = -1;
    call->out[1] = call->out[2] = call->in[1];
    return BE_OK;
}

/* Asked for while training alone, so the place to refuse what cannot be trained on. */
static be_status batch_norm_gradient(op_gradient *call, be_error *err)
{
    const graph_node *node = call->node;
    batch_norm_attrs *attrs = node->attrs;
    bool relu = attrs->activation == BE_RELU;
    be_shape x = be_value_shape(call->graph, node->in[0]);
    char text[64];
    if (batch_norm_size(&x).count < 2)
        FAIL(err, BE_USAGE,
             "batch_norm: expected at least 2 values of each channel to train on, found 1 in x %s; "
             "use a larger batch or larger pictures",
             shape_text(&x, text));
    be_value dz[2] = {call->dy[0]}, y = relu ? node->out[0] : BE_NONE, out[OP_MAX_OUT];
    const activation_attrs formula = {attrs->activation, 0};
    if (activation_needs_x(attrs->activation))
        TRY(activation_fused_gradient(call, &formula, &attrs->keep_z, 5, dz, err));
    batch_norm_backward_attrs back = {
        .need_dx = call->need[0], .synced = attrs->synced, .need_dresidual = relu && call->need[3]};
    be_value in[OP_MAX_IN] = {node->in[0], node->in[1], node->out[1], node->out[2], y, dz[0]};
    TRY(graph_add_node(call->graph, &be_op_batch_norm_backward, &back, in, out, err));
    for (int i = 0; i < 3; i++) call->dx[i] = out[i];
    call->dx[3] = relu ? out[3] : dz[0];
    return BE_OK;
}

static void batch_norm_set_group(void *attrs, be_group *group)
{
    ((batch_norm_attrs *)attrs)->group = group;
    ((batch_norm_attrs *)attrs)->synced = true;
}

static void batch_norm_backward_set_group(void *attrs, be_group *group)
{
    ((batch_norm_backward_attrs *)attrs)->group = group;
    ((batch_norm_backward_attrs *)attrs)->synced = true;
}

/* Visits the values of channel c: `at` is the place of the i-th of M. */
static int64_t place_of(const batch_norm_sizes *s, int64_t c, int64_t i)
{
    return (i / s->pixels * s->channels + c) * s->pixels + i % s->pixels;
}

/* y of a channel from its mean and inverse. */
static void reference_y(const op_reference *call, int64_t c, double mean, double inverse)
{
    const batch_norm_attrs *attrs = call->attrs;
    batch_norm_sizes s = batch_norm_size(&call->in[0]);
    for (int64_t i = 0; i < (int64_t)s.count; i++) {
        int64_t at = place_of(&s, c, i);
        double y = (call->x[0][at] - mean) * inverse * call->x[1][c] + call->x[2][c];
        if (call->x[3]) y += call->x[3][at];
        call->y[0][at] = y;
        activation_finish(attrs->activation, &call->y[0][at], call->y[5] ? &call->y[5][at] : NULL,
                          1);
    }
}

static void batch_norm_reference(const op_reference *call)
{
    const batch_norm_attrs *attrs = call->attrs;
    batch_norm_sizes s = batch_norm_size(&call->in[0]);
    const double *x = call->x[0];
    for (int64_t c = 0; c < s.channels; c++) {
        double mean = 0.0, squares = 0.0;
        for (int64_t i = 0; i < (int64_t)s.count; i++) mean += x[place_of(&s, c, i)] / s.count;
        for (int64_t i = 0; i < (int64_t)s.count; i++) {
            double apart = x[place_of(&s, c, i)] - mean;
            squares += apart * apart;
        }
        double inverse = 1.0 / sqrt(squares / s.count + attrs->epsilon);
        double unbiased = squares / (s.count - 1.0);
        reference_y(call, c, mean, inverse);
        call->y[1][c] = mean;
        call->y[2][c] = inverse;
        call->y[3][c] += attrs->momentum * (mean - call->y[3][c]);
        call->y[4][c] += attrs->momentum * (unbiased - call->y[4][c]);
    }
}

static void batch_norm_infer_reference(const op_reference *call)
{
    const batch_norm_attrs *attrs = call->attrs;
    for (int64_t c = 0; c < call->in[0].dim[1]; c++)
        reference_y(call, c, call->x[4][c], 1.0 / sqrt(call->x[5][c] + attrs->epsilon));
}

static void batch_norm_backward_reference(const op_reference *call)
{
    batch_norm_sizes s = batch_norm_size(&call->in[0]);
    const double *x = call->x[0], *mean = call->x[2], *inverse = call->x[3];
    for (int64_t c = 0; c < s.channels; c++) {
        double sum = 0.0, product = 0.0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < (int64_t)s.count; i++) {
                int64_t at = place_of(&s, c, i);
                double dz = call->x[4] && call->x[4][at] <= 0.0 ? 0.0 : call->x[5][at];
                double normal = (x[at] - mean[c]) * inverse[c];
                if (pass == 0) {
                    sum += dz;
                    product += dz * normal;
                    if (call->y[3]) call->y[3][at] = dz;
                } else if (call->y[0]) {
                    call->y[0][at] = call->x[1][c] * inverse[c] *
                                     (dz - sum / s.count - normal * product / s.count);
                }
            }
        call->y[1][c] = product;
        call->y[2][c] = sum;
    }
}

/* Mean 1, squares 3, result 4 operations per value, and the residual one. */
static op_cost batch_norm_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const batch_norm_attrs *a = attrs;
    double each = 8.0 + (in[3].rank >= 0) + activation_flops(a->activation);
    return (op_cost){.flops = each * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static op_cost batch_norm_infer_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const batch_norm_attrs *a = attrs;
    double each = 4.0 + (in[3].rank >= 0) + activation_flops(a->activation);
    return (op_cost){.flops = each * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static op_cost batch_norm_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const batch_norm_backward_attrs *a = attrs;
    double each = 4.0 + (a->need_dx ? 5.0 : 0.0) + (in[4].rank >= 0);
    return (op_cost){.flops = each * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

/* The sum with a residual of its own shape, then an activation; is_ready_at of pass_fusion sees to
 * it that the residual was made before. */
static bool batch_norm_absorb(const be_graph *g, graph_node *node, const graph_node *next,
                              op_has *has, const void *device)
{
    batch_norm_attrs *attrs = node->attrs;
    (void)has;
    (void)device;
    if (activation_absorb(&attrs->activation, next)) return true;
    if (attrs->activation != BE_IDENTITY) return false;
    if (next->op != &be_op_add || node->in[3] != BE_NONE) return false;
    if (!shape_equal(&g->values[next->in[0]].shape, &g->values[next->in[1]].shape)) return false;
    node->in[3] = next->in[1];
    return true;
}

be_value be_batch_norm(be_graph *g, be_value x, const be_batch_norm_options *options)
{
    be_error err;
    be_shape in = be_value_shape(g, x);
    be_shape channels = shape_make(BE_F32, 1, in.rank >= 2 ? in.dim[1] : 1, 0, 0, 0);
    batch_norm_attrs attrs = {.epsilon = options->epsilon == 0.0 ? 1e-5 : options->epsilon,
                              .momentum = options->momentum == 0.0 ? 0.1 : options->momentum};
    const char *name = options->name;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (!(attrs.epsilon > 0.0 && isfinite(attrs.epsilon) && attrs.momentum > 0.0 &&
          attrs.momentum <= 1.0)) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "batch_norm \"%s\": expected an epsilon above 0 and a momentum above 0 and at "
                    "most 1, found %g and %g; 0 means 1e-5 and 0.1",
                    name ? name : "", options->epsilon, options->momentum);
        graph_blame(g, &err);
        return BE_NONE;
    }
    const be_start zero = {BE_CONSTANT, 0.0f}, one = {BE_CONSTANT, 1.0f};
    be_value operands[OP_MAX_IN] = {
        x,
        graph_weight(g, VALUE_PARAMETER, name, "weight", channels, one),
        graph_weight(g, VALUE_PARAMETER, name, "bias", channels, zero),
        BE_NONE,
        graph_weight(g, VALUE_BUFFER, name, "running_mean", channels, zero),
        graph_weight(g, VALUE_BUFFER, name, "running_var", channels, one)};
    return graph_build(g, &be_op_batch_norm, &attrs, operands, NULL);
}

/* ---------------------------------------------------------------- cases */

static const batch_norm_attrs plain = {.epsilon = 1e-5, .momentum = 0.1},
                              relu = {.epsilon = 1e-5, .momentum = 0.1, .activation = BE_RELU};
static const batch_norm_attrs synced = {.epsilon = 1e-5, .momentum = 0.1, .synced = true};
static const batch_norm_attrs coarse = {.epsilon = 0.5, .momentum = 1.0};

static const batch_norm_attrs last_gelu = {.epsilon = 1e-5, .momentum = 0.1, .activation = BE_GELU};
#define X(kind, name)                             \
    static const batch_norm_attrs kept_##name = { \
        .epsilon = 1e-5, .momentum = 0.1, .activation = BE_##kind, .keep_z = 1};
ACTIVATION_LIST(X)
#undef X

#define F32(...)            \
    {                       \
        BE_F32, __VA_ARGS__ \
    }
#define CHANNELS(c) F32(1, {c})

/* Statistics of few values amplify how they are rounded. */
#define FORWARD(text, attributes, c, residual, ...)                                             \
    {                                                                                           \
        .name = text, .attrs = &(attributes),                                                   \
        .in = {F32(__VA_ARGS__), CHANNELS(c), CHANNELS(c), residual, CHANNELS(c), CHANNELS(c)}, \
        .low = -1, .high = 1, .positive = 1u << 5, .tolerance = 1e-5                            \
    }

#define FORWARD_CASES                                                                   \
    FORWARD("images", plain, 17, OP_ABSENT, 4, {3, 17, 5, 7}),                          \
        FORWARD("relu", relu, 16, OP_ABSENT, 4, {2, 16, 9, 9}),                         \
        FORWARD("residual", plain, 9, F32(4, {5, 9, 4, 4}), 4, {5, 9, 4, 4}),           \
        FORWARD("residual, relu", relu, 33, F32(4, {2, 33, 7, 7}), 4, {2, 33, 7, 7}),   \
        FORWARD("rows", plain, 37, OP_ABSENT, 2, {29, 37}),                             \
        FORWARD("many rows", relu, 11, F32(2, {301, 11}), 2, {301, 11}),                \
        FORWARD("lines", plain, 5, OP_ABSENT, 3, {6, 5, 19}),                           \
        FORWARD("one pixel", plain, 20, OP_ABSENT, 4, {7, 20, 1, 1}),                   \
        FORWARD("one image, one channel", coarse, 1, OP_ABSENT, 4, {1, 1, 3, 5}),       \
        FORWARD("large images", relu, 24, F32(4, {2, 24, 33, 31}), 4, {2, 24, 33, 31}), \
        FORWARD("many images", relu, 8, OP_ABSENT, 4, {70, 8, 3, 3}),                   \
        FORWARD("gelu", last_gelu, 17, OP_ABSENT, 4, {3, 17, 5, 7}),                    \
        FORWARD("gelu, residual", last_gelu, 9, F32(4, {5, 9, 4, 4}), 4, {5, 9, 4, 4}),
#define KEPT(kind, name) \
    FORWARD(#name " and z", kept_##name, 33, F32(4, {2, 33, 7, 7}), 4, {2, 33, 7, 7}),

static const op_case batch_norm_cases[] = {
    FORWARD_CASES ACTIVATION_LIST(KEPT)
        FORWARD("gelu and z, rows", kept_gelu, 37, OP_ABSENT, 2, {29, 37}),
    FORWARD("synced, of one rank", synced, 16, OP_ABSENT, 4, {3, 16, 5, 7}),
    FORWARD("synced rows, of one rank", synced, 37, OP_ABSENT, 2, {29, 37}),
};
static const op_case batch_norm_infer_cases[] = {FORWARD_CASES};

static const batch_norm_backward_attrs dx = {.need_dx = true},
                                       all = {.need_dx = true, .need_dresidual = true},
                                       sums = {.need_dx = false},
                                       dx_synced = {.need_dx = true, .synced = true};

#define BACKWARD(text, attributes, c, y, ...)                                                 \
    {                                                                                         \
        .name = text, .attrs = &(attributes),                                                 \
        .in = {F32(__VA_ARGS__), CHANNELS(c), CHANNELS(c), CHANNELS(c), y, F32(__VA_ARGS__)}, \
        .low = -1, .high = 1, .positive = 1u << 3, .tolerance = 1e-5                          \
    }

static const op_case batch_norm_backward_cases[] = {
    BACKWARD("synced, of one rank", dx_synced, 16, OP_ABSENT, 4, {3, 16, 5, 7}),
    BACKWARD("synced rows, of one rank", dx_synced, 37, OP_ABSENT, 2, {29, 37}),
    BACKWARD("images", dx, 17, OP_ABSENT, 4, {3, 17, 5, 7}),
    BACKWARD("relu", dx, 16, F32(4, {2, 16, 9, 9}), 4, {2, 16, 9, 9}),
    BACKWARD("residual, relu", all, 33, F32(4, {2, 33, 7, 7}), 4, {2, 33, 7, 7}),
    BACKWARD("rows", dx, 37, OP_ABSENT, 2, {29, 37}),
    BACKWARD("many rows", all, 11, F32(2, {301, 11}), 2, {301, 11}),
    BACKWARD("lines", sums, 5, OP_ABSENT, 3, {6, 5, 19}),
    BACKWARD("one pixel", dx, 20, OP_ABSENT, 4, {7, 20, 1, 1}),
    BACKWARD("one image, one channel", dx, 1, OP_ABSENT, 4, {1, 1, 3, 5}),
    BACKWARD("large images", all, 24, F32(4, {2, 24, 33, 31}), 4, {2, 24, 33, 31}),
    BACKWARD("many images", sums, 8, F32(4, {70, 8, 3, 3}), 4, {70, 8, 3, 3}),
};

const be_op be_op_batch_norm = {.name = "batch_norm",
                                .narrow_in = 1u << 0 | 1u << 3,
                                .narrow_out = 1u << 0,
                                .keeps_narrow = true,
                                .attrs_bytes = sizeof(batch_norm_attrs),
                                .inputs = 6,
                                .outputs = 6,
                                .optional = 1u << 3,
                                .updates = {0, 0, 0, 5, 6},
                                .in_place = {1u << 0 | 1u << 3},
                                .auxiliary = 0x3e,
                                .inferring = &be_op_batch_norm_infer,
                                .infer = batch_norm_infer_shapes,
                                .gradient = batch_norm_gradient,
                                .set_group = batch_norm_set_group,
                                .reference = batch_norm_reference,
                                .cost = batch_norm_cost,
                                .absorb = batch_norm_absorb,
                                .cases = batch_norm_cases,
                                .case_count = OP_CASES(batch_norm_cases),
                                .differentiable = 0xf};

const be_op be_op_batch_norm_infer = {.name = "batch_norm_infer",
                                      .narrow_in = 1u << 0 | 1u << 3,
                                      .narrow_out = 1u << 0,
                                      .keeps_narrow = true,
                                      .attrs_bytes = sizeof(batch_norm_attrs),
                                      .inputs = 6,
                                      .outputs = 1,
                                      .optional = 1u << 3,
                                      .in_place = {1u << 0 | 1u << 3},
                                      .is_outside_gradient = true,
                                      .infer = infer_y,
                                      .reference = batch_norm_infer_reference,
                                      .cost = batch_norm_infer_cost,
                                      .absorb = batch_norm_absorb,
                                      .cases = batch_norm_infer_cases,
                                      .case_count = OP_CASES(batch_norm_infer_cases)};

const be_op be_op_batch_norm_backward = {.name = "batch_norm_backward",
                                         .narrow_in = 1u << 0 | 1u << 4 | 1u << 5,
                                         .narrow_out = 1u << 0 | 1u << 3,
                                         .keeps_narrow = true,
                                         .attrs_bytes = sizeof(batch_norm_backward_attrs),
                                         .inputs = 6,
                                         .outputs = 4,
                                         .optional = 1u << 4,
                                         .in_place = {1u << 5},
                                         .infer = batch_norm_backward_infer,
                                         .set_group = batch_norm_backward_set_group,
                                         .reference = batch_norm_backward_reference,
                                         .cost = batch_norm_backward_cost,
                                         .cases = batch_norm_backward_cases,
                                         .case_count = OP_CASES(batch_norm_backward_cases)};
