/* Global average pooling: x [N, C, H, W] -> y [N, C], the mean over H and W.  Backward: every
 * element of dx is dy / (H · W). */
#include "ops/op_util.h"
#include "ops/pool/pool.h"

static be_status global_average_pool_infer(op_infer *call, be_error *err)
{
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, 4, "global_average_pool: x", err));
    call->out[0] = shape_make(BE_F32, 2, x->dim[0], x->dim[1], 0, 0);
    return BE_OK;
}

static be_status global_average_pool_gradient(op_gradient *call, be_error *err)
{
    be_shape x = be_value_shape(call->graph, call->node->in[0]);
    const global_average_pool_backward_attrs attrs = {.height = x.dim[2], .width = x.dim[3]};
    be_value in[OP_MAX_IN] = {call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_global_average_pool_backward, &attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void global_average_pool_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t images = x->dim[0] * x->dim[1], pixels = x->dim[2] * x->dim[3];
    for (int64_t n = 0; n < images; n++) {
        double sum = 0.0;
        for (int64_t i = 0; i < pixels; i++) sum += call->x[0][n * pixels + i];
        call->y[0][n] = sum / (double)pixels;
    }
}

static op_cost global_average_pool_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static be_status global_average_pool_backward_infer(op_infer *call, be_error *err)
{
    const global_average_pool_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect(dy, BE_F32, 2, "global_average_pool_backward: dy", err));
    call->out[0] = shape_make(BE_F32, 4, dy->dim[0], dy->dim[1], attrs->height, attrs->width);
    return BE_OK;
}

static void global_average_pool_backward_reference(const op_reference *call)
{
    const be_shape *dx = &call->out[0];
    int64_t images = dx->dim[0] * dx->dim[1], pixels = dx->dim[2] * dx->dim[3];
    for (int64_t i = 0; i < images * pixels; i++)
        call->y[0][i] = call->x[0][i / pixels] / (double)pixels;
}

#define IMAGES(text, ...)                                                                         \
    {                                                                                             \
        .name = text, .in = {{BE_F32, 4, {__VA_ARGS__}}}, .low = -1, .high = 1, .tolerance = 1e-6 \
    }

static const op_case global_average_pool_cases[] = {
    IMAGES("cnn5-fashion", 100, 256, 3, 3),
    IMAGES("odd", 3, 17, 5, 7),
    IMAGES("large", 2, 21, 24, 24),
    IMAGES("one pixel", 4, 9, 1, 1),
    IMAGES("one", 1, 1, 1, 1),
};

#define GRADIENTS(text, n, c, h, w)                                               \
    {                                                                             \
        .name = text, .attrs = &(const global_average_pool_backward_attrs){h, w}, \
        .in = {{BE_F32, 2, {n, c}}}, .low = -1, .high = 1, .tolerance = 1e-6      \
    }

static const op_case global_average_pool_backward_cases[] = {
    GRADIENTS("cnn5-fashion", 100, 256, 3, 3), GRADIENTS("odd", 3, 17, 5, 7),
    GRADIENTS("few channels", 3, 5, 4, 3),     GRADIENTS("large", 2, 21, 56, 56),
    GRADIENTS("one pixel", 4, 9, 1, 1),        GRADIENTS("one", 1, 1, 1, 1),
};

const be_op be_op_global_average_pool = {.name = "global_average_pool",
                                         .narrow_in = 1u << 0,
                                         .inputs = 1,
                                         .outputs = 1,
                                         .infer = global_average_pool_infer,
                                         .gradient = global_average_pool_gradient,
                                         .reference = global_average_pool_reference,
                                         .cost = global_average_pool_cost,
                                         .cases = global_average_pool_cases,
                                         .case_count = OP_CASES(global_average_pool_cases),
                                         .differentiable = 1};

const be_op be_op_global_average_pool_backward = {
    .name = "global_average_pool_backward",
    .narrow_out = 1u << 0,
    .keeps_narrow = true,
    .attrs_bytes = sizeof(global_average_pool_backward_attrs),
    .inputs = 1,
    .outputs = 1,
    .infer = global_average_pool_backward_infer,
    .reference = global_average_pool_backward_reference,
    .cost = op_cost_elementwise,
    .cases = global_average_pool_backward_cases,
    .case_count = OP_CASES(global_average_pool_backward_cases)};

be_value be_global_average_pool(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_global_average_pool, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
