/* A batch of a data set: the samples of its places, field by field; bytes may be made float and
 * normalised on the way.
 *
 * order i32 [K], clock i32 [1], then fields [COUNT, …] (or [elements], of which a sample is a
 * window: `stride`) -> of each [batch, …]
 *
 * Which sample place i of step t takes, see be_batching in graph.h.  With `clip` a place behind the
 * end of the order has the target −1 and is all 0.  An entry of the order outside [0, COUNT) reads
 * nothing: its place is all 0 and has the target DATA_BATCH_BAD_TARGET. */
#include "ops/input/data_batch.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

data_batch_span data_batch_samples(const data_batch_field *field, const be_shape *shape)
{
    if (shape->rank < 1) return (data_batch_span){0, 0, 0};
    if (field->stride == 0) {
        int64_t elements = shape->dim[0] ? shape_elements(shape) / shape->dim[0] : 0;
        return (data_batch_span){shape->dim[0], elements, elements};
    }
    int64_t elements = shape_elements(&field->sample), rest = shape->dim[0] - elements;
    return (data_batch_span){rest < 0 ? 0 : rest / field->stride + 1, elements, field->stride};
}

/* Of windows the input has exactly what they cover. */
static be_status check_windows(const data_batch_field *field, const be_shape *shape, int f,
                               be_error *err)
{
    data_batch_span span = data_batch_samples(field, shape);
    int64_t covered = (span.count - 1) * span.stride + span.elements;
    if (field->stride > 0 && !field->normalize && shape->rank == 1 && span.count > 0 &&
        field->sample.dtype == shape->dtype && shape->dim[0] == covered)
        return BE_OK;
    FAIL(err, BE_USAGE,
         "data_batch: expected one dimension that windows of %" PRId64 " elements, %" PRId64
         " apart, cover exactly, and no normalising, in field %d",
         shape_elements(&field->sample), field->stride, f);
}

/* Place 0 is the batch's. */
static void shape_batch(const data_batch_field *field, const be_shape *in, int64_t batch,
                        be_shape *out)
{
    *out = *in;
    if (field->stride) {
        out->rank = field->sample.rank + 1;
        for (int i = 0; i < field->sample.rank; i++) out->dim[i + 1] = field->sample.dim[i];
    }
    out->dim[0] = batch;
}

static be_status infer_field(op_infer *call, int f, be_error *err)
{
    const data_batch_attrs *attrs = call->attrs;
    const be_shape *field = &call->in[DATA_BATCH_FIELD + f];
    be_shape *out = &call->out[f];
    out->rank = -1;
    if (field->rank < 0) return BE_OK;
    if (attrs->fields[f].stride) TRY(check_windows(&attrs->fields[f], field, f, err));
    int64_t count = data_batch_samples(&attrs->fields[f], field).count;
    int64_t first = data_batch_samples(&attrs->fields[0], &call->in[DATA_BATCH_FIELD]).count;
    if (field->rank < 1 || count != first)
        FAIL(err, BE_USAGE,
             "data_batch: expected as many samples of field %d as of the first, %" PRId64
             ", found %" PRId64,
             f, first, count);
    shape_batch(&attrs->fields[f], field, attrs->batch, out);
    if (attrs->fields[f].target && field->dtype != BE_I32)
        FAIL(err, BE_USAGE, "data_batch: expected i32 where targets are wanted, in field %d", f);
    if (!attrs->fields[f].normalize) return BE_OK;
    out->dtype = BE_F32;
    if (field->dtype != BE_U8 || field->rank < 2 || field->dim[1] > DATA_BATCH_CHANNELS)
        FAIL(err, BE_USAGE,
             "data_batch: expected u8 of at most %d channels where a field is normalised, in field "
             "%d",
             DATA_BATCH_CHANNELS, f);
    return BE_OK;
}

static be_status data_batch_infer(op_infer *call, be_error *err)
{
    const data_batch_attrs *attrs = call->attrs;
    be_shape clock = shape_make(BE_I32, 1, 1, 0, 0, 0);
    const be_shape *order = &call->in[DATA_BATCH_ORDER];
    TRY(op_expect(order, BE_I32, 1, "data_batch: order", err));
    TRY(op_expect_same(&call->in[DATA_BATCH_CLOCK], &clock, "data_batch: clock", err));
    if (attrs->batch < 1)
        FAIL(err, BE_USAGE, "data_batch: expected a batch of at least 1, found %" PRId64,
             attrs->batch);
    int64_t step = attrs->batch * (attrs->turns ? attrs->turns : 1);
    if (!attrs->clip && step > order->dim[0])
        FAIL(err, BE_USAGE,
             "data_batch: expected a batch of at most the %" PRId64
             " samples of the order, found %" PRId64 "; use a smaller batch",
             order->dim[0], step);
    for (int f = 0; f < DATA_BATCH_FIELDS; f++) TRY(infer_field(call, f, err));
    return BE_OK;
}

/* Place i of a field's part of the batch; `from` is its sample, or below 0. */
static void refer_place(const op_reference *call, int f, int64_t i, int64_t from, bool bad)
{
    const data_batch_attrs *attrs = call->attrs;
    const data_batch_field *field = &attrs->fields[f];
    const be_shape *out = &call->out[f];
    data_batch_span span = data_batch_samples(field, &call->in[DATA_BATCH_FIELD + f]);
    int64_t elements = span.elements, pixels = out->rank > 1 ? elements / out->dim[1] : 1;
    const double *x = call->x[DATA_BATCH_FIELD + f];
    for (int64_t k = 0; k < elements; k++) {
        double value = from < 0 ? (double)data_batch_absent(field, bad) : x[from * span.stride + k];
        if (from >= 0 && field->normalize)
            value = value * field->scale[k / pixels] + field->shift[k / pixels];
        call->y[f][i * elements + k] = value;
    }
}

static void data_batch_reference(const op_reference *call)
{
    const data_batch_attrs *attrs = call->attrs;
    int64_t count = data_batch_samples(&attrs->fields[0], &call->in[DATA_BATCH_FIELD]).count;
    for (int64_t i = 0; i < attrs->batch; i++) {
        int64_t place = data_batch_place(attrs, (int64_t)call->x[DATA_BATCH_CLOCK][0], i,
                                         call->in[DATA_BATCH_ORDER].dim[0]);
        int64_t from = place < 0 ? -1 : (int64_t)call->x[DATA_BATCH_ORDER][place];
        if (from >= count) from = -1;
        for (int f = 0; f < DATA_BATCH_FIELDS; f++)
            if (call->out[f].rank >= 0) refer_place(call, f, i, from, place >= 0);
    }
}

static op_cost data_batch_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const data_batch_attrs *a = attrs;
    op_cost cost = {.bytes = 4.0 * (double)a->batch}; /* the order */
    for (int f = 0; f < DATA_BATCH_FIELDS; f++) {
        if (out[f].rank < 0) continue;
        double elements = (double)shape_elements(&out[f]);
        size_t each = dtype_bytes(in[DATA_BATCH_FIELD + f].dtype) + dtype_bytes(out[f].dtype);
        cost.bytes += (double)each * elements;
        if (a->fields[f].normalize) cost.flops += 2.0 * elements;
    }
    return cost;
}

#define TARGET      \
    {               \
        .target = 1 \
    }
static const data_batch_attrs grey = {
    .batch = 5, .fields = {{.normalize = 1, .scale = {1 / 76.5}, .shift = {-0.43}}, TARGET}};
static const data_batch_attrs colour = {
    .batch = 7,
    .fields = {
        {.normalize = 1, .scale = {1 / 64.0, 1 / 63.0, 1 / 68.0}, .shift = {-1.9, -1.8, -1.6}},
        TARGET}};
static const data_batch_attrs clipped = {
    .batch = 8,
    .clip = 1,
    .fields = {{.normalize = 1, .scale = {1 / 255.0}, .shift = {0.5}}, TARGET}};
static const data_batch_attrs single = {
    .batch = 1, .fields = {{.normalize = 1, .scale = {1 / 255.0}, .shift = {0.0}}, TARGET}};
static const data_batch_attrs large = {
    .batch = 60, .fields = {{.normalize = 1, .scale = {1 / 76.5}, .shift = {-0.43}}, TARGET}};
static const data_batch_attrs mixed = {
    .batch = 6,
    .clip = 1,
    .fields = {{.target = 0},
               {.target = 0},
               TARGET,
               {.normalize = 1, .scale = {1 / 64.0, 1 / 63.0}, .shift = {-1.9, -1.8}},
               {.target = 0},
               {.normalize = 1, .scale = {1 / 255.0}, .shift = {0.5}}}};

/* Windows over a text, whose targets are the tokens behind them, beside plain labels and bytes. */
static const data_batch_attrs windows = {
    .batch = 4,
    .clip = 1,
    .fields = {{.stride = 3, .sample = {BE_I32, 1, {8}}},
               {.target = 1, .stride = 3, .sample = {BE_I32, 1, {8}}},
               TARGET,
               {.stride = 5, .sample = {BE_U8, 2, {2, 3}}}}};

#define DATA_BATCH_CASE(text, attributes, count, channels, height, width, places, steps) \
    {                                                                                    \
        .name = text, .attrs = &attributes,                                              \
        .in = {{BE_I32, 1, {places}},                                                    \
               {BE_I32, 1, {1}},                                                         \
               {BE_U8, 4, {count, channels, height, width}},                             \
               {BE_I32, 1, {count}},                                                     \
               OP_ABSENT,                                                                \
               OP_ABSENT,                                                                \
               OP_ABSENT,                                                                \
               OP_ABSENT},                                                               \
        .below = {count, steps, 256, 10}, .tolerance = 1e-6                              \
    }

/* Tokens, an f32 field, targets, two kinds of pictures and bytes as they are; the last is how many
 * elements there are of the first of them, and the others follow. */
#define DATA_BATCH_MIXED(text, count, places, steps, highest, tokens)                \
    {                                                                                \
        .name = text, .attrs = &mixed,                                               \
        .in = {{BE_I32, 1, {places}},                                                \
               {BE_I32, 1, {1}},                                                     \
               {BE_I32, 2, {count, tokens}},                                         \
               {BE_F32, 3, {count, 2, (tokens) / 3}},                                \
               {BE_I32, 1, {count}},                                                 \
               {BE_U8, 4, {count, 2, 3, (tokens) / 2 + 1}},                          \
               {BE_U8, 2, {count, (tokens)-2}},                                      \
               {BE_U8, 2, {count, 1}}},                                              \
        .low = -1, .high = 1, .below = {highest, steps, 1000, 0, 10, 256, 256, 256}, \
        .ignored = 1u << DATA_BATCH_ORDER, .tolerance = 1e-6                         \
    }

static const op_case data_batch_cases[] = {
    DATA_BATCH_CASE("grey", grey, 13, 1, 28, 28, 17, 1000),
    DATA_BATCH_CASE("colour, odd", colour, 9, 3, 5, 7, 23, 1000),
    DATA_BATCH_CASE("large pictures", colour, 5, 3, 50, 41, 9, 1000),
    DATA_BATCH_CASE("clipped", clipped, 9, 1, 3, 5, 19, 4),
    DATA_BATCH_CASE("one", single, 1, 1, 1, 1, 1, 10),
    DATA_BATCH_CASE("several threads", large, 70, 1, 28, 28, 67, 1000),
    {.name = "order out of range",
     .attrs = &colour,
     .in = {{BE_I32, 1, {23}},
            {BE_I32, 1, {1}},
            {BE_U8, 4, {9, 3, 5, 7}},
            {BE_I32, 1, {9}},
            OP_ABSENT,
            OP_ABSENT,
            OP_ABSENT,
            OP_ABSENT},
     .below = {12, 1000, 256, 10},
     .ignored = 1u << DATA_BATCH_ORDER,
     .tolerance = 1e-6},
    DATA_BATCH_MIXED("six fields", 11, 17, 4, 13, 9),
    DATA_BATCH_MIXED("six large fields", 4, 6, 3, 5, 8195),
    {.name = "windows",
     .attrs = &windows,
     .in = {{BE_I32, 1, {19}},
            {BE_I32, 1, {1}},
            {BE_I32, 1, {10 * 3 + 8}},
            {BE_I32, 1, {10 * 3 + 8}},
            {BE_I32, 1, {11}},
            {BE_U8, 1, {10 * 5 + 6}},
            OP_ABSENT,
            OP_ABSENT},
     .below = {13, 5, 1000, 1000, 10, 256},
     .ignored = 1u << DATA_BATCH_ORDER,
     .tolerance = 1e-6},
};

/* The order of a rank has its own samples alone. */
static void data_batch_set_part(void *attrs, int rank, int turns)
{
    (void)rank;
    ((data_batch_attrs *)attrs)->turns = turns;
}

const be_op be_op_data_batch = {.name = "data_batch",
                                .attrs_bytes = sizeof(data_batch_attrs),
                                .inputs = DATA_BATCH_FIELD + DATA_BATCH_FIELDS,
                                .outputs = DATA_BATCH_FIELDS,
                                .optional = ~0u << (DATA_BATCH_FIELD + 1),
                                .is_outside_gradient = true,
                                .set_part = data_batch_set_part,
                                .infer = data_batch_infer,
                                .reference = data_batch_reference,
                                .cost = data_batch_cost,
                                .cases = data_batch_cases,
                                .case_count = OP_CASES(data_batch_cases)};

/* ---------------------------------------------------------------- building */

static be_status describe(const be_field *field, data_batch_field *out, be_error *err)
{
    const be_shape *sample = &field->sample;
    *out = (data_batch_field){
        .normalize = field->normalize != 0, .target = field->target != 0, .stride = field->stride};
    if (field->stride) out->sample = *sample;
    if (sample->rank < 0 || sample->rank >= BE_MAX_RANK)
        FAIL(err, BE_USAGE,
             "be_gather: field \"%s\": expected samples of 0 to %d dimensions, found %d",
             field->name, BE_MAX_RANK - 1, sample->rank);
    if (field->target && sample->dtype != BE_I32)
        FAIL(err, BE_USAGE, "be_gather: field \"%s\": expected i32 for targets, found another type",
             field->name);
    if (field->stride < 0 || (field->stride && field->normalize))
        FAIL(err, BE_USAGE,
             "be_gather: field \"%s\": expected a stride of at least 1, and none where bytes are "
             "normalised, found %" PRId64,
             field->name, field->stride);
    if (!field->normalize) return BE_OK;
    if (sample->dtype != BE_U8)
        FAIL(err, BE_USAGE, "be_gather: field \"%s\": expected u8 to normalise, found another type",
             field->name);
    int64_t channels = sample->rank ? sample->dim[0] : 0;
    if (channels < 1 || channels > DATA_BATCH_CHANNELS)
        FAIL(err, BE_USAGE, "be_gather: field \"%s\": expected 1 to %d channels, found %" PRId64,
             field->name, DATA_BATCH_CHANNELS, channels);
    for (int64_t c = 0; c < channels; c++) {
        double mean = (double)field->mean[c], std = (double)field->std[c];
        if (!isfinite(mean) || !(std > 0.0) || isinf(std))
            FAIL(err, BE_USAGE,
                 "be_gather: field \"%s\": expected a finite mean and a finite std above 0 for "
                 "channel %" PRId64 ", found %g and %g",
                 field->name, c, mean, std);
        out->scale[c] = 1.0 / (255.0 * std);
        out->shift[c] = -mean / std;
    }
    return BE_OK;
}

/* The node that gathers in this way; −1: there is none yet. */
static int find_node(const be_graph *g, const be_batching *batching)
{
    for (int n = (int)g->node_count - 1; n >= 0; n--) {
        const graph_node *node = &g->nodes[n];
        const data_batch_attrs *attrs = node->attrs;
        if (node->op == &be_op_data_batch && node->in[DATA_BATCH_ORDER] == batching->order &&
            attrs->batch == batching->batch && !attrs->clip == !batching->clip)
            return n;
    }
    return -1;
}

/* The input is new, so it can be given to a node that is there already. */
static be_status add_field(be_graph *g, int node, be_value input, const data_batch_field *field,
                           be_value *out, be_error *err)
{
    int f = data_batch_count(g->nodes[node].in);
    if (f == DATA_BATCH_FIELDS)
        FAIL(err, BE_USAGE, "be_gather: expected at most %d fields of one order, found more",
             DATA_BATCH_FIELDS);
    ((data_batch_attrs *)g->nodes[node].attrs)->fields[f] = *field;
    g->nodes[node].in[DATA_BATCH_FIELD + f] = input;
    TRY(graph_refresh_node(g, (size_t)node, err));
    *out = g->nodes[node].out[f];
    return BE_OK;
}

static be_shape input_shape(const be_field *field)
{
    const be_shape *sample = &field->sample;
    if (field->stride) {
        int64_t elements = (field->count - 1) * field->stride + shape_elements(sample);
        return (be_shape){.dtype = sample->dtype, .rank = 1, .dim = {elements}};
    }
    be_shape shape = {.dtype = sample->dtype, .rank = sample->rank + 1, .dim = {field->count}};
    for (int i = 0; i < sample->rank; i++) shape.dim[i + 1] = sample->dim[i];
    return shape;
}

be_value be_gather(be_graph *g, const be_field *field, const be_batching *batching)
{
    be_error err;
    data_batch_attrs attrs = {.batch = batching->batch, .clip = batching->clip != 0};
    data_batch_field described;
    be_value in[OP_MAX_IN], made = BE_NONE;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    be_status status = describe(field, &described, &err);
    if (status != BE_OK) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    be_value input = be_input(g, field->name, input_shape(field));
    if (input == BE_NONE) return BE_NONE;
    int node = find_node(g, batching);
    if (node >= 0) {
        if (add_field(g, node, input, &described, &made, &err) != BE_OK) graph_blame(g, &err);
        return made;
    }
    for (int i = 0; i < OP_MAX_IN; i++) in[i] = BE_NONE;
    in[DATA_BATCH_ORDER] = batching->order;
    in[DATA_BATCH_CLOCK] = graph_clock(g);
    in[DATA_BATCH_FIELD] = input;
    attrs.fields[0] = described;
    return graph_build(g, &be_op_data_batch, &attrs, in, NULL);
}

be_batch be_data_batch(be_graph *g, const be_batch_options *options)
{
    be_batch made = {BE_NONE, BE_NONE, BE_NONE, BE_NONE, BE_NONE};
    if (!g || g->error.status != BE_OK) return made;
    be_field images = {
        .name = "images",
        .count = options->count,
        .sample = shape_make(BE_U8, 3, options->channels, options->height, options->width, 0),
        .normalize = 1};
    memcpy(images.mean, options->mean, sizeof images.mean);
    memcpy(images.std, options->std, sizeof images.std);
    be_field labels = {.name = "labels",
                       .count = options->count,
                       .sample = shape_make(BE_I32, 0, 0, 0, 0, 0),
                       .target = 1};
    made.order = be_input(g, "order", shape_make(BE_I32, 1, options->order_count, 0, 0, 0));
    be_batching batching = {made.order, options->batch, options->clip};
    made.x = be_gather(g, &images, &batching);
    made.target = be_gather(g, &labels, &batching);
    made.images = be_value_find(g, "images");
    made.labels = be_value_find(g, "labels");
    return made;
}
