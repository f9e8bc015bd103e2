/* Max-pooling by windows of size × size, side by side: x [N, C, H, W] -> y [N, C, H / size,
 * W / size], and index, u8 of y's shape: which element of its window won, row · size + column, the
 * first of equals.  NaN wins over numbers, as in PyTorch.  Rows and columns that do not fill a
 * window are left out; their dx is 0. */
#include <inttypes.h>

#include "ops/op_util.h"
#include "ops/pool/pool.h"

static be_status check_size(int size, be_error *err)
{
    if (size < 1 || size > MAX_POOL_SIZE)
        FAIL(err, BE_USAGE, "max_pool2d: expected a window of 1 to %d, found %d", MAX_POOL_SIZE,
             size);
    return BE_OK;
}

static be_status max_pool2d_infer(op_infer *call, be_error *err)
{
    char text[64];
    const max_pool2d_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, 4, "max_pool2d: x", err));
    TRY(check_size(attrs->size, err));
    if (x->dim[2] < attrs->size || x->dim[3] < attrs->size)
        FAIL(err, BE_USAGE,
             "max_pool2d: expected images of at least one window, %d × %d, found %s; use a smaller "
             "window",
             attrs->size, attrs->size, shape_text(x, text));
    int64_t height = x->dim[2] / attrs->size, width = x->dim[3] / attrs->size;
    call->out[0] = shape_make(BE_F32, 4, x->dim[0], x->dim[1], height, width);
    call->out[1] = shape_make(BE_U8, 4, x->dim[0], x->dim[1], height, width);
    return BE_OK;
}

static be_status max_pool2d_gradient(op_gradient *call, be_error *err)
{
    const max_pool2d_attrs *attrs = call->node->attrs;
    be_shape x = be_value_shape(call->graph, call->node->in[0]);
    const max_pool2d_backward_attrs backward = {
        .size = attrs->size, .height = x.dim[2], .width = x.dim[3]};
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->out[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_max_pool2d_backward, &backward, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void max_pool2d_reference(const op_reference *call)
{
    const max_pool2d_attrs *attrs = call->attrs;
    const be_shape *in = &call->in[0], *out = &call->out[0];
    int64_t size = attrs->size, images = in->dim[0] * in->dim[1];
    int64_t height = out->dim[2], width = out->dim[3];
    for (int64_t n = 0; n < images; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++) {
                const double *window =
                    call->x[0] + (n * in->dim[2] + h * size) * in->dim[3] + w * size;
                int64_t best = 0;
                double largest = window[0];
                for (int64_t i = 1; i < size * size; i++) {
                    double value = window[i / size * in->dim[3] + i % size];
                    if (!(value > largest) && value == value) continue;
                    largest = value;
                    best = i;
                }
                call->y[0][(n * height + h) * width + w] = largest;
                call->y[1][(n * height + h) * width + w] = (double)best;
            }
}

static op_cost max_pool2d_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static be_status max_pool2d_backward_infer(op_infer *call, be_error *err)
{
    char text[64];
    const max_pool2d_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect(dy, BE_F32, 4, "max_pool2d_backward: dy", err));
    TRY(check_size(attrs->size, err));
    if (dy->dim[2] != attrs->height / attrs->size || dy->dim[3] != attrs->width / attrs->size)
        FAIL(err, BE_USAGE,
             "max_pool2d_backward: dy: expected images of %" PRId64 " × %" PRId64 ", found %s",
             attrs->height / attrs->size, attrs->width / attrs->size, shape_text(dy, text));
    be_shape index = *dy;
    index.dtype = BE_U8;
    TRY(op_expect_same(&call->in[1], &index, "max_pool2d_backward: index", err));
    call->out[0] = shape_make(BE_F32, 4, dy->dim[0], dy->dim[1], attrs->height, attrs->width);
    return BE_OK;
}

static void max_pool2d_backward_reference(const op_reference *call)
{
    const max_pool2d_backward_attrs *attrs = call->attrs;
    const be_shape *in = &call->in[0];
    int64_t count = shape_elements(&call->out[0]), images = in->dim[0] * in->dim[1];
    int64_t height = in->dim[2], width = in->dim[3], size = attrs->size;
    for (int64_t i = 0; i < count; i++) call->y[0][i] = 0.0;
    for (int64_t n = 0; n < images; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++) {
                int64_t from = (n * height + h) * width + w, best = (int64_t)call->x[1][from];
                int64_t row = h * size + best / size, column = w * size + best % size;
                call->y[0][(n * attrs->height + row) * attrs->width + column] = call->x[0][from];
            }
}

static op_cost max_pool2d_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static const max_pool2d_attrs size1 = {1}, size2 = {2}, size3 = {3}, size5 = {5};

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
};

#define BACKWARD_CASE(text, s, h, w, ...)                                   \
    {                                                                       \
        .name = text, .attrs = &(const max_pool2d_backward_attrs){s, h, w}, \
        .in = {{BE_F32, 4, {__VA_ARGS__, (h) / (s), (w) / (s)}},            \
               {BE_U8, 4, {__VA_ARGS__, (h) / (s), (w) / (s)}}},            \
        .low = -1, .high = 1, .below = {0, (s) * (s)}, .tolerance = 0       \
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
};

const be_op be_op_max_pool2d = {.name = "max_pool2d",
                                .attrs_bytes = sizeof(max_pool2d_attrs),
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
                                         .attrs_bytes = sizeof(max_pool2d_backward_attrs),
                                         .inputs = 2,
                                         .outputs = 1,
                                         .infer = max_pool2d_backward_infer,
                                         .reference = max_pool2d_backward_reference,
                                         .cost = max_pool2d_backward_cost,
                                         .cases = max_pool2d_backward_cases,
                                         .case_count = OP_CASES(max_pool2d_backward_cases)};

be_value be_max_pool2d(be_graph *g, be_value x, int size)
{
    const max_pool2d_attrs attrs = {.size = size};
    return graph_build(g, &be_op_max_pool2d, &attrs, (be_value[OP_MAX_IN]){x}, NULL);
}
