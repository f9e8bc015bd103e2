/* Average pooling by windows of size × size, `stride` apart, of images with zeros around them:
 * x [N, C, H, W] -> y [N, C, H', W'], H' = (H + 2 padding − size) / stride + 1, the sum of a window
 * by its size², or, with leaves_padding, by its pixels that lie in the image: PyTorch's avg_pool2d
 * with count_include_pad True and False.  Rows and columns that do not fill a window are left out;
 * their dx is 0.  Where windows overlap, dx is the sum of what comes from each. */
#include <math.h>

#include "ops/op_util.h"
#include "ops/pool/pool.h"

static be_status average_pool2d_infer(op_infer *call, be_error *err)
{
    return pool2d_infer("average_pool2d", call->attrs, &call->in[0], &call->out[0], err);
}

static be_status average_pool2d_gradient(op_gradient *call, be_error *err)
{
    be_shape x = be_value_shape(call->graph, call->node->in[0]);
    pool2d_attrs backward = *(const pool2d_attrs *)call->node->attrs;
    backward.height = x.dim[2];
    backward.width = x.dim[3];
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_average_pool2d_backward, &backward, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* The pixels of an image in its window `at`; returns how many. */
static int pixels_of(const pool2d_attrs *a, int64_t height, int64_t width, const int64_t at[2],
                     int64_t out[POOL_SIZE * POOL_SIZE])
{
    int count = 0;
    for (int i = 0; i < a->size * a->size; i++) {
        out[count] = pool2d_pixel(a, height, width, at, i);
        count += out[count] >= 0;
    }
    return count;
}

static double divisor_of(const pool2d_attrs *a, int pixels)
{
    return a->leaves_padding ? pixels : a->size * a->size;
}

static void average_pool2d_reference(const op_reference *call)
{
    int64_t pixels[POOL_SIZE * POOL_SIZE];
    const pool2d_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0], *y = &call->out[0];
    int64_t windows = y->dim[2] * y->dim[3], whole = x->dim[2] * x->dim[3];
    for (int64_t to = 0; to < shape_elements(y); to++) {
        const double *image = call->x[0] + to / windows * whole;
        int64_t at[2] = {to % windows / y->dim[3], to % y->dim[3]};
        int count = pixels_of(attrs, x->dim[2], x->dim[3], at, pixels);
        double sum = 0.0;
        for (int i = 0; i < count; i++) sum += image[pixels[i]];
        call->y[0][to] = sum / divisor_of(attrs, count);
    }
}

/* Each element is looked at in that many windows. */
static op_cost average_pool2d_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const pool2d_attrs *a = attrs;
    double windows = (double)(a->size * a->size) / (double)(a->stride * a->stride);
    double whole = fmax((double)shape_elements(&in[0]), (double)shape_elements(&out[0]));
    return (op_cost){.flops = windows * whole, .bytes = op_bytes(in, out)};
}

static be_status average_pool2d_backward_infer(op_infer *call, be_error *err)
{
    return pool2d_infer_back("average_pool2d_backward", call->attrs, &call->in[0], &call->out[0],
                             err);
}

static void average_pool2d_backward_reference(const op_reference *call)
{
    int64_t pixels[POOL_SIZE * POOL_SIZE];
    const pool2d_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0], *dx = &call->out[0];
    int64_t windows = dy->dim[2] * dy->dim[3], whole = dx->dim[2] * dx->dim[3];
    for (int64_t i = 0; i < shape_elements(dx); i++) call->y[0][i] = 0.0;
    for (int64_t from = 0; from < shape_elements(dy); from++) {
        double *image = call->y[0] + from / windows * whole;
        int64_t at[2] = {from % windows / dy->dim[3], from % dy->dim[3]};
        int count = pixels_of(attrs, dx->dim[2], dx->dim[3], at, pixels);
        for (int i = 0; i < count; i++)
            image[pixels[i]] += call->x[0][from] / divisor_of(attrs, count);
    }
}

static const pool2d_attrs tiles2 = {.size = 2, .stride = 2}, tiles5 = {.size = 5, .stride = 5},
                          dense = {.size = 3, .stride = 1, .padding = 1},
                          densenet = {.size = 3, .stride = 2, .padding = 1},
                          inside = {.size = 3, .stride = 2, .padding = 1, .leaves_padding = true},
                          half = {.size = 4, .stride = 2, .padding = 2},
                          half_inside = {.size = 4,
                                         .stride = 2,
                                         .padding = 2,
                                         .leaves_padding = true},
                          gaps = {.size = 2, .stride = 3}, one = {.size = 1, .stride = 1};

#define POOL_CASE(text, a, ...)                                                              \
    {                                                                                        \
        .name = text, .attrs = &a, .in = {{BE_F32, 4, {__VA_ARGS__}}}, .low = -1, .high = 1, \
        .tolerance = 1e-6                                                                    \
    }

static const op_case average_pool2d_cases[] = {
    POOL_CASE("2 × 2", tiles2, 4, 16, 26, 26),
    POOL_CASE("odd", tiles2, 5, 32, 11, 7),
    POOL_CASE("5 × 5", tiles5, 1, 9, 5, 13),
    POOL_CASE("1 × 1", one, 2, 5, 3, 4),
    POOL_CASE("one window", tiles2, 1, 1, 2, 2),
    POOL_CASE("padded", densenet, 2, 16, 14, 14),
    POOL_CASE("padded, odd", densenet, 2, 19, 9, 12),
    POOL_CASE("padding left out", inside, 2, 16, 14, 14),
    POOL_CASE("padding left out, odd", inside, 2, 19, 9, 12),
    POOL_CASE("few channels", inside, 3, 3, 20, 37),
    POOL_CASE("stride 1", dense, 1, 9, 6, 5),
    POOL_CASE("gaps", gaps, 2, 17, 11, 8),
    POOL_CASE("half a window of padding", half, 1, 16, 7, 10),
    POOL_CASE("half a window left out", half_inside, 1, 16, 7, 10),
    POOL_CASE("smaller than a window", inside, 2, 8, 1, 2),
};

/* s, t, p: window, stride, padding; `inside`: leaves_padding. */
#define WINDOWS(pixels, s, t, p) (((pixels) + 2 * (p) - (s)) / (t) + 1)
#define BACK_CASE(text, s, t, p, inside, h, w, ...)                                              \
    {                                                                                            \
        .name = text, .attrs = &(const pool2d_attrs){s, t, p, inside, h, w},                     \
        .in = {{BE_F32, 4, {__VA_ARGS__, WINDOWS(h, s, t, p), WINDOWS(w, s, t, p)}}}, .low = -1, \
        .high = 1, .tolerance = 1e-6                                                             \
    }

static const op_case average_pool2d_backward_cases[] = {
    BACK_CASE("2 × 2", 2, 2, 0, false, 26, 26, 4, 16),
    BACK_CASE("odd", 2, 2, 0, false, 11, 7, 5, 32),
    BACK_CASE("5 × 5", 5, 5, 0, false, 5, 13, 1, 9),
    BACK_CASE("1 × 1", 1, 1, 0, false, 3, 4, 2, 5),
    BACK_CASE("one window", 2, 2, 0, false, 2, 2, 1, 1),
    BACK_CASE("padded", 3, 2, 1, false, 14, 14, 2, 16),
    BACK_CASE("padded, odd", 3, 2, 1, false, 9, 12, 2, 19),
    BACK_CASE("padding left out", 3, 2, 1, true, 14, 14, 2, 16),
    BACK_CASE("padding left out, odd", 3, 2, 1, true, 9, 12, 2, 19),
    BACK_CASE("few channels", 3, 2, 1, true, 20, 37, 3, 3),
    BACK_CASE("stride 1", 3, 1, 1, false, 6, 5, 1, 9),
    BACK_CASE("gaps", 2, 3, 0, false, 11, 8, 2, 17),
    BACK_CASE("half a window of padding", 4, 2, 2, false, 7, 10, 1, 16),
    BACK_CASE("half a window left out", 4, 2, 2, true, 7, 10, 1, 16),
    BACK_CASE("smaller than a window", 3, 2, 1, true, 1, 2, 2, 8),
};

const be_op be_op_average_pool2d = {.name = "average_pool2d",
                                    .narrow_in = 1u << 0,
                                    .narrow_out = 1u << 0,
                                    .keeps_narrow = true,
                                    .attrs_bytes = sizeof(pool2d_attrs),
                                    .inputs = 1,
                                    .outputs = 1,
                                    .infer = average_pool2d_infer,
                                    .gradient = average_pool2d_gradient,
                                    .reference = average_pool2d_reference,
                                    .cost = average_pool2d_cost,
                                    .cases = average_pool2d_cases,
                                    .case_count = OP_CASES(average_pool2d_cases),
                                    .differentiable = 1};

const be_op be_op_average_pool2d_backward = {.name = "average_pool2d_backward",
                                             .narrow_in = 1u << 0,
                                             .narrow_out = 1u << 0,
                                             .keeps_narrow = true,
                                             .attrs_bytes = sizeof(pool2d_attrs),
                                             .inputs = 1,
                                             .outputs = 1,
                                             .infer = average_pool2d_backward_infer,
                                             .reference = average_pool2d_backward_reference,
                                             .cost = average_pool2d_cost,
                                             .cases = average_pool2d_backward_cases,
                                             .case_count = OP_CASES(average_pool2d_backward_cases)};

be_value be_average_pool2d(be_graph *g, be_value x, const be_pool2d_options *options)
{
    const pool2d_attrs attrs = pool2d_of(options);
    return graph_build(g, &be_op_average_pool2d, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}
