/* One run of a lane's runner, held against our own clock; and what is told of a lane. */
#include "run/lane_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"

#define LANE_TOLD_NS 10000000 /* of time outside: what is shorter tells nothing of a claim */
#define LANE_CLAIM 0.8        /* least share of the outside time that a block may claim, unless */
#define LANE_LATE_NS 2000000  /* less than this is missing: it takes time to answer */
#define LANE_CLAIM_STRIKES 3  /* blocks in a row that must claim too little … */
#define LANE_MISSING_NS 60000000 /* … and what must be missing in them together */
#define LANE_PENDING 0.02        /* most work, as a share of a block, that may be left behind */
#define LANE_PENDING_NS 2000000  /* and never less than this: scheduling alone can take as long */
#define LANE_PENDING_STRIKES 6   /* looks in a row that must find it */

void lane_warn(lane *l, warning_kind kind, double value, const char *format, ...)
{
    conductor_result *result = l->result;
    char text[600];
    conductor_warning warning = {kind, value, NULL};
    void *list = result->warnings;
    be_error ignored;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_clean(text, strlen(text), false, text, sizeof text);
    if (memory_grow(&list, &result->warning_capacity, result->warning_count + 1, sizeof warning,
                    &ignored) != BE_OK)
        return;
    result->warnings = list;
    if (arena_printf(l->memory, &warning.text, &ignored, "%s", text) == BE_OK)
        result->warnings[result->warning_count++] = warning;
}

void lane_progress(const lane *l, conductor_phase phase)
{
    if (!l->options->progress) return;
    conductor_progress progress = {
        .phase = phase,
        .contender = l->index,
        .contenders = l->lanes,
        .blocks = l->result->count,
        .step_s = l->result->step.count ? l->result->step.median.point : (double)NAN,
        .elapsed_s = (double)(clock_now_ns() - l->began_ns) * 1e-9,
        .error = phase == CONDUCTOR_FAILED ? &l->result->error : NULL,
    };
    l->options->progress(l->options->context, &progress);
}

/* -------------------------------------------------------------------- load */

/* Of this program and of all runners, whatever they started: none of it is another program's. Lanes
 * lie side by side. */
static int64_t lanes_cpu_ns(const lane *l)
{
    int64_t sum_ns = load_own_cpu_ns();
    const lane *first = l - l->index;
    for (int i = 0; i < l->lanes; i++) {
        int64_t used_ns = first[i].runner.child ? child_group_cpu_ns(first[i].runner.child) : 0;
        if (used_ns > 0) sum_ns += used_ns;
    }
    return sum_ns;
}

lane_load lane_load_take(const lane *l)
{
    return (lane_load){load_take(l->options->sensors_root), lanes_cpu_ns(l)};
}

double lane_others_since(const lane *l, const lane_load *load)
{
    load_sample to = load_take(l->options->sensors_root);
    return load_taken_share(&load->from, &to, lanes_cpu_ns(l) - load->own_ns);
}

/* Whether others had so much of the processors since then that what came late accuses nobody. */
static bool lane_is_disturbed(lane *l, const lane_load *load)
{
    double others = lane_others_since(l, load);
    if (others <= LANE_CROWDED) return false;
    if (!l->is_late)
        lane_warn(l, WARNING_LATE, others,
                  "its answers came late, and whether it times all of its work could not be told: "
                  "other programs used %.0f %% of the processors; stop them and measure again",
                  100 * others);
    l->is_late = true;
    return true;
}

/* ---------------------------------------------------------------- one run */

/* Whether the runner claims much less time than passed.  A busy machine lets it answer late now and
 * then; only blocks in a row, whose missing time adds up, are believed, and none while others work:
 * a refusal must be sure.  Not asked before the warm-up is over: work left behind looks alike
 * there, and has a check of its own after it. */
static be_status lane_check_claim(lane *l, int64_t wall_ns, int64_t outside_ns, be_error *err)
{
    int64_t missing_ns = outside_ns - wall_ns;
    if (outside_ns < LANE_TOLD_NS || l->result->block_steps == 0) return BE_OK;
    bool is_short = missing_ns > LANE_LATE_NS && (double)wall_ns < LANE_CLAIM * (double)outside_ns;
    if (is_short && l->short_strikes == 0) l->short_load = lane_load_take(l);
    l->short_strikes = is_short ? l->short_strikes + 1 : 0;
    l->missing_ns = is_short ? l->missing_ns + missing_ns : 0;
    if (l->short_strikes < LANE_CLAIM_STRIKES || l->missing_ns < LANE_MISSING_NS) return BE_OK;
    if (lane_is_disturbed(l, &l->short_load)) {
        l->short_strikes = 0;
        return BE_OK;
    }
    l->refused = true;
    FAIL(err, BE_FAILED,
         "%s: expected a block of about the %.4g s that passed here, found a claim of %.4g s, and "
         "that %d times in a row; the runner leaves work out of its time",
         l->name, (double)outside_ns * 1e-9, (double)wall_ns * 1e-9, l->short_strikes);
}

be_status lane_run(lane *l, int64_t steps, double limit_s, int64_t *wall_ns, be_error *err)
{
    protocol_answer answer;
    int64_t outside_ns = 0;
    TRY(runner_run(&l->runner, steps, limit_s, &answer, &outside_ns, err));
    double loss = answer.loss;
    *wall_ns = answer.wall_ns;
    protocol_answer_clear(&answer);
    l->step_s = (double)*wall_ns * 1e-9 / (double)steps;
    l->result->last_loss = loss;
    if (!strcmp(l->contender->job.mode, "train") && !isfinite(loss))
        FAIL(err, BE_NUMERIC,
             "%s: expected a finite loss, found %g after a block of %" PRId64 " steps; lower the "
             "learning rate, or run the parity check of this workload",
             l->name, loss, steps);
    if (*wall_ns > outside_ns) {
        l->refused = true;
        FAIL(err, BE_FAILED,
             "%s: expected a block no longer than the %.4g s that passed here, found a claim of "
             "%.4g s; the runner's clock is wrong",
             l->name, (double)outside_ns * 1e-9, (double)*wall_ns * 1e-9);
    }
    return lane_check_claim(l, *wall_ns, outside_ns, err);
}

double lane_within_s(const lane *l, double limit_s)
{
    return fmin(limit_s, fmax(0, (double)(l->until_ns - clock_now_ns()) * 1e-9));
}

double lane_limit_s(const lane *l, double expected_s)
{
    return lane_within_s(l, l->options->run_limit_s + 20 * expected_s);
}

/* The first sync waits for what was left behind, and a second one, at once after it, shows what
 * asking alone costs.  On a busy machine either may be late, so only what looks wrong time after
 * time is believed. */
be_status lane_look_behind(lane *l, int64_t wall_ns, be_error *err)
{
    int64_t outside_ns[2];
    for (int i = 0; i < 2; i++) {
        protocol_answer answer;
        protocol_call call = {.request = PROTOCOL_SYNC};
        double limit_s = lane_limit_s(l, (double)wall_ns * 1e-9);
        TRY(runner_call(&l->runner, &call, limit_s, &answer, &outside_ns[i], err));
        protocol_answer_clear(&answer);
    }
    double pending_ns = (double)(outside_ns[0] - outside_ns[1]);
    bool pending = pending_ns > fmax(LANE_PENDING * (double)wall_ns, LANE_PENDING_NS);
    if (pending && l->pending_strikes == 0) l->pending_load = lane_load_take(l);
    l->pending_strikes = pending ? l->pending_strikes + 1 : 0;
    if (l->pending_strikes < LANE_PENDING_STRIKES) return BE_OK;
    if (lane_is_disturbed(l, &l->pending_load)) {
        l->pending_strikes = 0;
        return BE_OK;
    }
    l->refused = true;
    FAIL(err, BE_FAILED,
         "%s: expected the device to be idle after a block, found that waiting for it took another "
         "%.3g s (the block claimed %.3g s), %d times in a row; the runner does not wait for its "
         "device before it reads the clock, so its times are refused",
         l->name, pending_ns * 1e-9, (double)wall_ns * 1e-9, l->pending_strikes);
}

double lane_busy_threads(const lane *l)
{
    if (l->block_wall_ns <= 0) return NAN;
    return (double)l->block_cpu_ns / (double)l->block_wall_ns;
}
