/* Where images lie with their channels last, and where they are kept in bf16; and which matrices
 * have their rows apart.
 *
 * A library's tensor cores read the channels of a pixel side by side.  So where it computes the
 * convolutions of a training in bf16, these want images so, in and out, and what stands between
 * them follows: nothing is turned between the first convolution and the last pool.  A convolution
 * with a bias or an activation keeps the plain layout, and so does one of patches (a stride of more
 * than 2), which is a product of rows that nothing but a view reads.
 *
 * Rows of a matrix that do not lie at 16 bytes, as those of 50,257 classes do not, keep tensor
 * cores from loading them.  So a large one that a linear layer makes, and the gradient that it gets
 * back, have their rows apart. */
#include "backend/gpu/gpu.h"
#include "ops/conv2d/conv2d.h"
#include "ops/matmul/linear.h"

#define PATCH_STRIDE 3
#define ROW_BYTES 16         /* where a row has to begin for tensor cores */
#define APART_FROM (1 << 18) /* elements: smaller ones are not worth it … */
#define APART_COLUMNS 512    /* … nor are shorter rows, of which too much would be nothing */

/* The operands that are images [N, C, H, W], or windows of a convolution. */
typedef struct images {
    const be_op *op;
    unsigned in, out; /* bit i: operand i */
} images;

static const images table[] = {
    {&be_op_conv2d, 1u << 0 | 1u << 1, 1u << 0},
    {&be_op_conv2d_backward, 1u << 0 | 1u << 1 | 1u << 3 | 1u << CONV2D_BACK_SUM, 1u << 0},
    {&be_op_batch_norm, 1u << 0 | 1u << 3, 1u << 0 | 1u << 5},
    {&be_op_batch_norm_infer, 1u << 0 | 1u << 3, 1u << 0},
    {&be_op_batch_norm_backward, 1u << 0 | 1u << 4 | 1u << 5, 1u << 0 | 1u << 3},
    {&be_op_max_pool2d, 1u << 0, 1u << 0 | 1u << 1},
    {&be_op_max_pool2d_backward, 1u << 0 | 1u << 1, 1u << 0},
    {&be_op_average_pool2d, 1u << 0, 1u << 0},
    {&be_op_average_pool2d_backward, 1u << 0, 1u << 0},
    {&be_op_global_average_pool, 1u << 0, 0},
    {&be_op_global_average_pool_backward, 0, 1u << 0},
    {&be_op_add, 1u << 0 | 1u << 1, 1u << 0},
    {&be_op_cast, 1u << 0, 1u << 0},
};

static const images *images_of(const be_op *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].op == op) return &table[i];
    return NULL;
}

static bool is_image(const be_graph *g, be_value value)
{
    return value != BE_NONE && g->values[value].shape.rank == 4;
}

/* Has this device a library with layouts for tensor cores? */
static bool has_tensor_layouts(const void *device, const be_graph *g)
{
    gpu_device *gpu = (gpu_device *)(uintptr_t)device;
    const gpu_library *library = NULL;
    return gpu_library_find(gpu, g->precision, &library, NULL) == BE_OK && library &&
           library->tensor_layouts;
}

static bool wants_last(const void *device, const be_graph *g)
{
    return g->precision == BE_PRECISION_BF16 && has_tensor_layouts(device, g);
}

static bool is_apart(const be_graph *g, be_value value)
{
    return value != BE_NONE && g->values[value].layout == LAYOUT_ROWS_APART;
}

static bool wants_apart(const void *device, const be_graph *g, be_value value)
{
    const be_shape *shape = &g->values[value].shape;
    int64_t columns = shape->rank > 0 ? shape->dim[shape->rank - 1] : 0;
    if (g->precision == BE_PRECISION_FP32 || columns < APART_COLUMNS ||
        columns * (int64_t)dtype_bytes(shape->dtype) % ROW_BYTES == 0 ||
        shape_elements(shape) < APART_FROM)
        return false;
    return shape_elements(shape) / columns * layout_pitch(LAYOUT_ROWS_APART, shape) <= INT32_MAX &&
           has_tensor_layouts(device, g);
}

/* The matrices that may have their rows apart: what a bare linear layer makes, its loss and the
 * gradient of it, and what flows back, if nothing but the products reads it. */
static void rows_apart(const void *device, const be_graph *g, const graph_node *node,
                       value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    const linear_attrs *linear = node->attrs;
    if (node->op == &be_op_linear && linear->activation == BE_IDENTITY &&
        wants_apart(device, g, node->out[0])) {
        out[0] = LAYOUT_ROWS_APART;
    } else if (node->op == &be_op_linear_backward && !linear->input_first && !linear->has_bias &&
               node->in[2] == BE_NONE && wants_apart(device, g, node->in[3])) {
        in[3] = LAYOUT_ROWS_APART;
    } else if (node->op == &be_op_softmax_cross_entropy && is_apart(g, node->in[0])) {
        in[0] = out[2] = LAYOUT_ROWS_APART;
    } else if (node->op == &be_op_softmax_cross_entropy_loss && is_apart(g, node->in[0])) {
        in[0] = LAYOUT_ROWS_APART;
    }
}

static bool is_bare_convolution(const graph_node *node)
{
    const conv2d_attrs *attrs = node->attrs;
    if (node->op != &be_op_conv2d && node->op != &be_op_conv2d_backward) return false;
    bool forward = node->op == &be_op_conv2d;
    bool bias = forward ? node->in[2] != BE_NONE : !attrs->no_bias;
    bool ends = forward ? attrs->activation != BE_IDENTITY : node->in[2] != BE_NONE;
    return !bias && !ends && attrs->stride[0] < PATCH_STRIDE && attrs->stride[1] < PATCH_STRIDE;
}

/* Is there an image among its inputs that lies so already? */
static bool follows(const be_graph *g, const graph_node *node, unsigned in)
{
    for (int i = 0; i < OP_MAX_IN; i++)
        if (in >> i & 1 && is_image(g, node->in[i]) &&
            g->values[node->in[i]].layout == LAYOUT_CHANNELS_LAST)
            return true;
    return false;
}

/* Their elements lie side by side in any layout, if both are the same for both. */
static bool is_broadcast(const be_graph *g, const graph_node *node)
{
    const be_shape *a = &g->values[node->in[0]].shape, *b = &g->values[node->in[1]].shape;
    return a->rank != b->rank || shape_elements(a) != shape_elements(b);
}

/* A copy of windows or of pictures is written as the convolutions that read it want it. */
static bool feeds_bare_convolution(const be_graph *g, be_value value)
{
    for (size_t n = 0; n < g->before_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++)
            if (g->before[n].in[i] == value && is_bare_convolution(&g->before[n])) return true;
    return false;
}

static bool has_bare_convolution(const be_graph *g)
{
    for (size_t n = 0; n < g->before_count; n++)
        if (is_bare_convolution(&g->before[n])) return true;
    return false;
}

/* Does the op make images with the channels last of what is none, or lies plainly?  A convolution
 * whose result is to be f32 does not: the library writes what it reads. */
static bool begins(const void *device, const be_graph *g, const graph_node *node)
{
    if (!is_image(g, node->out[0]) || !wants_last(device, g)) return false;
    return (is_bare_convolution(node) && g->values[node->out[0]].shape.dtype == BE_BF16) ||
           (node->op == &be_op_cast && feeds_bare_convolution(g, node->out[0])) ||
           (node->op == &be_op_global_average_pool_backward && has_bare_convolution(g));
}

/* The gradient of windows alone, where that of the pictures is not wanted. */
static bool begins_backward(const void *device, const be_graph *g, const graph_node *node)
{
    return node->op == &be_op_conv2d_backward && node->out[0] == BE_NONE &&
           is_bare_convolution(node) && wants_last(device, g);
}

void gpu_layouts(const void *device, const be_graph *g, const graph_node *node,
                 value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    const images *of = images_of(node->op);
    rows_apart(device, g, node, in, out);
    if (!of || (node->op == &be_op_add && is_broadcast(g, node))) return;
    bool is_convolution = node->op == &be_op_conv2d || node->op == &be_op_conv2d_backward;
    if (is_convolution && !is_bare_convolution(node)) return;
    bool is_following = follows(g, node, of->in);
    if (!is_following && !begins(device, g, node) && !begins_backward(device, g, node)) return;
    for (int i = 0; i < OP_MAX_IN; i++)
        if (of->in >> i & 1 && is_image(g, node->in[i])) in[i] = LAYOUT_CHANNELS_LAST;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (of->out >> o & 1 && is_image(g, node->out[o])) out[o] = LAYOUT_CHANNELS_LAST;
    if (node->op == &be_op_cast && !is_following) in[0] = LAYOUT_PLAIN;
}

bool gpu_mixes(const void *device, const be_graph *g, const graph_node *node)
{
    if (gpu_rounds(device, g, node)) return false;
    if (!images_of(node->op)) return true;
    if (!wants_last(device, g)) return false;
    if (node->op == &be_op_conv2d || node->op == &be_op_conv2d_backward)
        return is_bare_convolution(node);
    return node->op != &be_op_add || (is_image(g, node->out[0]) && !is_broadcast(g, node));
}

be_status gpu_read_plain(gpu_driver *driver, gpu_span span, const graph_value *value, void *data,
                         size_t bytes, be_error *err)
{
    void *packed = NULL;
    size_t packed_bytes = value_bytes(value);
    if (value->layout == LAYOUT_PLAIN)
        return driver->vtable->download(driver, span.buffer, span.offset, data, bytes, err);
    TRY(memory_alloc(&packed, packed_bytes, "a value to be read", err));
    be_status status =
        driver->vtable->download(driver, span.buffer, span.offset, packed, packed_bytes, err);
    if (status == BE_OK) layout_unpack(packed, data, &value->shape, value->layout);
    memory_free(packed);
    return status;
}
