/* One training from start to end. */
#include "run/whole.h"

#include "core/clock.h"
#include "run/runner.h"

static be_status train(runner *r, const conductor_contender *contender, int64_t steps,
                       double limit_s, be_error *err)
{
    protocol_answer answer = {0};
    TRY(runner_prepare(r, &contender->job, limit_s, err));
    TRY(runner_run(r, steps, limit_s, &answer, NULL, err));
    protocol_answer_clear(&answer);
    return BE_OK;
}

be_status whole_run(const conductor_contender *contender, int64_t steps, double limit_s,
                    const volatile sig_atomic_t *interrupted, double *seconds, be_error *err)
{
    runner r;
    runner_options options = {.name = contender->engine,
                              .argv = contender->argv,
                              .env = contender->env,
                              .device = contender->job.device,
                              .start_limit_s = limit_s,
                              .interrupted = interrupted};
    int64_t start_ns = clock_now_ns();
    TRY(runner_start(&r, &options, err));
    be_status status = train(&r, contender, steps, limit_s, err);
    *seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
    runner_clear(&r);
    return status;
}
