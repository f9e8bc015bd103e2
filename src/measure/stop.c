/* The stop rule and the length of blocks. */
#include "measure/stop.h"

#include <math.h>

#define STOP_CLOCK_SHARE 0.001    /* what reading the clock may cost of a block */
#define STOP_STEPS_MAX 1000000000 /* keeps the count within a JSON integer of every language */

const char *stop_reason_text(stop_reason reason)
{
    static const char *const texts[] = {
#define X(name, text) text,
        STOP_REASON_LIST(X)
#undef X
    };
    return texts[reason];
}

stop_rule stop_rule_default(void)
{
    return (stop_rule){
        .min_samples = 10,
        .max_samples = 400,
        .min_time_s = 0.5,
        .max_time_s = 10,
        .target_relative = 0.02,
        .target_ratio = 0.012,
        .clear_ratio = 0.10,
    };
}

stop_reason stop_decide(const stop_rule *rule, const stop_state *state)
{
    if (state->samples < 1) return STOP_NONE;
    bool precise = state->samples >= rule->min_samples && state->time_s >= rule->min_time_s &&
                   state->relative_half_width <= rule->target_relative && state->ratios_settled;
    if (precise) return STOP_PRECISE;
    if (state->time_s >= rule->max_time_s) return STOP_TIME_LIMIT;
    if (rule->max_samples > 0 && state->samples >= rule->max_samples) return STOP_MAX_SAMPLES;
    return STOP_NONE;
}

int64_t stop_block_steps(const stop_block *block)
{
    if (!(block->step_s > 0)) return 1;
    double wished_s = fmax(block->target_s, 2 * block->clock_read_s / STOP_CLOCK_SHARE);
    double steps = ceil(wished_s / block->step_s);
    double limit = floor(block->limit_s / block->step_s);
    steps = fmin(fmin(steps, limit), STOP_STEPS_MAX);
    return steps >= 1 ? (int64_t)steps : 1;
}

int64_t stop_lead_steps(int64_t block_steps)
{
    return block_steps < 5 ? 0 : (block_steps + 9) / 10;
}
