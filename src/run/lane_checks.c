/* What a lane is held against beside its clock: the reference in double precision, the speed that
 * its device once had, and the evidence of where it worked. */
#include "run/lane_checks.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"

#define LANE_RISEN 2.0        /* times the first loss: a training that stays above it diverges */
#define LANE_RISING_STRIKES 6 /* blocks in a row that must be above it … */
#define LANE_RISING_STEPS 100 /* … and steps: by momentum a sound one may rise for dozens */
#define LANE_READINGS 3    /* of the reference kernel, of which the least counts, if one is slow */
#define LANE_COOL_S 0.05   /* between two looks at a device that has grown slow */
#define LANE_HOT_SHARE 0.1 /* of the blocks that must be slow for a warning */
#define LANE_GREW 1.03     /* times the first steps' time: the last ones felt what slowed it down */
#define LANE_PHASES_STEPS 3 /* at least; of slow ones as many as take … */
#define LANE_PHASES_S 2.0   /* … this together, at least one */
#define LANE_PATIENCE 3     /* times as long for phases as was asked for, a slice a third of that */
#define LANE_ALIKE 0.01     /* steps that differ no more are of one state of the machine */
#define LANE_PROOF_BLOCKS 3 /* more blocks, for the processor time of child processes */

/* -------------------------------------------------------------------- gate */

be_status lane_gate(lane *l, be_error *err)
{
    const conductor_contender *c = l->contender;
    if (c->computes_nothing) return BE_OK;
    if (c->passed) {
        l->result->parity = *c->passed;
        return BE_OK;
    }
    if (!c->gate) {
        lane_warn(l, WARNING_UNCHECKED, NAN,
                  "what it computes was not compared with the reference");
        return BE_OK;
    }
    double limit_s = lane_within_s(l, l->options->prepare_limit_s);
    be_status status = gate_check(c->gate, &l->runner, &c->job, limit_s, &l->result->parity, err);
    l->refused |= status == BE_NUMERIC;
    TRY(status);
    return runner_prepare(&l->runner, &c->job, limit_s, err);
}

be_status lane_check_loss(lane *l, be_error *err)
{
    const conductor_result *result = l->result;
    bool risen = result->last_loss > LANE_RISEN * fabs(result->first_loss);
    l->rising_strikes = risen ? l->rising_strikes + 1 : 0;
    l->rising_steps = risen ? l->rising_steps + result->block_steps : 0;
    if (l->rising_strikes < LANE_RISING_STRIKES || l->rising_steps < LANE_RISING_STEPS)
        return BE_OK;
    l->refused = true;
    FAIL(err, BE_NUMERIC,
         "%s: expected a loss that falls while it trains, found that it rose from %.4g to %.4g and "
         "stayed there for %d blocks, %lld steps; it gets no speed; run 'breakeven parity' of this "
         "workload, or take a batch nearer to its own: the learning rate is for that one",
         l->name, result->first_loss, result->last_loss, l->rising_strikes,
         (long long)l->rising_steps);
}

void lane_warn_of_rise(lane *l)
{
    const conductor_result *r = l->result;
    if (l->rising_strikes < LANE_RISING_STRIKES) return;
    lane_warn(
        l, WARNING_RISING, NAN,
        "its loss rose from %.4g to %.4g in too few steps to tell whether it would fall "
        "again: the speed is that of such a start; measure for longer, or take a batch nearer "
        "to the workload's own, which the learning rate is for",
        r->first_loss, r->last_loss);
}

/* -------------------------------------------------------------------- heat */

be_status lane_feel(lane *l, double *reading_s, be_error *err)
{
    double least_s = INFINITY;
    *reading_s = NAN;
    if (l->has_no_reference) return BE_OK;
    for (int i = 0; i == 0 || (i < LANE_READINGS && heat_is_slow(&l->heat, least_s)); i++) {
        protocol_answer answer;
        protocol_call call = {.request = PROTOCOL_REFERENCE};
        be_status status = runner_call(&l->runner, &call, lane_limit_s(l, 0), &answer, NULL, err);
        l->has_no_reference = status != BE_OK && answer.refused;
        if (l->has_no_reference) return BE_OK;
        TRY(status);
        least_s = fmin(least_s, (double)answer.wall_ns * 1e-9);
        protocol_answer_clear(&answer);
    }
    *reading_s = least_s;
    return heat_add(&l->heat, least_s, err);
}

/* What is compiled and loaded for the first reading is no heat. */
be_status lane_feel_first(lane *l, be_error *err)
{
    double reading_s = NAN;
    heat_begin(&l->heat);
    TRY(lane_feel(l, &reading_s, err));
    heat_free(&l->heat);
    for (int i = 0; i < LANE_READINGS; i++) TRY(lane_feel(l, &reading_s, err));
    return BE_OK;
}

be_status lane_cool(lane *l, double *reading_s, be_error *err)
{
    const conductor_options *o = l->options;
    double total_s = o->cool_share * o->stop.max_time_s, waited_s = 0;
    double patience_s = heat_patience_s(&l->heat, o->cool_limit_s, total_s);
    int64_t start_ns = clock_now_ns();
    TRY(lane_feel(l, reading_s, err));
    while (heat_is_slow(&l->heat, *reading_s) && waited_s + LANE_COOL_S <= patience_s) {
        if (o->interrupted && *o->interrupted) FAIL(err, BE_INTERRUPTED, "stopped by a signal");
        clock_sleep_ns((int64_t)(LANE_COOL_S * 1e9));
        TRY(lane_feel(l, reading_s, err));
        waited_s = (double)(clock_now_ns() - start_ns) * 1e-9;
    }
    l->heat.waited_s += waited_s;
    return BE_OK;
}

void lane_warn_of_heat(lane *l)
{
    const conductor_result *r = l->result;
    bool grew = r->heat.sustained_step_s > LANE_GREW * r->heat.burst_step_s;
    if (r->slow_blocks < 2 || r->slow_blocks < LANE_HOT_SHARE * r->count) return;
    lane_warn(l, WARNING_HEAT, 1 - r->heat.slow_speed,
              "the %s ran at %.2f of its best speed in %d of %d blocks: burst %.3g ms, sustained "
              "%.3g ms a step; %s",
              l->is_cpu ? "processor" : "device", r->heat.slow_speed, r->slow_blocks, r->count,
              r->heat.burst_step_s * 1e3, r->heat.sustained_step_s * 1e3,
              grew ? "let the machine cool, or stop other programs"
                   : "its steps did not grow longer, so rather than heat it is other programs, or "
                     "threads of its own that still wait for work");
}

/* ------------------------------------------------------------------- proof */

static int64_t lane_phases_steps(double wish_s, double step_s)
{
    double slow = step_s > LANE_SLOW_S ? LANE_PHASES_S / step_s : LANE_PHASES_STEPS;
    return (int64_t)fmax(1, fmin(LANE_PHASES_STEPS, slow)) + (int64_t)(wish_s / step_s);
}

/* One answer to `phases`, of that many seconds; NULL from an engine that does not tell.  *unlike is
 * the logarithm, without sign, of its step by the measured one. */
static be_status lane_phases(lane *l, double wish_s, json_t **out, double *unlike, be_error *err)
{
    double step_s = l->result->step.median.point;
    protocol_answer answer;
    protocol_call call = {.request = PROTOCOL_PHASES, .steps = lane_phases_steps(wish_s, step_s)};
    double limit_s = lane_limit_s(l, step_s * (double)call.steps);
    *out = NULL;
    be_status status = runner_call(&l->runner, &call, limit_s, &answer, NULL, err);
    if (status != BE_OK && answer.refused) return BE_OK;
    TRY(status);
    if (!isnan(answer.flops)) l->result->flops_per_step = answer.flops / (double)call.steps;
    *unlike = fabs(log((double)answer.wall_ns * 1e-9 / ((double)call.steps * step_s)));
    l->result->phases_steps = call.steps;
    *out = json_incref(answer.json);
    protocol_answer_clear(&answer);
    return BE_OK;
}

/* In the process that was measured; after it, because engines' profilers may slow what follows.
 * A machine changes from moment to moment, and it is the measured step that is to be taken apart:
 * of several answers the one counts whose step took most nearly what the measured one did. */
static be_status lane_ask_phases(lane *l, be_error *err)
{
    conductor_result *result = l->result;
    double wish_s = l->options->phases_s, unlike = 0, best = INFINITY;
    int64_t end_ns = clock_now_ns() + (int64_t)(LANE_PATIENCE * wish_s * 1e9);
    do {
        json_t *answer = NULL;
        TRY(lane_phases(l, wish_s / LANE_PATIENCE, &answer, &unlike, err));
        if (!answer) return BE_OK;
        if (!result->phases || unlike < best) {
            json_decref(result->phases);
            result->phases = json_incref(answer);
            best = unlike;
        }
        json_decref(answer);
    } while (best > LANE_ALIKE && clock_now_ns() < end_ns);
    return BE_OK;
}

/* Threads at work in its blocks.  Where its own process tells too little, it may have left the work
 * to processes that it started: a few blocks more, with the time of all of them. */
static be_status lane_threads_at_work(lane *l, bool is_told, double *out, be_error *err)
{
    *out = lane_busy_threads(l);
    bool clear = l->is_cpu ? *out >= PROOF_IDLE_THREADS : is_told;
    for (int i = 0; i < LANE_PROOF_BLOCKS && !clear && !isnan(*out); i++) {
        int64_t wall_ns = 0, steps = l->result->block_steps;
        int64_t from_ns = child_group_cpu_ns(l->runner.child);
        TRY(lane_run(l, steps, lane_limit_s(l, l->step_s * (double)steps), &wall_ns, err));
        int64_t to_ns = child_group_cpu_ns(l->runner.child);
        *out = fmax(*out, (double)(to_ns - from_ns) / (double)wall_ns);
        clear = l->is_cpu && *out >= PROOF_IDLE_THREADS;
    }
    return BE_OK;
}

be_status lane_prove(lane *l, be_error *err)
{
    const conductor_contender *c = l->contender;
    conductor_result *result = l->result;
    lane_progress(l, CONDUCTOR_PROVE);
    l->peak_rss_bytes = child_peak_rss_bytes(l->runner.child);
    double last_loss = result->last_loss;
    proof_evidence evidence = {.name = l->name,
                               .device = c->job.device,
                               .is_cpu = l->is_cpu,
                               .processors = l->processors,
                               .crowded = l->others > LANE_CROWDED,
                               .step_s = result->step.median.point,
                               .flops_per_step = c->flops_per_step,
                               .bytes_per_step = c->bytes_per_step,
                               .limit_flops_per_s = c->limit_flops_per_s,
                               .limit_bytes_per_s = c->limit_bytes_per_s};
    bool asks = !c->passed || l->options->phases_s > 0;
    TRY(lane_threads_at_work(l, true, &evidence.busy_threads, err));
    if (asks) TRY(lane_ask_phases(l, err));
    if (isnan(evidence.flops_per_step)) evidence.flops_per_step = result->flops_per_step;
    /* Of a user's own model this much is known: each weight is read, and in training written. */
    if (isnan(evidence.bytes_per_step) && c->job.model)
        evidence.bytes_per_step =
            (strcmp(c->job.mode, "train") ? 4.0 : 8.0) * (double)result->parameters;
    if (c->computes_nothing) return BE_OK;
    const json_t *work = json_object_get(result->phases, "work");
    evidence.work = json_object_size(work) > 0 ? work : NULL;
    if (!l->is_cpu && asks && !evidence.work) {
        lane_warn(l, WARNING_UNPROVEN, NAN, "its runner does not tell where it worked");
        TRY(lane_threads_at_work(l, false, &evidence.busy_threads, err));
    }
    result->last_loss = last_loss;
    result->busy_threads = evidence.busy_threads;
    be_status status = proof_check(&evidence, &result->proof, err);
    l->refused |= status == BE_FAILED;
    if (status == BE_OK && l->is_cpu && evidence.busy_threads < PROOF_IDLE_THREADS)
        lane_warn(
            l, WARNING_UNPROVEN, NAN,
            "it had %.3f threads busy while other programs used %.0f %% of the processors, so "
            "where it worked could not be told; stop them and measure again",
            evidence.busy_threads, 100 * l->others);
    if (status == BE_OK && !l->is_cpu &&
        evidence.busy_threads > PROOF_ALL_THREADS * evidence.processors)
        lane_warn(l, WARNING_BESIDE, NAN,
                  "it kept %.2g of %d threads of the processor busy beside %s",
                  evidence.busy_threads, evidence.processors, c->job.device);
    return status;
}
