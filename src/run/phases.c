/* The phases of a step. */
#include "run/phases.h"

#include "run/runner.h"

#define LIMIT_S 120.0
#define WARM_UP_STEPS 3

static be_status ask(runner *r, const conductor_contender *contender, int64_t steps, json_t **out,
                     be_error *err)
{
    protocol_call call = {.request = PROTOCOL_PHASES, .steps = steps};
    protocol_answer answer = {0};
    const char *phase;
    json_t *value;
    TRY(runner_prepare(r, &contender->job, LIMIT_S, err));
    TRY(runner_run(r, WARM_UP_STEPS, LIMIT_S, &answer, NULL, err));
    protocol_answer_clear(&answer);
    TRY(runner_call(r, &call, LIMIT_S, &answer, NULL, err));
    *out = json_object();
    json_object_foreach(answer.phases, phase, value)
    {
        double step_s = json_number_value(value) * 1e-9 / (double)answer.steps;
        json_object_set_new(*out, phase, json_is_null(value) ? json_null() : json_real(step_s));
    }
    protocol_answer_clear(&answer);
    return BE_OK;
}

be_status phases_ask(const conductor_contender *contender, double step_s, double least_s,
                     const volatile sig_atomic_t *interrupted, json_t **out, be_error *err)
{
    runner r;
    runner_options options = {.name = contender->engine,
                              .argv = contender->argv,
                              .env = contender->env,
                              .device = contender->job.device,
                              .start_limit_s = LIMIT_S,
                              .interrupted = interrupted};
    int64_t steps = 3 + (int64_t)(least_s / step_s);
    *out = NULL;
    TRY(runner_start(&r, &options, err));
    be_status status = ask(&r, contender, steps, out, err);
    runner_clear(&r);
    return status;
}
