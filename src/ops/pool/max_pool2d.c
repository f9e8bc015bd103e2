/* Max-pooling by windows of size × size, `stride` apart, of images with so much padding around them
 * that never wins: x [N, C, H, W] -> y [N, C, H', W'], H' = (H + 2 padding − size) / stride + 1,
 * and index, u8 of y's shape: which element of its window won, row · size + column, the first of
 * equals. NaN wins over numbers, as in PyTorch.  Rows and columns that do not fill a window are
 * left out; their dx is 0.  Where windows overlap, dx is the sum of what comes from each. */
#include "ops/op_util.h"
#include "ops/pool/pool.h"

static be_status max_pool2d_infer(op_infer *call, be_error *err)
{
    TRY(pool2d_infer("max_pool2d", call->attrs, &call->in[0], &call->out[0], err));
    call->out[1] = call->out[0];
    call->out[1].dtype = BE_U8;
    return BE_OK;
}

static be_status max_pool2d_gradient(op_gradient *call, be_error *err)
{
    const pool2d_attrs *attrs = call->node->attrs;
    be_shape x = be_value_shape(call->graph, call->node->in[0]);
    pool2d_attrs backward = *attrs;
    backward.height = x.dim[2];
    backward.width = x.dim[3];
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->out[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_max_pool2d_backward, &backward, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* The place in the window, and the value. */
static int best_of_window(const pool2d_attrs *attrs, const be_shape *x, const double *image,
                          const int64_t at[2], double *value)
{
    int best = -1;
    for (int i = 0; i < attrs->size * attrs->size; i++) {
        int64_t pixel = pool2d_pixel(attrs, x->dim[2], x->dim[3], at, i);
        if (pixel < 0) continue;
        if (best >= 0 && !(image[pixel] > *value) && image[pixel] == image[pixel]) continue;
        *value = image[pixel];
        best = i;
    }
    return best;
}

static void max_pool2d_reference(const op_reference *call)
{
    const pool2d_attrs *attrs = call->attrs;
    const be_shape *in = &call->in[0], *out = &call->out[0];
    int64_t images = in->dim[0] * in->dim[1], height = out->dim[2], width = out->dim[3];
    for (int64_t n = 0; n < images; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++) {
                int64_t to = (n * height + h) * width + w;
                int best = best_of_window(attrs, in, call->x[0] + n * in->dim[2] * in->dim[3],
                                          (int64_t[]){h, w}, &call->y[0][to]);
                call->y[1][to] = best;
            }
}

/* The windows in which each element is looked at. */
static op_cost max_pool2d_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const pool2d_attrs *a = attrs;
    double windows = (double)(a->size * a->size) / (double)(a->stride * a->stride);
    return (op_cost){.flops = windows * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static be_status max_pool2d_backward_infer(op_infer *call, be_error *err)
{
    be_shape index = call->in[0];
    TRY(pool2d_infer_back("max_pool2d_backward", call->attrs, &call->in[0], &call->out[0], err));
    index.dtype = BE_U8;
    return op_expect_same(&call->in[1], &index, "max_pool2d_backward: index", err);
}

static void max_pool2d_backward_reference(const op_reference *call)
{
    const pool2d_attrs *attrs = call->attrs;
    const be_shape *in = &call->in[0];
    int64_t count = shape_elements(&call->out[0]), images = in->dim[0] * in->dim[1];
    int64_t height = in->dim[2], width = in->dim[3];
    for (int64_t i = 0; i < count; i++) call->y[0][i] = 0.0;
    for (int64_t n = 0; n < images; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++) {
                int64_t from = (n * height + h) * width + w;
                int64_t pixel = pool2d_pixel(attrs, attrs->height, attrs->width, (int64_t[]){h, w},
                                             (int)call->x[1][from]);
                if (pixel < 0) continue; /* no forward step says so */
                call->y[0][n * attrs->height * attrs->width + pixel] += call->x[0][from];
            }
}

static op_cost max_pool2d_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define TILES(s)               \
    {                          \
        .size = s, .stride = s \
    }
static const pool2d_attrs size1 = TILES(1), size2 = TILES(2), size3 = TILES(3), size5 = TILES(5),
                          resnet = {.size = 3, .stride = 2, .padding = 1},
                          dense = {.size = 3, .stride = 1, .padding = 1},
                          gaps = {.size = 2, .stride = 3},
                          half = {.size = 4, .stride = 2, .padding = 2};

#define IMAGES(n, c, h, w) \
    {                      \
        {                  \
            BE_F32, 4,     \
            {              \
                n, c, h, w \
            }              \
        }                  \
    }
#define POOL_CASE(text, a, ...)                                                                    \
    {                                                                                              \
        .name = text, .attrs = &a, .in = IMAGES(__VA_ARGS__), .low = -1, .high = 1, .tolerance = 0 \
    }

static const op_case max_pool2d_cases[] = {
    POOL_CASE("cnn-fashion 1", size2, 4, 16, 26, 26),
    POOL_CASE("cnn-fashion 2", size2, 5, 32, 11, 11),
    POOL_CASE("cnn-cifar 1", size2, 3, 6, 28, 28),
    POOL_CASE("cnn5-fashion 3", size2, 2, 64, 7, 7),
    POOL_CASE("batch 100", size2, 100, 3, 4, 6),
    POOL_CASE("3 × 3", size3, 2, 17, 11, 7),
    POOL_CASE("5 × 5", size5, 1, 9, 5, 13),
    POOL_CASE("1 × 1", size1, 2, 5, 3, 4),
    POOL_CASE("one window", size2, 1, 1, 2, 2),
    POOL_CASE("resnet", resnet, 2, 16, 14, 14),
    POOL_CASE("resnet, odd", resnet, 2, 19, 9, 12),
    POOL_CASE("resnet, few channels", resnet, 3, 3, 20, 37),
    POOL_CASE("stride 1", dense, 1, 9, 6, 5),
    POOL_CASE("gaps", gaps, 2, 16, 11, 8),
    POOL_CASE("half a window of padding", half, 1, 16, 7, 10),
    POOL_CASE("smaller than a window", resnet, 2, 8, 1, 2),
};

#define BACKWARD_CASE(text, s, h, w, ...)                                   \
    {                                                                       \
        .name = text, .attrs = &(const pool2d_attrs){s, s, 0, false, h, w}, \
        .in = {{BE_F32, 4, {__VA_ARGS__, (h) / (s), (w) / (s)}},            \
               {BE_U8, 4, {__VA_ARGS__, (h) / (s), (w) / (s)}}},            \
        .low = -1, .high = 1, .below = {0, (s) * (s)}, .tolerance = 0       \
    }
/* s, t, p: window, stride, padding.  Sums of up to size² parts. */
#define OVERLAP(pixels, s, t, p) (((pixels) + 2 * (p) - (s)) / (t) + 1)
#define OVERLAP_CASE(text, s, t, p, h, w, ...)                                       \
    {                                                                                \
        .name = text, .attrs = &(const pool2d_attrs){s, t, p, false, h, w},          \
        .in = {{BE_F32, 4, {__VA_ARGS__, OVERLAP(h, s, t, p), OVERLAP(w, s, t, p)}}, \
               {BE_U8, 4, {__VA_ARGS__, OVERLAP(h, s, t, p), OVERLAP(w, s, t, p)}}}, \
        .low = -1, .high = 1, .below = {0, (s) * (s)}, .tolerance = 5e-7             \
    }

static const op_case max_pool2d_backward_cases[] = {
    BACKWARD_CASE("cnn-fashion 1", 2, 26, 26, 4, 16),
    BACKWARD_CASE("cnn-fashion 2", 2, 11, 11, 5, 32),
    BACKWARD_CASE("cnn-cifar 1", 2, 28, 28, 3, 6),
    BACKWARD_CASE("cnn5-fashion 3", 2, 7, 7, 2, 64),
    BACKWARD_CASE("batch 100", 2, 4, 6, 100, 3),
    BACKWARD_CASE("3 × 3", 3, 11, 7, 2, 17),
    BACKWARD_CASE("5 × 5", 5, 5, 13, 1, 9),
    BACKWARD_CASE("1 × 1", 1, 3, 4, 2, 5),
    BACKWARD_CASE("one window", 2, 2, 2, 1, 1),
    OVERLAP_CASE("resnet", 3, 2, 1, 14, 14, 2, 16),
    OVERLAP_CASE("resnet, odd", 3, 2, 1, 9, 12, 2, 19),
    OVERLAP_CASE("resnet, few channels", 3, 2, 1, 20, 37, 3, 3),
    OVERLAP_CASE("stride 1", 3, 1, 1, 6, 5, 1, 9),
    OVERLAP_CASE("gaps", 2, 3, 0, 11, 8, 2, 16),
    OVERLAP_CASE("half a window of padding", 4, 2, 2, 7, 10, 1, 16),
    OVERLAP_CASE("smaller than a window", 3, 2, 1, 1, 2, 2, 8),
};

const be_op be_op_max_pool2d = {.name = "max_pool2d",
                                .narrow_in = 1u << 0,
                                .narrow_out = 1u << 0,
                                .keeps_narrow = true,
                                .attrs_bytes = sizeof(pool2d_attrs),
                                .inputs = 1,
                                .outputs = 2,
                                .infer = max_pool2d_infer,
                                .gradient = max_pool2d_gradient,
                                .reference = max_pool2d_reference,
                                .cost = max_pool2d_cost,
                                .cases = max_pool2d_cases,
                                .case_count = OP_CASES(max_pool2d_cases),
                                .differentiable = 1};

const be_op be_op_max_pool2d_backward = {.name = "max_pool2d_backward",
                                         .narrow_in = 1u << 0,
                                         .narrow_out = 1u << 0,
                                         .keeps_narrow = true,
                                         .attrs_bytes = sizeof(pool2d_attrs),
                                         .inputs = 2,
                                         .outputs = 1,
                                         .infer = max_pool2d_backward_infer,
                                         .reference = max_pool2d_backward_reference,
                                         .cost = max_pool2d_backward_cost,
                                         .cases = max_pool2d_backward_cases,
                                         .case_count = OP_CASES(max_pool2d_backward_cases)};

be_value be_max_pool2d(be_graph *g, be_value x, const be_pool2d_options *options)
{
    const pool2d_attrs attrs = pool2d_of(options);
    return graph_build(g, &be_op_max_pool2d, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}
