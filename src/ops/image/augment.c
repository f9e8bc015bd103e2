/* Pictures as a training sees them: cut out at a random place of the picture with `padding` zeros
 * around it, turned over or not, and normalised: x [N, C, H, W] and draws [N, 3] in ±1 -> y of x's
 * shape, y = (what was cut out − mean) / std, a mean and a std a channel.  draws[n] says the row,
 * the column, and whether the picture is turned over, as its sign.  What the padding gives is
 * normalised too, as by torchvision's RandomCrop, RandomHorizontalFlip and Normalize in this order.
 * No gradient flows to the draws. */
#include "ops/image/image.h"
#include "ops/op_util.h"

static be_status check_draws(const char *name, const be_shape *x, const be_shape *draws,
                             be_error *err)
{
    char what[64];
    be_shape expected = shape_make(BE_F32, 2, x->dim[0], 3, 0, 0);
    snprintf(what, sizeof what, "%s: draws", name);
    return op_expect_same(draws, &expected, what, err);
}

static be_status check_attrs(const augment_attrs *attrs, const be_shape *x, be_error *err)
{
    if (attrs->padding < 0 || attrs->padding >= x->dim[2] || attrs->padding >= x->dim[3])
        FAIL(
            err, BE_USAGE,
            "augment: expected a padding of at least 0 and less than the picture's sides, found %d",
            attrs->padding);
    if (attrs->channels && attrs->channels != x->dim[1])
        FAIL(err, BE_USAGE,
             "augment: expected a mean and a std for each of %lld channels, found %d",
             (long long)x->dim[1], attrs->channels);
    return BE_OK;
}

static be_status augment_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, 4, "augment: x", err));
    TRY(check_draws("augment", &call->in[0], &call->in[1], err));
    TRY(check_attrs(call->attrs, &call->in[0], err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status augment_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->in[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_augment_backward, call->node->attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* The pixel of x that pixel i of y shows, as an index of x; −1: the padding. */
static int64_t shown(const augment_attrs *a, const be_shape *x, const double *draws, int64_t i)
{
    int64_t width = x->dim[3], height = x->dim[2], plane = i / (height * width);
    const double *draw = draws + plane / x->dim[1] * 3;
    augment_move move = augment_move_of((float)draw[0], (float)draw[1], (float)draw[2], a->padding);
    int64_t column = i % width, row = i / width % height + move.row;
    column = (move.flips ? width - 1 - column : column) + move.column;
    if (row < 0 || row >= height || column < 0 || column >= width) return -1;
    return (plane * height + row) * width + column;
}

static double mean_of(const augment_attrs *a, int64_t channel)
{
    return a->channels ? (double)a->mean[channel] : 0.0;
}

static double std_of(const augment_attrs *a, int64_t channel)
{
    return a->channels ? (double)a->std[channel] : 1.0;
}

static void augment_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    for (int64_t i = 0; i < shape_elements(x); i++) {
        int64_t channel = i / (x->dim[2] * x->dim[3]) % x->dim[1];
        int64_t from = shown(call->attrs, x, call->x[1], i);
        double value = from < 0 ? 0.0 : call->x[0][from];
        call->y[0][i] = (value - mean_of(call->attrs, channel)) / std_of(call->attrs, channel);
    }
}

static op_cost augment_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 2.0 * (double)shape_elements(&out[0]), .bytes = op_bytes(in, out)};
}

static be_status augment_backward_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, 4, "augment_backward: dy", err));
    TRY(check_draws("augment_backward", &call->in[0], &call->in[1], err));
    TRY(check_attrs(call->attrs, &call->in[0], err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static void augment_backward_reference(const op_reference *call)
{
    const be_shape *dx = &call->out[0];
    for (int64_t i = 0; i < shape_elements(dx); i++) call->y[0][i] = 0;
    for (int64_t i = 0; i < shape_elements(dx); i++) {
        int64_t channel = i / (dx->dim[2] * dx->dim[3]) % dx->dim[1];
        int64_t to = shown(call->attrs, dx, call->x[1], i);
        if (to >= 0) call->y[0][to] = call->x[0][i] / std_of(call->attrs, channel);
    }
}

static const augment_attrs usual = {4, 3, {0.49f, 0.48f, 0.45f}, {0.25f, 0.24f, 0.26f}},
                           grey = {2, 1, {0.13f}, {0.31f}}, bare = {.padding = 3},
                           in_place = {.padding = 0};

#define AUGMENT_CASE(text, attributes, n, c, h, w)                                    \
    {                                                                                 \
        .name = text, .attrs = &attributes,                                           \
        .in = {{BE_F32, 4, {n, c, h, w}}, {BE_F32, 2, {n, 3}}}, .low = -1, .high = 1, \
        .tolerance = 1e-6                                                             \
    }

static const op_case augment_cases[] = {
    AUGMENT_CASE("colour", usual, 9, 3, 16, 16),
    AUGMENT_CASE("grey", grey, 5, 1, 7, 11),
    AUGMENT_CASE("not normalised", bare, 4, 6, 5, 37),
    AUGMENT_CASE("turned over alone", in_place, 6, 2, 4, 5),
    AUGMENT_CASE("one pixel", in_place, 3, 2, 1, 1),
};

const be_op be_op_augment = {.name = "augment",
                             .attrs_bytes = sizeof(augment_attrs),
                             .inputs = 2,
                             .outputs = 1,
                             .infer = augment_infer,
                             .gradient = augment_gradient,
                             .reference = augment_reference,
                             .cost = augment_cost,
                             .cases = augment_cases,
                             .case_count = OP_CASES(augment_cases),
                             .differentiable = 1};

const be_op be_op_augment_backward = {.name = "augment_backward",
                                      .attrs_bytes = sizeof(augment_attrs),
                                      .inputs = 2,
                                      .outputs = 1,
                                      .infer = augment_backward_infer,
                                      .reference = augment_backward_reference,
                                      .cost = augment_cost,
                                      .cases = augment_cases,
                                      .case_count = OP_CASES(augment_cases)};

be_value be_augment(be_graph *g, be_value x, be_value draws, const be_augment_options *options)
{
    augment_attrs attrs = {.padding = options->padding, .channels = options->channels};
    for (int c = 0; c < 4 && c < options->channels; c++) {
        attrs.mean[c] = options->mean[c];
        attrs.std[c] = options->std[c];
    }
    return graph_build(g, &be_op_augment, &attrs, (be_value[OP_MAX_IN]){x, draws}, NULL);
}
