/* The learning rate of a step, from a table of the rates of all steps (graph/schedule.c): behind
 * its end the last one stays.
 *
 * clock i32 [1], rates f32 [K], rate f32 [1] -> rate, updated in place. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status schedule_infer(op_infer *call, be_error *err)
{
    be_shape clock = shape_make(BE_I32, 1, 1, 0, 0, 0), rate = shape_make(BE_F32, 1, 1, 0, 0, 0);
    TRY(op_expect_same(&call->in[0], &clock, "schedule: clock", err));
    TRY(op_expect(&call->in[1], BE_F32, 1, "schedule: rates", err));
    TRY(op_expect_same(&call->in[2], &rate, "schedule: rate", err));
    call->out[0] = rate;
    return BE_OK;
}

static void schedule_reference(const op_reference *call)
{
    int64_t step = (int64_t)call->x[0][0], last = call->in[1].dim[0] - 1;
    call->y[0][0] = call->x[1][step < last ? step : last];
}

static op_cost schedule_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    (void)out;
    return (op_cost){.flops = 0, .bytes = 12}; /* two words read, one written */
}

#define SCHEDULE_CASE(text, count, below_steps)                                                   \
    {                                                                                             \
        .name = text, .in = {{BE_I32, 1, {1}}, {BE_F32, 1, {count}}, {BE_F32, 1, {1}}}, .low = 0, \
        .high = 1, .below = {below_steps}, .tolerance = 0                                         \
    }

static const op_case schedule_cases[] = {
    SCHEDULE_CASE("the first step", 100, 1),
    SCHEDULE_CASE("on its way", 1001, 1000),
    SCHEDULE_CASE("behind its end", 3, 1000000),
};

const be_op be_op_schedule = {.name = "schedule",
                              .inputs = 3,
                              .outputs = 1,
                              .is_outside_gradient = true,
                              .updates = {3},
                              .infer = schedule_infer,
                              .reference = schedule_reference,
                              .cost = schedule_cost,
                              .cases = schedule_cases,
                              .case_count = OP_CASES(schedule_cases)};
