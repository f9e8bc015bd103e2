/* A batch of a data set: gathered, made float, normalised.
 *
 * images u8 [COUNT, C, H, W], labels i32 [COUNT], order i32 [K], clock i32 [1]
 *   -> x f32 [batch, C, H, W], target i32 [batch]
 *
 * Which image place i of step t takes, see be_data_batch in graph.h.  With `clip` a place behind
 * the end of the order has the target −1 and is all 0.  An entry of the order outside [0, COUNT)
 * reads nothing: its place is all 0 and has the target DATA_BATCH_BAD_TARGET. */
#include "ops/input/data_batch.h"

#include <inttypes.h>
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status data_batch_infer(op_infer *call, be_error *err)
{
    const data_batch_attrs *attrs = call->attrs;
    const be_shape *images = &call->in[0];
    TRY(op_expect(images, BE_U8, 4, "data_batch: images", err));
    be_shape labels = shape_make(BE_I32, 1, images->dim[0], 0, 0, 0);
    be_shape clock = shape_make(BE_I32, 1, 1, 0, 0, 0);
    TRY(op_expect_same(&call->in[1], &labels, "data_batch: labels", err));
    TRY(op_expect(&call->in[2], BE_I32, 1, "data_batch: order", err));
    TRY(op_expect_same(&call->in[3], &clock, "data_batch: clock", err));
    if (images->dim[1] > DATA_BATCH_CHANNELS)
        FAIL(err, BE_USAGE, "data_batch: expected at most %d channels, found %" PRId64,
             DATA_BATCH_CHANNELS, images->dim[1]);
    if (attrs->batch < 1)
        FAIL(err, BE_USAGE, "data_batch: expected a batch of at least 1, found %" PRId64,
             attrs->batch);
    if (!attrs->clip && attrs->batch > call->in[2].dim[0])
        FAIL(err, BE_USAGE,
             "data_batch: expected a batch of at most the %" PRId64
             " images of the order, found %" PRId64 "; use a smaller batch",
             call->in[2].dim[0], attrs->batch);
    call->out[0] = *images;
    call->out[0].dtype = BE_F32;
    call->out[0].dim[0] = attrs->batch;
    call->out[1] = shape_make(BE_I32, 1, attrs->batch, 0, 0, 0);
    return BE_OK;
}

static void data_batch_reference(const op_reference *call)
{
    const data_batch_attrs *attrs = call->attrs;
    int64_t count = call->in[0].dim[0], channels = call->in[0].dim[1];
    int64_t pixels = call->in[0].dim[2] * call->in[0].dim[3], image = channels * pixels;
    for (int64_t i = 0; i < attrs->batch; i++) {
        int64_t place = data_batch_place(attrs, (int64_t)call->x[3][0], i, call->in[2].dim[0]);
        int64_t from = place < 0 ? -1 : (int64_t)call->x[2][place];
        bool good = place >= 0 && from >= 0 && from < count;
        call->y[1][i] = good ? call->x[1][from] : place < 0 ? -1.0 : (double)DATA_BATCH_BAD_TARGET;
        for (int64_t k = 0; k < image; k++)
            call->y[0][i * image + k] =
                good ? call->x[0][from * image + k] * attrs->scale[k / pixels] +
                           attrs->shift[k / pixels]
                     : 0.0;
    }
}

static op_cost data_batch_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    double batch = (double)((const data_batch_attrs *)attrs)->batch;
    double elements = (double)shape_elements(&out[0]);
    (void)in;
    /* A pixel is read as one byte and written as four; a place reads order and label and writes
     * the target. */
    return (op_cost){.flops = 2.0 * elements, .bytes = 5.0 * elements + 12.0 * batch};
}

static const data_batch_attrs grey = {.batch = 5, .scale = {1 / 76.5}, .shift = {-0.43}};
static const data_batch_attrs colour = {
    .batch = 7, .scale = {1 / 64.0, 1 / 63.0, 1 / 68.0}, .shift = {-1.9, -1.8, -1.6}};
static const data_batch_attrs clipped = {
    .batch = 8, .clip = 1, .scale = {1 / 255.0}, .shift = {0.5}};
static const data_batch_attrs single = {.batch = 1, .scale = {1 / 255.0}, .shift = {0.0}};
static const data_batch_attrs large = {.batch = 60, .scale = {1 / 76.5}, .shift = {-0.43}};

#define DATA_BATCH_CASE(text, attributes, count, channels, height, width, places, steps) \
    {                                                                                    \
        .name = text, .attrs = &attributes,                                              \
        .in = {{BE_U8, 4, {count, channels, height, width}},                             \
               {BE_I32, 1, {count}},                                                     \
               {BE_I32, 1, {places}},                                                    \
               {BE_I32, 1, {1}}},                                                        \
        .below = {256, 10, count, steps}, .tolerance = 1e-6                              \
    }

static const op_case data_batch_cases[] = {
    DATA_BATCH_CASE("grey", grey, 13, 1, 28, 28, 17, 1000),
    DATA_BATCH_CASE("colour, odd", colour, 9, 3, 5, 7, 23, 1000),
    DATA_BATCH_CASE("clipped", clipped, 9, 1, 3, 5, 19, 4),
    DATA_BATCH_CASE("one", single, 1, 1, 1, 1, 1, 10),
    DATA_BATCH_CASE("several threads", large, 70, 1, 28, 28, 67, 1000),
    {.name = "order out of range",
     .attrs = &colour,
     .in = {{BE_U8, 4, {9, 3, 5, 7}}, {BE_I32, 1, {9}}, {BE_I32, 1, {23}}, {BE_I32, 1, {1}}},
     .below = {256, 10, 12, 1000},
     .ignored = 1u << 2,
     .tolerance = 1e-6},
};

const be_op be_op_data_batch = {.name = "data_batch",
                                .attrs_bytes = sizeof(data_batch_attrs),
                                .inputs = 4,
                                .outputs = 2,
                                .is_outside_gradient = true,
                                .infer = data_batch_infer,
                                .reference = data_batch_reference,
                                .cost = data_batch_cost,
                                .cases = data_batch_cases,
                                .case_count = OP_CASES(data_batch_cases)};

static be_status describe(const be_batch_options *options, data_batch_attrs *attrs, be_error *err)
{
    *attrs = (data_batch_attrs){.batch = options->batch, .clip = options->clip != 0};
    if (options->channels < 1 || options->channels > DATA_BATCH_CHANNELS)
        FAIL(err, BE_USAGE, "data_batch: expected 1 to %d channels, found %d", DATA_BATCH_CHANNELS,
             options->channels);
    for (int c = 0; c < options->channels; c++) {
        double mean = (double)options->mean[c], std = (double)options->std[c];
        if (!isfinite(mean) || !(std > 0.0) || isinf(std))
            FAIL(err, BE_USAGE,
                 "data_batch: expected a finite mean and a finite std above 0 for channel %d, "
                 "found %g and %g",
                 c, mean, std);
        attrs->scale[c] = 1.0 / (255.0 * std);
        attrs->shift[c] = -mean / std;
    }
    return BE_OK;
}

be_batch be_data_batch(be_graph *g, const be_batch_options *options)
{
    be_error err;
    data_batch_attrs attrs;
    be_value out[OP_MAX_OUT];
    be_batch made = {BE_NONE, BE_NONE, BE_NONE, BE_NONE, BE_NONE};
    if (!g || g->error.status != BE_OK) return made;
    if (describe(options, &attrs, &err) != BE_OK) {
        graph_blame(g, &err);
        return made;
    }
    made.images = be_input(
        g, "images",
        shape_make(BE_U8, 4, options->count, options->channels, options->height, options->width));
    made.labels = be_input(g, "labels", shape_make(BE_I32, 1, options->count, 0, 0, 0));
    made.order = be_input(g, "order", shape_make(BE_I32, 1, options->order_count, 0, 0, 0));
    be_value in[OP_MAX_IN] = {made.images, made.labels, made.order, graph_clock(g)};
    made.x = graph_build(g, &be_op_data_batch, &attrs, in, out);
    made.target = out[1];
    return made;
}
