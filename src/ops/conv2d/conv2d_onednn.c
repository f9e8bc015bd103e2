/* Convolution on oneDNN, for what is too large for the native one: its primitives on blocked
 * images, weights brought into its format each step (they change each step), ReLU fused, and our
 * own 2 × 2 pool over the whole batch, because oneDNN's is slow and keeps a larger index. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn_shim.h"
#include "ops/conv2d/conv2d_pool_cpu.h"

typedef struct onednn_conv {
    conv2d_sizes s;
    int blocks;
    bool relu; /* forward: last; backward: y is given */
    bool need_dx;
    bool bf16;                                 /* x, w and dy */
    onednn_primitive *forward, *pack;          /* forward */
    onednn_primitive *data, *weights, *unpack; /* backward; `pack` serves `data` */
    onednn_primitive *arrange;                 /* backward, or NULL: dy as `weights` wants it */
    /* Places in the scratch, bytes. */
    size_t packed_at, bias_at, arranged_at, dx_at, library_at;
    int64_t
        added; /* floats of dx that are added to a sum, whose own place is in the scratch; or 0 */
} onednn_conv;

static size_t align_up(size_t bytes)
{
    return (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

static onednn_format plain_weights(const conv2d_sizes *s, bool bf16)
{
    return (onednn_format){
        .rank = 4, .dim = {s->o, s->c, s->k[0], s->k[1]}, .tag = dnnl_oihw, .bf16 = bf16};
}

static onednn_convolution describe(const cpu_call *call, const onednn_conv *v,
                                   onednn_direction direction)
{
    const conv2d_sizes *s = &v->s;
    value_layout x = direction == ONEDNN_BACKWARD_DATA ? call->device->block : call->in_layout[0];
    return (onednn_convolution){.direction = direction,
                                .images = s->n,
                                .in_channels = s->c,
                                .out_channels = s->o,
                                .in_height = s->h,
                                .in_width = s->w,
                                .kernel = {s->k[0], s->k[1]},
                                .stride = {s->stride[0], s->stride[1]},
                                .padding = {s->padding[0], s->padding[1]},
                                .bf16 = v->bf16,
                                .src = onednn_tag(x),
                                .weights = dnnl_format_tag_any,
                                .dst = onednn_tag(call->device->block)};
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Bytes of the convolution's output, or of its gradient, for the whole batch. */
static size_t image_bytes(const onednn_conv *v, size_t element)
{
    return (size_t)(v->s.n * v->blocks * v->s.oh * v->s.ow) * VEC * element;
}

static be_status start(cpu_call *call, arena *memory, onednn_conv **out, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    void *state = NULL;
    TRY(arena_alloc(memory, &state, sizeof(onednn_conv), err));
    onednn_conv *v = call->state = *out = state;
    v->s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    v->blocks = (int)((v->s.o + VEC - 1) / VEC);
    v->need_dx = attrs->need_dx;
    v->bf16 = call->in_shape[0].dtype == BE_BF16;
    return BE_OK;
}

static be_status forward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    onednn_conv *v;
    TRY(start(call, memory, &v, err));
    bool pool = call->node->op == &be_op_conv2d_pool;
    onednn_convolution spec = describe(call, v, ONEDNN_FORWARD);
    spec.bias = call->in_shape[2].rank >= 0;
    v->relu = ((const conv2d_attrs *)call->attrs)->activation == BE_RELU;
    spec.relu = v->relu && !pool;
    TRY(onednn_convolution_new(call->device, &spec, memory, &v->forward, err));
    onednn_format formats[2] = {plain_weights(&v->s, v->bf16),
                                {.of = v->forward, .arg = DNNL_ARG_WEIGHTS}};
    TRY(onednn_reorder_new(call->device, formats, memory, &v->pack, err));
    v->packed_at = align_up(pool ? image_bytes(v, sizeof(float)) : 0);
    v->library_at = v->packed_at + align_up(onednn_arg_bytes(v->forward, DNNL_ARG_WEIGHTS));
    call->scratch_bytes =
        v->library_at + larger(onednn_scratch_bytes(v->forward), onednn_scratch_bytes(v->pack));
    return BE_OK;
}

static be_status pack_weights(const cpu_call *call, const onednn_conv *v, be_error *err)
{
    char *scratch = call->scratch;
    onednn_operand reorder[2] = {{DNNL_ARG_FROM, call->in[1]},
                                 {DNNL_ARG_TO, scratch + v->packed_at}};
    return onednn_run(v->pack, reorder, 2, scratch + v->library_at, err);
}

static void pool_batch(const cpu_call *call, const onednn_conv *v)
{
    const float *from = call->scratch;
    int64_t images = v->s.n * v->blocks, ow = v->s.ow, ph = v->s.ph, pw = v->s.pw;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t m = 0; m < images; m++)
        for (int64_t i = 0; i < ph; i++)
            pool_rows(from + (m * v->s.oh + 2 * i) * ow * VEC, ow, v->relu,
                      (float *)call->out[0] + (m * ph + i) * pw * VEC,
                      (uint8_t *)call->out[1] + (m * ph + i) * pw * VEC);
}

static be_status run_products(const cpu_call *call, be_error *err)
{
    const onednn_conv *v = call->state;
    char *scratch = call->scratch;
    bool pool = call->node->op == &be_op_conv2d_pool;
    TRY(pack_weights(call, v, err));
    onednn_operand operands[4] = {{DNNL_ARG_SRC, call->in[0]},
                                  {DNNL_ARG_WEIGHTS, scratch + v->packed_at},
                                  {DNNL_ARG_DST, pool ? call->scratch : call->out[0]},
                                  {DNNL_ARG_BIAS, call->in[2]}};
    TRY(onednn_run(v->forward, operands, call->in[2] ? 4 : 3, scratch + v->library_at, err));
    if (pool) pool_batch(call, v);
    return BE_OK;
}

static be_status forward_run(const cpu_call *call, be_error *err)
{
    return conv2d_forward(call, run_products, err);
}

/* With dy in blocks oneDNN has nothing but its plain loops for some gradients of weights, for those
 * of 16 × 16 windows of three channels among them, which take a thousand times as long as all else
 * of such a layer.  Then dy is brought into the layout that it likes best. */
static be_status weights_prepare(cpu_call *call, arena *memory, onednn_conv *v, be_error *err)
{
    const conv2d_sizes *s = &v->s;
    onednn_convolution spec = describe(call, v, ONEDNN_BACKWARD_WEIGHTS);
    spec.bias = call->out_shape[2].rank >= 0;
    TRY(onednn_convolution_new(call->device, &spec, memory, &v->weights, err));
    if (strncmp(onednn_implementation(v->weights), "ref", 3) != 0) return BE_OK;
    onednn_format formats[2] = {
        {.rank = 4, .dim = {s->n, s->o, s->oh, s->ow}, .tag = spec.dst, .bf16 = v->bf16}};
    spec.dst = dnnl_format_tag_any;
    onednn_free(v->weights);
    TRY(onednn_convolution_new(call->device, &spec, memory, &v->weights, err));
    formats[1] = (onednn_format){.of = v->weights, .arg = DNNL_ARG_DIFF_DST};
    if (onednn_arg_is(v->weights, DNNL_ARG_DIFF_DST, &formats[0])) return BE_OK;
    return onednn_reorder_new(call->device, formats, memory, &v->arrange, err);
}

static be_status backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    onednn_conv *v;
    TRY(start(call, memory, &v, err));
    bool pool = call->node->op == &be_op_conv2d_pool_backward;
    v->relu = !pool && call->in_shape[2].rank >= 0;
    TRY(weights_prepare(call, memory, v, err));
    onednn_format out[2] = {{.of = v->weights, .arg = DNNL_ARG_DIFF_WEIGHTS},
                            plain_weights(&v->s, false)};
    TRY(onednn_reorder_new(call->device, out, memory, &v->unpack, err));
    size_t packed = onednn_arg_bytes(v->weights, DNNL_ARG_DIFF_WEIGHTS);
    size_t library = larger(onednn_scratch_bytes(v->weights), onednn_scratch_bytes(v->unpack));
    size_t arranged = v->arrange ? onednn_arg_bytes(v->weights, DNNL_ARG_DIFF_DST) : 0;
    if (v->arrange) library = larger(library, onednn_scratch_bytes(v->arrange));
    if (v->need_dx) {
        onednn_convolution data = describe(call, v, ONEDNN_BACKWARD_DATA);
        TRY(onednn_convolution_new(call->device, &data, memory, &v->data, err));
        onednn_format in[2] = {plain_weights(&v->s, v->bf16),
                               {.of = v->data, .arg = DNNL_ARG_WEIGHTS}};
        TRY(onednn_reorder_new(call->device, in, memory, &v->pack, err));
        packed = larger(packed, onednn_arg_bytes(v->data, DNNL_ARG_WEIGHTS));
        library =
            larger(library, larger(onednn_scratch_bytes(v->data), onednn_scratch_bytes(v->pack)));
    }
    v->packed_at =
        align_up(v->relu || pool ? image_bytes(v, dtype_bytes(call->in_shape[3].dtype)) : 0);
    v->bias_at = v->packed_at + align_up(packed);
    v->arranged_at = v->bias_at + align_up((size_t)v->blocks * VEC * sizeof(float));
    v->dx_at = v->arranged_at + align_up(arranged);
    if (v->need_dx && call->in_shape[CONV2D_BACK_SUM].rank >= 0)
        v->added = v->s.n * ((v->s.c + VEC - 1) / VEC * VEC) * v->s.h * v->s.w;
    v->library_at = v->dx_at + align_up((size_t)v->added * sizeof(float));
    call->scratch_bytes = v->library_at + library;
    return BE_OK;
}

/* As spread_relu and spread_pool, of one image in bf16. */
static void spread_relu_bf16(int64_t count, const float *y, const uint16_t *dy, uint16_t *to)
{
    for (int64_t i = 0; i < count; i++) to[i] = y[i] <= 0.0f ? 0 : dy[i];
}

static void spread_pool_bf16(const onednn_conv *v, const uint8_t *index, const uint16_t *dy,
                             uint16_t *to)
{
    int64_t oh = v->s.oh, ow = v->s.ow, ph = v->s.ph, pw = v->s.pw;
    for (int64_t b = 0; b < v->blocks; b++)
        for (int64_t i = 0; i < ph; i++)
            for (int64_t j = 0; j < pw; j++, dy += VEC, index += VEC)
                for (int q = 0; q < 4; q++) {
                    uint16_t *cell = to + ((b * oh + 2 * i + q / 2) * ow + 2 * j + q % 2) * VEC;
                    for (int k = 0; k < VEC; k++) cell[k] = index[k] == q ? dy[k] : 0;
                }
}

static void spread_batch_bf16(const cpu_call *call, const onednn_conv *v, bool pool)
{
    const conv2d_sizes *s = &v->s;
    int64_t image = v->blocks * s->oh * s->ow * VEC;
    int64_t gradient = pool ? v->blocks * s->ph * s->pw * VEC : image;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t n = 0; n < s->n; n++) {
        uint16_t *to = (uint16_t *)call->scratch + n * image;
        const uint16_t *dy = (const uint16_t *)call->in[3] + n * gradient;
        if (!pool) {
            spread_relu_bf16(gradient, (const float *)call->in[2] + n * gradient, dy, to);
            continue;
        }
        if (s->oh % 2 || s->ow % 2) memset(to, 0, (size_t)image * sizeof *to);
        spread_pool_bf16(v, (const uint8_t *)call->in[2] + n * gradient, dy, to);
    }
}

/* The gradient of the convolution's output for the whole batch, in the scratch. */
static void spread_batch(const cpu_call *call, const onednn_conv *v, bool pool)
{
    const conv2d_sizes *s = &v->s;
    spread_sizes spread = {v->blocks, s->oh, s->ow, 0};
    int64_t image = v->blocks * s->oh * s->ow * VEC;
    int64_t gradient = pool ? v->blocks * s->ph * s->pw * VEC : image;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t n = 0; n < s->n; n++) {
        float *to = (float *)call->scratch + n * image;
        const float *dy = (const float *)call->in[3] + n * gradient;
        if (!pool) {
            spread_relu(&spread, (const float *)call->in[2] + n * gradient, dy, to);
            continue;
        }
        if (s->oh % 2 || s->ow % 2) memset(to, 0, (size_t)image * sizeof *to);
        spread_pool(&spread, (const uint8_t *)call->in[2] + n * gradient, dy, to);
    }
}

/* oneDNN adds to nothing here: dx = sum + what it has put into the scratch. */
static void add_to_sum(const cpu_call *call, const onednn_conv *v)
{
    const float *sum = call->in[CONV2D_BACK_SUM];
    const float *own = (const float *)((const char *)call->scratch + v->dx_at);
    float *dx = call->out[0];
#pragma omp parallel for simd num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < v->added; i++) dx[i] = sum[i] + own[i];
}

static be_status backward_run(const cpu_call *call, be_error *err)
{
    const onednn_conv *v = call->state;
    char *scratch = call->scratch;
    bool pool = call->node->op == &be_op_conv2d_pool_backward;
    const void *dy = pool || v->relu ? scratch : call->in[3];
    if ((pool || v->relu) && v->bf16) spread_batch_bf16(call, v, pool);
    if ((pool || v->relu) && !v->bf16) spread_batch(call, v, pool);
    if (v->need_dx) {
        TRY(pack_weights(call, v, err));
        onednn_operand data[3] = {
            {DNNL_ARG_DIFF_DST, dy},
            {DNNL_ARG_WEIGHTS, scratch + v->packed_at},
            {DNNL_ARG_DIFF_SRC, v->added ? scratch + v->dx_at : call->out[0]}};
        TRY(onednn_run(v->data, data, 3, scratch + v->library_at, err));
        if (v->added) add_to_sum(call, v);
    }
    if (v->arrange) {
        onednn_operand arrange[2] = {{DNNL_ARG_FROM, dy}, {DNNL_ARG_TO, scratch + v->arranged_at}};
        TRY(onednn_run(v->arrange, arrange, 2, scratch + v->library_at, err));
        dy = scratch + v->arranged_at;
    }
    onednn_operand weights[4] = {{DNNL_ARG_SRC, call->in[0]},
                                 {DNNL_ARG_DIFF_DST, dy},
                                 {DNNL_ARG_DIFF_WEIGHTS, scratch + v->packed_at},
                                 {DNNL_ARG_DIFF_BIAS, scratch + v->bias_at}};
    float *db = call->out[2];
    TRY(onednn_run(v->weights, weights, db ? 4 : 3, scratch + v->library_at, err));
    if (db) memcpy(db, scratch + v->bias_at, (size_t)v->s.o * sizeof(float));
    onednn_operand unpack[2] = {{DNNL_ARG_FROM, scratch + v->packed_at},
                                {DNNL_ARG_TO, call->out[1]}};
    return onednn_run(v->unpack, unpack, 2, scratch + v->library_at, err);
}

static void conv_release(cpu_call *call)
{
    onednn_conv *v = call->state;
    if (!v) return;
    onednn_free(v->forward);
    onednn_free(v->pack);
    onednn_free(v->data);
    onednn_free(v->weights);
    onednn_free(v->unpack);
    onednn_free(v->arrange);
}

/* As native: images of so few channels that a block would be mostly empty stay plain. */
static value_layout x_layout(const cpu_device *device, const be_graph *g, const graph_node *node)
{
    be_shape x = be_value_shape(g, node->in[0]);
    return x.dim[1] <= CONV2D_PLAIN_CHANNELS ? LAYOUT_PLAIN : device->block;
}

static void forward_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                            value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    in[0] = x_layout(device, g, node);
    out[0] = out[1] = device->block;
}

static void backward_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                             value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    in[0] = x_layout(device, g, node);
    in[2] = in[3] = in[CONV2D_BACK_SUM] = out[0] = device->block;
}

#define CONV_KERNEL(op, direction)                                              \
    const cpu_kernel ONEDNN_KERNEL(op) = {.implementation = "oneDNN",           \
                                          .precisions = 1 << BE_PRECISION_BF16, \
                                          .layouts = direction##_layouts,       \
                                          .prepare = direction##_prepare,       \
                                          .run = direction##_run,               \
                                          .release = conv_release}

CONV_KERNEL(conv2d, forward);
CONV_KERNEL(conv2d_pool, forward);
CONV_KERNEL(conv2d_backward, backward);
CONV_KERNEL(conv2d_pool_backward, backward);
