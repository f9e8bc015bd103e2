/* Pictures at another size, by the mean of the nearest pixels weighted by their nearness (bilinear,
 * the corners of the pictures on each other): x [N, C, H, W] -> y [N, C, H', W'], as PyTorch's
 * interpolate with mode="bilinear" and TensorFlow's image.resize have it, without antialiasing.
 * Pixel i of H' lies at (i + ½) H / H' − ½ of H. */
#include <inttypes.h>

#include "ops/image/image.h"
#include "ops/op_util.h"

static be_status check_size(const char *name, const resize_attrs *attrs, be_error *err)
{
    if (attrs->height < 1 || attrs->width < 1)
        FAIL(err, BE_USAGE, "%s: expected pictures of at least 1 × 1, found %" PRId64 " × %" PRId64,
             name, attrs->height, attrs->width);
    return BE_OK;
}

static be_status resize_infer(op_infer *call, be_error *err)
{
    const resize_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, 4, "resize: x", err));
    TRY(check_size("resize", attrs, err));
    call->out[0] = shape_make(BE_F32, 4, x->dim[0], x->dim[1], attrs->height, attrs->width);
    return BE_OK;
}

static be_status resize_gradient(op_gradient *call, be_error *err)
{
    be_shape x = be_value_shape(call->graph, call->node->in[0]);
    const resize_attrs backward = {x.dim[2], x.dim[3]};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_resize_backward, &backward, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* Four pixels of x and their parts, for pixel i of y; those beyond the last have no part. */
typedef struct resize_mean {
    int64_t pixel[4];
    double part[4];
} resize_mean;

static resize_mean mean_of(const be_shape *x, const be_shape *y, int64_t i)
{
    int64_t width = x->dim[3], column = i % y->dim[3], row = i / y->dim[3] % y->dim[2];
    int64_t image = i / (y->dim[2] * y->dim[3]) * x->dim[2] * width;
    resize_place h = resize_place_of(row, y->dim[2], x->dim[2]);
    resize_place w = resize_place_of(column, y->dim[3], width);
    int64_t below = h.second > 0 ? width : 0, right = w.second > 0 ? 1 : 0;
    int64_t at = image + h.first * width + w.first;
    return (resize_mean){{at, at + right, at + below, at + below + right},
                         {(1 - h.second) * (1 - w.second), (1 - h.second) * w.second,
                          h.second * (1 - w.second), h.second * w.second}};
}

static void resize_reference(const op_reference *call)
{
    for (int64_t i = 0; i < shape_elements(&call->out[0]); i++) {
        resize_mean m = mean_of(&call->in[0], &call->out[0], i);
        call->y[0][i] = 0;
        for (int k = 0; k < 4; k++) call->y[0][i] += m.part[k] * call->x[0][m.pixel[k]];
    }
}

static op_cost resize_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 8.0 * (double)shape_elements(&out[0]), .bytes = op_bytes(in, out)};
}

static be_status resize_backward_infer(op_infer *call, be_error *err)
{
    const resize_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect(dy, BE_F32, 4, "resize_backward: dy", err));
    TRY(check_size("resize_backward", attrs, err));
    call->out[0] = shape_make(BE_F32, 4, dy->dim[0], dy->dim[1], attrs->height, attrs->width);
    return BE_OK;
}

static void resize_backward_reference(const op_reference *call)
{
    const be_shape *dy = &call->in[0], *dx = &call->out[0];
    for (int64_t i = 0; i < shape_elements(dx); i++) call->y[0][i] = 0;
    for (int64_t i = 0; i < shape_elements(dy); i++) {
        resize_mean m = mean_of(dx, dy, i);
        for (int k = 0; k < 4; k++) call->y[0][m.pixel[k]] += m.part[k] * call->x[0][i];
    }
}

static op_cost resize_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = 8.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define RESIZE_CASE(text, h, w, ...)                                                            \
    {                                                                                           \
        .name = text, .attrs = &(const resize_attrs){h, w}, .in = {{BE_F32, 4, {__VA_ARGS__}}}, \
        .low = -1, .high = 1, .tolerance = 2e-6                                                 \
    }
/* Sizes from and to; the backward op's other way round. */
#define RESIZE_CASES(X)                          \
    X("smaller", 16, 16, 3, 3, 24, 24)           \
    X("to the half", 7, 9, 2, 5, 14, 18)         \
    X("much smaller", 3, 2, 2, 3, 37, 29)        \
    X("larger", 19, 31, 2, 4, 7, 11)             \
    X("larger and smaller", 5, 40, 1, 3, 11, 13) \
    X("the same", 6, 5, 2, 3, 6, 5)              \
    X("many columns", 4, 300, 1, 2, 3, 411)      \
    X("to one pixel", 1, 1, 2, 3, 5, 4)          \
    X("from one pixel", 5, 4, 2, 3, 1, 1)

static const op_case resize_cases[] = {
#define X(text, h, w, n, c, height, width) RESIZE_CASE(text, h, w, n, c, height, width),
    RESIZE_CASES(X)
#undef X
};

static const op_case resize_backward_cases[] = {
#define X(text, h, w, n, c, height, width) RESIZE_CASE(text, height, width, n, c, h, w),
    RESIZE_CASES(X)
#undef X
};

const be_op be_op_resize = {.name = "resize",
                            .attrs_bytes = sizeof(resize_attrs),
                            .inputs = 1,
                            .outputs = 1,
                            .infer = resize_infer,
                            .gradient = resize_gradient,
                            .reference = resize_reference,
                            .cost = resize_cost,
                            .cases = resize_cases,
                            .case_count = OP_CASES(resize_cases),
                            .differentiable = 1};

const be_op be_op_resize_backward = {.name = "resize_backward",
                                     .attrs_bytes = sizeof(resize_attrs),
                                     .inputs = 1,
                                     .outputs = 1,
                                     .infer = resize_backward_infer,
                                     .reference = resize_backward_reference,
                                     .cost = resize_backward_cost,
                                     .cases = resize_backward_cases,
                                     .case_count = OP_CASES(resize_backward_cases)};

be_value be_resize(be_graph *g, be_value x, int64_t height, int64_t width)
{
    return graph_build(g, &be_op_resize, &(resize_attrs){height, width}, (be_value[OP_MAX_IN]){x},
                       NULL);
}
