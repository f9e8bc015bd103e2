/* The rounds, the stop rule and the comparison of all contenders. */
#include "run/conductor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "machine/load.h"
#include "run/lane.h"
#include "run/lane_checks.h"

#define CONDUCTOR_STEAL 0.02 /* share of the processors from which a warning is due */

typedef struct conductor {
    const conductor_options *options;
    conductor_report *report;
    lane *lanes;
    int count;
} conductor;

const char *conductor_phase_text(conductor_phase phase)
{
    static const char *const texts[] = {
#define X(name, text) text,
        CONDUCTOR_PHASE_LIST(X)
#undef X
    };
    return texts[phase];
}

conductor_options conductor_options_default(void)
{
    return (conductor_options){
        .stop = stop_rule_default(),
        .seed = 1,
        .block_s = 0.04,
        .warm_up_s = 0.3,
        .start_limit_s = 120,
        .prepare_limit_s = 300,
        .first_limit_s = 300,
        .run_limit_s = 60,
        .settle_limit_s = 0.15,
        .cool_limit_s = 1,
        .cool_share = 0.2,
        .phases_s = 0.2,
        .reference_loss = NAN,
    };
}

/* ------------------------------------------------------------------ report */

static be_status conductor_report_new(const conductor_contender *contenders, int count,
                                      uint64_t seed, conductor_report **out, be_error *err)
{
    arena *memory = NULL;
    void *report = NULL, *results = NULL, *batches = NULL;
    TRY(arena_new(&memory, err));
    be_status status = arena_alloc(memory, &report, sizeof **out, err);
    if (status == BE_OK)
        status = arena_alloc(memory, &results, (size_t)count * sizeof(conductor_result), err);
    if (status == BE_OK)
        status = arena_alloc(memory, &batches, (size_t)count * sizeof(int64_t), err);
    if (status != BE_OK) {
        arena_free(memory);
        return status;
    }
    *out = report;
    **out = (conductor_report){.memory = memory,
                               .count = count,
                               .results = results,
                               .fastest = -1,
                               .other_load = NAN,
                               .steal = NAN,
                               .seed = seed,
                               .batches = batches};
    for (int i = 0; i < count; i++) {
        (*out)->batches[i] = contenders[i].job.batch;
        (*out)->results[i] = (conductor_result){
            .threads = -1,
            .parameters = -1,
            .start_s = NAN,
            .prepare_s = NAN,
            .first_step_s = NAN,
            .first_loss = NAN,
            .last_loss = NAN,
            .samples_per_s = NAN,
            .busy_threads = NAN,
            .energy_per_step_j = NAN,
            .flops_per_step = NAN,
            .parity = {.error = NAN, .band = NAN},
            .proof = {.launches = -1, .of_peak = NAN, .of_bandwidth = NAN},
            .heat = {NAN, NAN, NAN, NAN, NAN, NAN},
            .peak_rss_bytes = -1,
            .device_bytes = -1,
            .versus = -1,
            .ratio = {NAN, NAN, NAN},
        };
    }
    return BE_OK;
}

bool conductor_report_is_over(const conductor_report *report)
{
    for (int i = 0; report && i < report->count; i++) {
        const conductor_result *result = &report->results[i];
        if (result->stop == STOP_REFUSED && result->proof.of_peak > PROOF_OVER_LIMIT) return true;
    }
    return false;
}

void conductor_report_free(conductor_report *report)
{
    if (!report) return;
    for (int i = 0; i < report->count; i++) {
        json_decref(report->results[i].libraries);
        json_decref(report->results[i].phases);
        free(report->results[i].blocks_s);
        free(report->results[i].warnings);
    }
    arena_free(report->memory);
}

/* One that computes nothing has times and no speed: its samples_per_s is NAN. */
static bool conductor_has_speed(const conductor_result *result)
{
    return result->status == BE_OK && result->step.count > 0 && !isnan(result->samples_per_s);
}

static stats_series conductor_series(const conductor_report *report, int i)
{
    const conductor_result *result = &report->results[i];
    return (stats_series){.blocks_s = result->blocks_s,
                          .count = result->count,
                          .batch = (double)report->batches[i],
                          .samples_per_s = result->samples_per_s};
}

be_status conductor_compare(const conductor_report *report, int a, int b, stats_interval *ratio,
                            stats_verdict *verdict, be_error *err)
{
    const conductor_result *x = &report->results[a], *y = &report->results[b];
    *ratio = (stats_interval){NAN, NAN, NAN};
    *verdict = STATS_UNSURE;
    if (!conductor_has_speed(x) || !conductor_has_speed(y)) return BE_OK;
    stats_series first = conductor_series(report, a), second = conductor_series(report, b);
    return stats_compare(&first, &second, report->seed, ratio, verdict, err);
}

/* ------------------------------------------------------------------ rounds */

/* Fold the result of a lane's doing: a failure ends the lane, an interruption ends all. */
static be_status conductor_take(lane *l, be_status status, be_error *err)
{
    if (status == BE_OK) return BE_OK;
    lane_fail(l, err);
    return status == BE_INTERRUPTED ? status : BE_OK;
}

/* The reading of the clock at which a stage that begins now has to be over. */
static int64_t conductor_until(const conductor *c, budget_stage stage)
{
    const conductor_options *o = c->options;
    int64_t now_ns = clock_now_ns();
    double passed_s = (double)(now_ns - o->budget_from_ns) * 1e-9;
    double grant_s = budget_grant_s(&o->budget, stage, 1, passed_s);
    return isinf(grant_s) ? INT64_MAX : now_ns + (int64_t)(grant_s * 1e9);
}

static void conductor_give(conductor *c, int64_t until_ns)
{
    for (int i = 0; i < c->count; i++) c->lanes[i].until_ns = until_ns;
}

static void conductor_leave_out(const conductor *c, lane *l)
{
    be_error err;
    l->left_out = true;
    status_fail(&err, __FILE__, __LINE__, BE_UNAVAILABLE,
                "%s on %s: no time was left for it of the %g s that all of them have together; "
                "'breakeven bench' measures it",
                l->contender->engine, l->contender->job.device, c->options->budget.whole_s);
    lane_fail(l, &err);
}

/* Who is not ready in time is left out, whatever it was waiting for. */
static be_status conductor_in_time(const conductor *c, lane *l,
                                   be_status (*work)(lane *, be_error *), be_error *err)
{
    be_status status = clock_now_ns() < l->until_ns ? work(l, err) : BE_UNAVAILABLE;
    if (status == BE_OK || status == BE_INTERRUPTED || l->refused || clock_now_ns() < l->until_ns)
        return conductor_take(l, status, err);
    conductor_leave_out(c, l);
    return BE_OK;
}

static bool is_on_processor(const lane *l)
{
    return strcmp(l->contender->job.device, "cpu") == 0;
}

/* Those on accelerators come first: they start slowest, and where time is short an engine's second
 * best device is missed least. */
static be_status conductor_open_on(conductor *c, bool processor, be_error *err)
{
    for (int i = 0; i < c->count; i++) {
        if (is_on_processor(&c->lanes[i]) != processor) continue;
        if (c->lanes[i].contender->computes_nothing)
            lane_warn(&c->lanes[i], WARNING_NOTHING, NAN,
                      "this device plans, counts launches and bytes, and computes nothing: its "
                      "results were not checked, and its times are no speed");
        TRY(conductor_in_time(c, &c->lanes[i], lane_open, err));
    }
    return BE_OK;
}

static be_status conductor_open(conductor *c, be_error *err)
{
    conductor_give(c, conductor_until(c, BUDGET_OPEN));
    TRY(conductor_open_on(c, false, err));
    return conductor_open_on(c, true, err);
}

/* No speed without correctness: the first losses of like jobs must agree. */
static void conductor_check_losses(conductor *c)
{
    const conductor_options *options = c->options;
    double reference = options->reference_loss;
    const char *name = "the reference";
    const protocol_job *job = NULL;
    if (!(options->loss_band > 0)) return;
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        if (!l->active || l->contender->computes_nothing) continue;
        if (isnan(reference)) {
            reference = l->result->first_loss;
            name = l->name;
        }
        if (!job) job = &l->contender->job;
        bool alike = job->batch == l->contender->job.batch && job->seed == l->contender->job.seed &&
                     !strcmp(job->workload, l->contender->job.workload) &&
                     !strcmp(job->mode, l->contender->job.mode);
        double error = fabs(l->result->first_loss - reference);
        if (!alike || error <= options->loss_band * fabs(reference)) continue;
        be_error err;
        l->refused = true;
        status_fail(&err, __FILE__, __LINE__, BE_NUMERIC,
                    "%s: expected the first step's loss to be %.6g as %s has it (within %g of it), "
                    "found %.6g; it gets no speed; the parity check of this workload shows where",
                    l->name, reference, name, options->loss_band, l->result->first_loss);
        lane_fail(l, &err);
    }
}

/* A gate that is smaller than the job says nothing of the job's own size: there the losses of each
 * lane are held against those of the first one that was checked alike. */
static void conductor_check_full_size(conductor *c)
{
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        for (int j = 0; j < i && l->active; j++) {
            const lane *other = &c->lanes[j];
            be_error err;
            if (!other->active || other->contender->gate != l->contender->gate ||
                strcmp(other->contender->job.precision, l->contender->job.precision) != 0)
                continue;
            if (gate_compare(l->name, &l->result->parity, other->name, &other->result->parity,
                             &err) == BE_OK)
                continue;
            l->refused = true;
            lane_fail(l, &err);
        }
    }
}

/* The result with the least time per sample, -1 if none has a speed. */
static int conductor_fastest(const conductor *c)
{
    int fastest = -1;
    double least_s = INFINITY;
    for (int i = 0; i < c->count; i++) {
        const conductor_result *result = &c->report->results[i];
        if (!conductor_has_speed(result)) continue;
        double sample_s = result->step.median.point / (double)c->report->batches[i];
        if (sample_s >= least_s) continue;
        least_s = sample_s;
        fastest = i;
    }
    return fastest;
}

static be_status conductor_summarize(conductor *c, be_error *err)
{
    for (int i = 0; i < c->count; i++) {
        conductor_result *result = &c->report->results[i];
        if (result->count == 0) continue;
        TRY(stats_summarize(result->blocks_s, result->count, c->options->seed, &result->step, err));
        result->samples_per_s = c->lanes[i].contender->computes_nothing
                                    ? (double)NAN
                                    : (double)c->report->batches[i] / result->step.median.point;
    }
    c->report->fastest = conductor_fastest(c);
    return BE_OK;
}

/* Whether more rounds would still narrow this lane's ratio to the fastest. */
static be_status conductor_ratio_settled(conductor *c, int i, bool *settled, be_error *err)
{
    int fastest = c->report->fastest;
    const stop_rule *rule = &c->options->stop;
    stats_interval ratio;
    stats_verdict verdict;
    *settled = true;
    if (fastest < 0 || c->lanes[i].contender->computes_nothing) return BE_OK;
    if (i == fastest || !c->lanes[i].active || !c->lanes[fastest].active) return BE_OK;
    TRY(conductor_compare(c->report, i, fastest, &ratio, &verdict, err));
    *settled = stats_ratio_settled(&ratio, rule->target_ratio, rule->clear_ratio);
    return BE_OK;
}

/* Apply the stop rule.  A precise contender stays in the rotation while another is not: its next
 * blocks are what that one is compared with.  One at a limit leaves. */
static be_status conductor_decide(conductor *c, bool *is_over, be_error *err)
{
    const stop_rule *rule = &c->options->stop;
    *is_over = true;
    TRY(conductor_summarize(c, err));
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        if (!l->active) continue;
        stop_state state = {
            .samples = l->result->count,
            .time_s = l->measured_s,
            .relative_half_width = stats_relative_half_width(&l->result->step.median),
        };
        TRY(conductor_ratio_settled(c, i, &state.ratios_settled, err));
        l->result->stop = stop_decide(rule, &state);
        if (l->result->stop == STOP_NONE) *is_over = false;
        l->leaving = state.time_s >= rule->max_time_s ||
                     (rule->max_samples > 0 && state.samples >= rule->max_samples);
    }
    for (int i = 0; i < c->count; i++) c->lanes[i].active &= !c->lanes[i].leaving;
    return BE_OK;
}

static int conductor_active(const conductor *c)
{
    int active = 0;
    for (int i = 0; i < c->count; i++) active += c->lanes[i].active;
    return active;
}

/* Who is still in the rotation has what it has. */
static void conductor_time_is_up(conductor *c)
{
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        if (!l->active) continue;
        if (l->result->count == 0)
            conductor_leave_out(c, l);
        else if (l->result->stop == STOP_NONE)
            l->result->stop = STOP_TIME_LIMIT;
    }
}

/* Rounds in turning order until all have ended.  The rule is applied after every second round, when
 * each order has been used as often as the other. */
static be_status conductor_rounds(conductor *c, be_error *err)
{
    bool is_over = false;
    int64_t until_ns = conductor_until(c, BUDGET_ROUNDS);
    /* The blocks that have begun may end. */
    conductor_give(c, conductor_until(c, BUDGET_OPEN));
    while (!is_over && conductor_active(c) > 0 && clock_now_ns() < until_ns) {
        int round = c->report->rounds++;
        for (int k = 0; k < c->count; k++) {
            lane *l = &c->lanes[round % 2 ? c->count - 1 - k : k];
            if (!l->active || clock_now_ns() >= until_ns) continue;
            lane_progress(l, CONDUCTOR_MEASURE);
            be_status status = lane_block(l, err);
            TRY(conductor_take(l, status, err));
        }
        if (round % 2 == 1 || conductor_active(c) == 1) TRY(conductor_decide(c, &is_over, err));
    }
    if (!is_over) conductor_time_is_up(c);
    return BE_OK;
}

/* ------------------------------------------------------------- after them */

/* Why nothing could be decided, in words. */
static be_status conductor_explain(conductor *c, int i, be_error *err)
{
    conductor_report *report = c->report;
    conductor_result *a = &report->results[i], *b = &report->results[a->versus];
    char cause[160] = "", load[80] = "";
    if (a->verdict != STATS_UNSURE) return BE_OK;
    stats_series mine = conductor_series(report, i), other = conductor_series(report, a->versus);
    if (stats_contradicts(&mine, &other, &a->ratio))
        return arena_printf(report->memory, &a->unsure, err,
                            "the ratio of the two lies between %.3f and %.3f, but their medians "
                            "say the opposite: the machine's speed changed meanwhile; stop other "
                            "programs, or measure longer with --max-time",
                            a->ratio.low, a->ratio.high);
    double spread = fmax(a->step.spread, b->step.spread);
    int32_t rounds = a->count < b->count ? a->count : b->count;
    if (spread > STATS_SPREAD_NOTICE)
        snprintf(cause, sizeof cause, "the blocks spread by %.0f %% of the median", 100 * spread);
    else
        snprintf(cause, sizeof cause, "%d rounds are too few for so small a difference", rounds);
    if (report->other_load > LOAD_BUSY)
        snprintf(load, sizeof load, ", other programs used %.0f %% of the processors",
                 100 * report->other_load);
    return arena_printf(report->memory, &a->unsure, err,
                        "the ratio of the two lies between %.3f and %.3f after %d rounds (%s): "
                        "%s%s; stop other programs, or measure longer with --max-time",
                        a->ratio.low, a->ratio.high, rounds, stop_reason_text(a->stop), cause,
                        load);
}

static be_status conductor_verdicts(conductor *c, be_error *err)
{
    conductor_report *report = c->report;
    int fastest = report->fastest, second = -1;
    for (int i = 0; i < c->count && fastest >= 0; i++) {
        conductor_result *result = &report->results[i];
        if (i == fastest || !conductor_has_speed(result)) continue;
        result->versus = fastest;
        TRY(conductor_compare(report, i, fastest, &result->ratio, &result->verdict, err));
        TRY(conductor_explain(c, i, err));
        if (second < 0 || result->ratio.point < report->results[second].ratio.point) second = i;
    }
    if (second < 0) return BE_OK;
    /* The same judgement, seen from the other side: it is made once. */
    conductor_result *result = &report->results[fastest];
    result->versus = second;
    result->ratio = stats_inverse(&report->results[second].ratio);
    result->verdict = stats_verdict_of_other(report->results[second].verdict);
    return conductor_explain(c, fastest, err);
}

static int64_t conductor_cpu_ns(const conductor *c)
{
    int64_t sum_ns = load_own_cpu_ns();
    for (int i = 0; i < c->count; i++)
        if (c->lanes[i].cpu_ns > 0) sum_ns += c->lanes[i].cpu_ns;
    return sum_ns;
}

static void conductor_note_load(conductor *c, const load_sample *from, int64_t from_cpu_ns)
{
    conductor_report *report = c->report;
    load_sample to = load_take(c->options->sensors_root);
    report->other_load = load_other_share(from, &to, conductor_cpu_ns(c) - from_cpu_ns);
    report->steal = load_steal_share(from, &to);
    for (int i = 0; i < c->count; i++) {
        c->lanes[i].others = report->other_load;
        if (!conductor_has_speed(&report->results[i])) continue;
        if (report->other_load > LOAD_BUSY)
            lane_warn(&c->lanes[i], WARNING_LOAD, report->other_load,
                      "other programs used %.0f %% of the processors meanwhile; stop them and "
                      "measure again",
                      100 * report->other_load);
        if (report->steal > CONDUCTOR_STEAL)
            lane_warn(&c->lanes[i], WARNING_STEAL, report->steal,
                      "other virtual machines took %.0f %% of the processors meanwhile",
                      100 * report->steal);
    }
}

/* A contender that cannot prove where it worked loses its speed. */
static be_status conductor_prove(conductor *c, be_error *err)
{
    conductor_give(c, conductor_until(c, BUDGET_PROVE));
    TRY(conductor_summarize(c, err));
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        if (!conductor_has_speed(l->result)) continue;
        TRY(conductor_in_time(c, l, lane_prove, err));
    }
    return BE_OK;
}

/* All between the first start and the last block. */
static be_status conductor_measure(conductor *c, be_error *err)
{
    TRY(conductor_open(c, err));
    conductor_check_losses(c);
    conductor_check_full_size(c);
    load_sample from = load_take(c->options->sensors_root);
    int64_t from_cpu_ns = conductor_cpu_ns(c);
    be_status status = conductor_rounds(c, err);
    conductor_note_load(c, &from, from_cpu_ns);
    be_error ignored;
    if (status == BE_OK) status = conductor_prove(c, err);
    be_status summary = conductor_summarize(c, status == BE_OK ? err : &ignored);
    return status != BE_OK ? status : summary;
}

static void conductor_close(conductor *c, be_status status)
{
    for (int i = 0; i < c->count; i++) {
        lane *l = &c->lanes[i];
        if (status == BE_INTERRUPTED && l->result->status == BE_OK) {
            be_error err;
            status_fail(&err, __FILE__, __LINE__, BE_INTERRUPTED, "%s: stopped by a signal",
                        l->name);
            lane_fail(l, &err);
        }
        lane_close(l);
        lane_progress(l, CONDUCTOR_DONE);
    }
}

be_status conductor_run(const conductor_contender *contenders, int count,
                        const conductor_options *options, conductor_report **out, be_error *err)
{
    *out = NULL;
    void *lanes = NULL;
    conductor_report *report = NULL;
    if (count < 1) FAIL(err, BE_USAGE, "measuring: expected at least 1 contender, found %d", count);
    TRY(conductor_report_new(contenders, count, options->seed, &report, err));
    be_status status = memory_alloc(&lanes, (size_t)count * sizeof(lane), "contenders", err);
    if (status != BE_OK) {
        conductor_report_free(report);
        return status;
    }
    conductor c = {.options = options, .report = report, .lanes = lanes, .count = count};
    int64_t began_ns = clock_now_ns();
    for (int i = 0; i < count; i++)
        c.lanes[i] = (lane){
            .contender = &contenders[i],
            .options = options,
            .result = &report->results[i],
            .memory = report->memory,
            .index = i,
            .lanes = count,
            .began_ns = began_ns,
            .until_ns = INT64_MAX,
            .processors = load_take(NULL).processors,
            .peak_rss_bytes = -1,
            .heat = {.best_s = INFINITY},
            .cpu_ns = -1,
            .idle_from_cpu_ns = -1,
        };
    status = conductor_measure(&c, err);
    conductor_close(&c, status);
    memory_free(lanes);
    if (status == BE_OK) status = conductor_verdicts(&c, err);
    report->elapsed_s = (double)(clock_now_ns() - began_ns) * 1e-9;
    for (int i = 0; i < count && options->answers; i++) {
        json_t *phases = report->results[i].phases;
        json_array_append_new(options->answers, phases ? json_incref(phases) : json_null());
    }
    if (status == BE_OK || status == BE_INTERRUPTED) {
        *out = report;
        return status;
    }
    conductor_report_free(report);
    return status;
}
