/* The end of a step: its loss and right answers go into the logs, and the clock moves on.
 *
 * clock i32 [1], loss f32 [1], correct i32 [1], loss log f32 [BE_LOSS_LOG], correct log i32
 * [BE_LOSS_LOG] -> clock, loss log and correct log, updated in place.  The logs are rings: step t
 * stands at t mod BE_LOSS_LOG. */
#include "breakeven/plan.h"
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status advance_infer(op_infer *call, be_error *err)
{
    static const struct {
        be_dtype dtype;
        int64_t count;
        const char *name;
    } forms[] = {{BE_I32, 1, "advance: clock"},
                 {BE_F32, 1, "advance: loss"},
                 {BE_I32, 1, "advance: correct"},
                 {BE_F32, BE_LOSS_LOG, "advance: loss log"},
                 {BE_I32, BE_LOSS_LOG, "advance: correct log"}};
    for (int i = 0; i < 5; i++) {
        be_shape shape = shape_make(forms[i].dtype, 1, forms[i].count, 0, 0, 0);
        TRY(op_expect_same(&call->in[i], &shape, forms[i].name, err));
    }
    call->out[0] = call->in[0];
    call->out[1] = call->in[3];
    call->out[2] = call->in[4];
    return BE_OK;
}

static void advance_reference(const op_reference *call)
{
    int64_t at = (int64_t)call->x[0][0] % BE_LOSS_LOG;
    call->y[1][at] = call->x[1][0];
    call->y[2][at] = call->x[2][0];
    call->y[0][0] += 1.0;
}

static op_cost advance_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    (void)out;
    return (op_cost){.flops = 1, .bytes = 24}; /* three words read, three written */
}

#define ADVANCE_SHAPES(below_steps)     \
    .in = {{BE_I32, 1, {1}},            \
           {BE_F32, 1, {1}},            \
           {BE_I32, 1, {1}},            \
           {BE_F32, 1, {BE_LOSS_LOG}},  \
           {BE_I32, 1, {BE_LOSS_LOG}}}, \
    .low = 0, .high = 3, .below = {below_steps, 0, 100, 0, 100}

static const op_case advance_cases[] = {
    {.name = "first step", ADVANCE_SHAPES(1)},
    {.name = "a late step", ADVANCE_SHAPES(1000000)},
};

const be_op be_op_advance = {.name = "advance",
                             .inputs = 5,
                             .outputs = 3,
                             .is_outside_gradient = true,
                             .updates = {1, 4, 5},
                             .infer = advance_infer,
                             .reference = advance_reference,
                             .cost = advance_cost,
                             .cases = advance_cases,
                             .case_count = OP_CASES(advance_cases)};
