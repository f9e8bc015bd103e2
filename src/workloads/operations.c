/* Operations alone: graphs of one op on drawn operands, as often as `times` says, so that what
 * measures networks measures them too.
 *
 * Every operand is a parameter, drawn from the seed and kept in the file of weights, so that all
 * engines compute on the same numbers and nothing is gathered in a step.  Each repetition works on
 * the result of the one before: none can be left out, and no two run at once.  Training sends a
 * drawn gradient back through them and changes nothing; inference is the forward pass, and all
 * that there is of a copy between host and device, of which a step has one. */
#include <inttypes.h>
#include <math.h>

#include "core/memory.h"
#include "core/status.h"
#include "graph/graph.h"
#include "workloads/workload.h"

#define ELEMENTS_MOST 2147483647.0 /* of an operand: all kernels index with 32 bits */
#define BATCH_MOST (1 << 16)

void operation_form(const workload_variant *v, data_table *out)
{
    *out = (data_table){.sample = "item", .unit = "item", .units_a_sample = v->times};
}

/* Nothing is read: the set only says how large a batch may be. */
be_status operation_data(const workload *w, const workload_variant *v, dataset_split split,
                         const dataset_options *options, be_dataset **out, be_error *err)
{
    void *memory = NULL;
    (void)w, (void)options;
    TRY(memory_alloc(&memory, sizeof(be_dataset), "a data set", err));
    be_dataset *set = memory;
    *set = (be_dataset){0};
    be_status status = dataset_start(set, "operands", split, err);
    if (status != BE_OK) {
        dataset_close(set);
        return status;
    }
    set->source = "operands drawn from the seed";
    operation_form(v, &set->table);
    set->table.name = set->name;
    set->table.source = set->source;
    set->table.count = set->count = BATCH_MOST;
    *out = set;
    return BE_OK;
}

static be_value operand_from(be_graph *g, value_kind kind, const char *name, be_shape shape,
                             be_start start)
{
    be_error err;
    double elements = 1;
    if (g->error.status != BE_OK) return BE_NONE;
    for (int d = 0; d < shape.rank; d++) elements *= (double)shape.dim[d];
    if (elements > ELEMENTS_MOST) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "%s: expected fewer than 2^31 elements, found %.0f; choose a smaller size or "
                    "batch",
                    name, elements);
        graph_blame(g, &err);
        return BE_NONE;
    }
    return kind == VALUE_BUFFER ? be_buffer_add(g, name, shape, start)
                                : be_parameter_add(g, name, shape, start);
}

static be_value operand(be_graph *g, value_kind kind, const char *name, be_shape shape,
                        double deviation)
{
    return operand_from(g, kind, name, shape, (be_start){BE_NORMAL, (float)deviation});
}

void operation_build(be_graph *g, const workload *w, const workload_variant *v, int64_t batch,
                     workload_outputs *out)
{
    be_value y = w->operate(g, v, batch);
    be_shape shape = be_value_shape(g, y), flat = {BE_F32, 1, {1}};
    for (int d = 0; d < shape.rank; d++) flat.dim[0] *= shape.dim[d];
    if (!w->link) be_graph_seed(g, y, operand(g, VALUE_BUFFER, "upstream", shape, 1));
    bool is_down = w->link == WORKLOAD_DOWN;
    *out = (workload_outputs){.loss = is_down ? be_upload(g, y, 1)
                                              : be_slice(g, be_view(g, y, flat), 0, 1),
                              .traced = 1,
                              .trace = {y},
                              .trace_name = {"output"}};
}

/* ---------------------------------------------------------------- the operations */

static be_shape square(int64_t rows, int64_t columns)
{
    return (be_shape){BE_F32, 2, {rows, columns}};
}

static const workload_words matrices = {"matrices of", "rows and columns"};

static int or_size(int dimension, const workload_variant *v)
{
    return dimension == WORKLOAD_AS_SIZE ? v->size : dimension;
}

/* A product of a [.., k] by b [.., k, n], as often as asked for; b keeps the spread of what it
 * multiplies. */
static be_value products(be_graph *g, const workload_variant *v, be_shape a_shape, be_shape b_shape)
{
    be_error err;
    int n = or_size(v->n, v), k = or_size(v->k, v);
    if (v->times > 1 && n != k) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "times: expected as many columns n as terms k, so that a result can be "
                    "multiplied again, found %d and %d; make them equal, or leave out --times",
                    n, k);
        graph_blame(g, &err);
        return BE_NONE;
    }
    be_value y = operand(g, VALUE_PARAMETER, "a", a_shape, 1);
    be_value b = operand(g, VALUE_PARAMETER, "b", b_shape, 1 / sqrt((double)k));
    for (int i = 0; i < v->times; i++) y = be_matmul(g, y, b);
    return y;
}

/* a [batch · m, k] · b [k, n]. */
static be_value matmul(be_graph *g, const workload_variant *v, int64_t batch)
{
    int m = or_size(v->m, v), n = or_size(v->n, v), k = or_size(v->k, v);
    return products(g, v, square(batch * m, k), square(k, n));
}

/* a [batch, m, k] · b [batch, k, n]: each product has matrices of its own. */
static be_value bmm(be_graph *g, const workload_variant *v, int64_t batch)
{
    int m = or_size(v->m, v), n = or_size(v->n, v), k = or_size(v->k, v);
    return products(g, v, (be_shape){BE_F32, 3, {batch, m, k}},
                    (be_shape){BE_F32, 3, {batch, k, n}});
}

static be_value attention(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_shape shape = {BE_F32, 3, {batch, v->seq, v->width}};
    be_value y = operand(g, VALUE_PARAMETER, "q", shape, 1);
    be_value k = operand(g, VALUE_PARAMETER, "k", shape, 1);
    be_value value = operand(g, VALUE_PARAMETER, "v", shape, 1);
    for (int i = 0; i < v->times; i++)
        y = be_attention(
            g,
            &(be_attention_options){
                .q = y, .k = k, .v = value, .qkv = BE_NONE, .lengths = BE_NONE, .heads = v->heads});
    return y;
}

/* One weight for all repetitions would be one layer: each has its own. */
static be_value conv2d(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_shape shape = {BE_F32, 4, {batch, v->channels, v->size, v->size}};
    be_value y = operand(g, VALUE_PARAMETER, "x", shape, 1);
    be_error err;
    if (v->kernel % 2 == 0) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "kernel: expected an odd number, so that pictures keep their size, found %d",
                    v->kernel);
        graph_blame(g, &err);
        return BE_NONE;
    }
    double fan_in = (double)v->channels * v->kernel * v->kernel;
    for (int i = 0; i < v->times; i++) {
        char name[32];
        snprintf(name, sizeof name, "conv%d", i);
        y = be_conv2d(g, y,
                      &(be_conv2d_options){.name = name,
                                           .channels = v->channels,
                                           .kernel = v->kernel,
                                           .padding = v->kernel / 2,
                                           .no_bias = 1,
                                           .start = {BE_NORMAL, (float)(1 / sqrt(fan_in))}});
    }
    return y;
}

static be_value add(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_shape shape = square(batch * v->size, v->size);
    be_value y = operand(g, VALUE_PARAMETER, "a", shape, 1);
    be_value b = operand(g, VALUE_PARAMETER, "b", shape, 1);
    for (int i = 0; i < v->times; i++) y = be_add(g, y, b);
    return y;
}

static be_value gelu(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_value y = operand(g, VALUE_PARAMETER, "a", square(batch * v->size, v->size), 1);
    for (int i = 0; i < v->times; i++) y = be_activate(g, y, BE_GELU);
    return y;
}

static be_value softmax(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_value y = operand(g, VALUE_PARAMETER, "a", square(batch * v->size, v->size), 1);
    for (int i = 0; i < v->times; i++) y = be_softmax(g, y, 1.0f);
    return y;
}

/* From one place of the device's memory to another. */
static be_value copy(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_value y = operand(g, VALUE_PARAMETER, "a", square(batch * v->size, v->size), 1);
    for (int i = 0; i < v->times; i++) y = be_clone(g, y);
    return y;
}

/* A buffer, because the parameters lie with the device. */
static be_value upload(be_graph *g, const workload_variant *v, int64_t batch)
{
    return be_upload(g, operand(g, VALUE_BUFFER, "a", square(batch * v->size, v->size), 1), 0);
}

static be_value download(be_graph *g, const workload_variant *v, int64_t batch)
{
    return be_download(g, operand(g, VALUE_PARAMETER, "a", square(batch * v->size, v->size), 1));
}

static be_value pictures_of(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_shape shape = {BE_F32, 4, {batch, v->channels, v->size, v->size}};
    return operand(g, VALUE_PARAMETER, "x", shape, 1);
}

/* There and, the next time, back. */
static be_value resize(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_value y = pictures_of(g, v, batch);
    for (int i = 0; i < v->times; i++) {
        int pixels = i % 2 ? v->size : v->to;
        y = be_resize(g, y, pixels, pixels);
    }
    return y;
}

#define CROP_PADDING 4
#define COLOURS 3

/* CIFAR-10's usual recipe.  The draws are given, so that all engines move each picture alike. */
static be_value augment(be_graph *g, const workload_variant *v, int64_t batch)
{
    static const be_augment_options options = {
        CROP_PADDING, COLOURS, {0.4914f, 0.4822f, 0.4465f}, {0.247f, 0.2435f, 0.2616f}};
    workload_variant colour = *v;
    colour.channels = COLOURS;
    be_value y = pictures_of(g, &colour, batch);
    be_value draws =
        operand_from(g, VALUE_BUFFER, "draws", square(batch, 3), (be_start){BE_UNIFORM, 1});
    for (int i = 0; i < v->times; i++) y = be_augment(g, y, draws, &options);
    return y;
}

/* The smallest op that there is: what remains of it is its launch. */
static be_value launch(be_graph *g, const workload_variant *v, int64_t batch)
{
    be_value y = operand(g, VALUE_PARAMETER, "a", square(batch, 1), 1);
    for (int i = 0; i < v->times; i++) y = be_activate(g, y, BE_TANH);
    return y;
}

#define OPERATION(id, title, text, usual, ...)                              \
    const workload workload_op_##id = {.name = "op:" title,                 \
                                       .summary = text,                     \
                                       .dataset = "operands",               \
                                       .data = operation_data,              \
                                       .form = operation_form,              \
                                       .batch = usual,                      \
                                       .epochs = 1,                         \
                                       .optimizer = {.kind = BE_NO_UPDATE}, \
                                       .operate = id,                       \
                                       __VA_ARGS__}

#define GATE(...) .gate = {.batch = 2, .steps = 3, .most = {.times = 3, __VA_ARGS__}}
#define GATE_LINK(...) .gate = {.batch = 2, .steps = 3, .most = {__VA_ARGS__}}

OPERATION(matmul, "matmul", "the product of two square matrices", 1, .parameters = 2 * 512 * 512,
          .own = {.size = 512,
                  .m = WORKLOAD_AS_SIZE,
                  .n = WORKLOAD_AS_SIZE,
                  .k = WORKLOAD_AS_SIZE,
                  .times = 1},
          .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 128, .m = 128, .n = 128, .k = 128));
OPERATION(bmm, "bmm", "as many products of two square matrices as the batch has", 64,
          .parameters = 2 * 64 * 128 * 128,
          .own = {.size = 128,
                  .m = WORKLOAD_AS_SIZE,
                  .n = WORKLOAD_AS_SIZE,
                  .k = WORKLOAD_AS_SIZE,
                  .times = 1},
          .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 64, .m = 64, .n = 64, .k = 64));
OPERATION(attention, "attention", "attention of several heads", 4, .parameters = 3 * 4 * 512 * 512,
          .own = {.width = 512, .heads = 8, .seq = 512, .times = 1}, GATE(.seq = 64));
OPERATION(conv2d, "conv2d", "a convolution with as many channels as its pictures have", 32,
          .parameters = 32 * 64 * 56 * 56 + 64 * 64 * 9,
          .own = {.size = 56, .channels = 64, .kernel = 3, .times = 1},
          GATE(.size = 16, .channels = 32));
OPERATION(add, "add", "the sum of two square matrices", 1, .parameters = 2 * 4096 * 4096,
          .own = {.size = 4096, .times = 1}, .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 128));
OPERATION(gelu, "gelu", "GELU of a square matrix", 1, .parameters = 4096 * 4096,
          .own = {.size = 4096, .times = 1}, .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 128));
OPERATION(softmax, "softmax", "the softmax of each row of a square matrix", 1,
          .parameters = 4096 * 4096, .own = {.size = 4096, .times = 1},
          .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 128));
OPERATION(copy, "copy", "a copy of a square matrix within the device's memory", 1,
          .parameters = 4096 * 4096, .own = {.size = 4096, .times = 1},
          .words[WORKLOAD_SIZE] = &matrices, GATE(.size = 128));
OPERATION(upload, "upload", "a square matrix copied from the memory of the host to the device", 1,
          .link = WORKLOAD_UP, .own = {.size = 4096}, .words[WORKLOAD_SIZE] = &matrices,
          GATE_LINK(.size = 128));
OPERATION(download, "download", "a square matrix copied from the device to the memory of the host",
          1, .link = WORKLOAD_DOWN, .parameters = 4096 * 4096, .own = {.size = 4096},
          .words[WORKLOAD_SIZE] = &matrices, GATE_LINK(.size = 128));
OPERATION(resize, "resize", "pictures resized by their nearest pixels' mean (bilinear)", 1000,
          .parameters = 1000 * 3 * 96 * 96,
          .own = {.size = 96, .channels = COLOURS, .to = 64, .times = 1},
          GATE(.size = 24, .to = 16));
OPERATION(augment, "augment", "pictures cropped at random, turned over and normalised", 1000,
          .parameters = 1000 * 3 * 32 * 32, .own = {.size = 32, .times = 1}, GATE(.size = 16));
OPERATION(launch, "launch", "tanh of one number, a hundred times: what a launch costs", 1,
          .parameters = 1, .own = {.times = 100},
          .gate = {.batch = 2, .steps = 3, .most = {.times = 3}});
