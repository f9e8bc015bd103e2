/* Clipping by the norm, as torch.nn.utils.clip_grad_norm_ does it (Pascanu, Mikolov, Bengio, "On
 * the difficulty of training recurrent neural networks", 2013): all gradients together, as one
 * vector, are scaled to the length `limit` where they are longer.
 *
 * gradients f32 [P], clock i32 [1], norm log f32 [BE_LOSS_LOG], factor f32 [1] -> norm log, factor,
 * both updated in place.  norm = |gradients|, factor = limit / (norm + 1e-6), or 1 where that is
 * above 1.  The gradients stay as they are: the optimizer multiplies each by the factor as it reads
 * it, and so does who gives one to a reader.  The log is a ring as those of `advance`. */
#include "ops/optimizer/clip_gradients.h"

#include <math.h>

#include "breakeven/plan.h"
#include "ops/op_list.h"

static be_status clip_gradients_infer(op_infer *call, be_error *err)
{
    be_shape clock = shape_make(BE_I32, 1, 1, 0, 0, 0);
    be_shape log = shape_make(BE_F32, 1, BE_LOSS_LOG, 0, 0, 0);
    be_shape factor = shape_make(BE_F32, 1, 1, 0, 0, 0);
    TRY(op_expect(&call->in[0], BE_F32, 1, "clip_gradients: gradients", err));
    TRY(op_expect_same(&call->in[1], &clock, "clip_gradients: clock", err));
    TRY(op_expect_same(&call->in[2], &log, "clip_gradients: norm log", err));
    TRY(op_expect_same(&call->in[3], &factor, "clip_gradients: factor", err));
    call->out[0] = log;
    call->out[1] = factor;
    return BE_OK;
}

static void clip_gradients_reference(const op_reference *call)
{
    int64_t count = call->in[0].dim[0], at = (int64_t)call->x[1][0] % BE_LOSS_LOG;
    double sum = 0.0;
    const double *g = call->x[0];
    for (int64_t i = 0; i < count; i++) sum += g[i] * g[i];
    double norm = sqrt(sum), factor = ((const clip_attrs *)call->attrs)->limit / (norm + 1e-6);
    call->y[0][at] = norm;
    call->y[1][0] = factor >= 1.0 ? 1.0 : factor; /* one that is no number stays */
}

static op_cost clip_gradients_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)out;
    double count = (double)in[0].dim[0];
    return (op_cost){.flops = 2.0 * count, .bytes = 4.0 * count};
}

static const clip_attrs short_ones = {.limit = 0.5}, long_ones = {.limit = 1e4};

#define CLIP_CASE(text, attributes, count)                            \
    {                                                                 \
        .name = text, .attrs = &attributes,                           \
        .in = {{BE_F32, 1, {count}},                                  \
               {BE_I32, 1, {1}},                                      \
               {BE_F32, 1, {BE_LOSS_LOG}},                            \
               {BE_F32, 1, {1}}},                                     \
        .low = -1, .high = 1, .below = {0, 100000}, .tolerance = 1e-6 \
    }

static const op_case clip_gradients_cases[] = {
    CLIP_CASE("one, too long", short_ones, 1),       CLIP_CASE("too long", short_ones, 1003),
    CLIP_CASE("many, too long", short_ones, 130003), CLIP_CASE("short enough", long_ones, 70001),
    CLIP_CASE("few, short enough", long_ones, 37),
};

const be_op be_op_clip_gradients = {.name = "clip_gradients",
                                    .attrs_bytes = sizeof(clip_attrs),
                                    .inputs = 4,
                                    .outputs = 2,
                                    .is_outside_gradient = true,
                                    .updates = {3, 4},
                                    .infer = clip_gradients_infer,
                                    .reference = clip_gradients_reference,
                                    .cost = clip_gradients_cost,
                                    .cases = clip_gradients_cases,
                                    .case_count = OP_CASES(clip_gradients_cases)};
