/* One contender: start, first step, warm-up, checks, blocks, end. */
#include "run/lane.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "machine/environment.h"
#include "run/lane_checks.h"
#include "run/lane_energy.h"

#define LANE_GROWTH 8            /* of the steps from one warm-up run to the next */
#define LANE_WARM_UPS 100        /* runs at most */
#define LANE_CHECKS 6            /* tries of the checks at most … */
#define LANE_DOUBT_NS 2000000000 /* … and as many more as fit into this before it is refused */
#define LANE_SYNC_EVERY 8        /* measured blocks between two looks for work left behind */
#define LANE_TWICE_LOW 1.6       /* twice the steps must take this much to … */
#define LANE_TWICE_HIGH 2.5      /* … this much of the time */
#define LANE_AGREE 1.1           /* two times of the same work that differ by less agree */
#define LANE_IDLE_SHARE 0.05     /* of a processor that an idle runner may use */

void lane_fail(lane *l, const be_error *err)
{
    l->active = false;
    l->result->status = err->status;
    l->result->error = *err;
    l->result->stop = err->status == BE_INTERRUPTED ? STOP_INTERRUPTED
                      : l->left_out                 ? STOP_LEFT_OUT
                      : l->refused                  ? STOP_REFUSED
                                                    : STOP_FAILED;
    if (err->status != BE_INTERRUPTED) lane_progress(l, CONDUCTOR_FAILED);
}

/* -------------------------------------------------------------------- open */

static be_status lane_keep(lane *l, const char **out, const char *text, be_error *err)
{
    return arena_printf(l->memory, out, err, "%s", text);
}

static be_status lane_start_runner(lane *l, be_error *err)
{
    const conductor_contender *c = l->contender;
    runner_options options = {
        .name = l->name,
        .argv = c->argv,
        .env = c->env,
        .device = c->job.device,
        .cores = !strcmp(c->job.device, "cpu") ? c->job.threads : 0,
        .start_limit_s = lane_within_s(l, l->options->start_limit_s),
        .interrupted = l->options->interrupted,
    };
    int64_t start_ns = clock_now_ns();
    TRY(runner_start(&l->runner, &options, err));
    l->result->start_s = (double)(clock_now_ns() - start_ns) * 1e-9;
    return BE_OK;
}

static pool_kind lane_kind(const lane *l)
{
    const conductor_contender *c = l->contender;
    return (pool_kind){c->argv, c->env, c->job.device, c->job.threads};
}

static be_status lane_start(lane *l, be_error *err)
{
    const conductor_contender *c = l->contender;
    pool_kind kind = lane_kind(l);
    snprintf(l->name, sizeof l->name, "%s %s", c->engine, c->job.device);
    l->is_reused = l->options->pool && pool_take(l->options->pool, &kind, &l->runner);
    if (!l->is_reused) TRY(lane_start_runner(l, err));
    const protocol_answer *hello = &l->runner.hello;
    size_t i;
    json_t *device;
    l->is_cpu = !strcmp(c->job.device, "cpu");
    json_array_foreach(hello->devices, i, device)
    {
        if (!strcmp(json_string_value(json_object_get(device, "id")), c->job.device))
            l->is_cpu |= json_is_true(json_object_get(device, "is_cpu"));
    }
    TRY(lane_keep(l, &l->result->engine, hello->engine, err));
    TRY(lane_keep(l, &l->result->engine_version, hello->version, err));
    if (*l->runner.processors) TRY(lane_keep(l, &l->result->processors, l->runner.processors, err));
    l->result->libraries = json_incref(hello->libraries);
    if (!strcmp(hello->engine, c->engine)) return BE_OK;
    FAIL(err, BE_BAD_DATA, "%s: expected the engine '%s', found a runner of '%s'; give its program",
         l->name, c->engine, hello->engine);
}

static be_status lane_prepare(lane *l, be_error *err)
{
    const protocol_job *job = &l->contender->job;
    conductor_result *result = l->result;
    double limit_s = lane_within_s(l, l->options->prepare_limit_s);
    TRY(runner_prepare(&l->runner, job, limit_s, err));
    const protocol_answer *prepared = &l->runner.prepared;
    TRY(lane_keep(l, &result->device_name, prepared->device_name, err));
    TRY(lane_keep(l, &result->implementation, prepared->implementation, err));
    TRY(lane_keep(l, &result->precision, prepared->precision, err));
    result->threads = prepared->threads;
    result->parameters = prepared->parameters;
    result->launches = prepared->launches;
    result->device_bytes = prepared->device_bytes;
    if (prepared->title) TRY(lane_keep(l, &result->title, prepared->title, err));
    if (prepared->unit) TRY(lane_keep(l, &result->unit, prepared->unit, err));
    result->units_a_sample = prepared->units_a_sample;
    result->prepare_s = (double)prepared->prepare_ns * 1e-9;
    size_t i;
    json_t *warning;
    json_array_foreach(prepared->warnings, i, warning)
    {
        lane_warn(l, WARNING_RUNNER, NAN, "%s", json_string_value(warning));
    }
    if (!strcmp(l->contender->engine, "native") && environment_build_warning())
        lane_warn(l, WARNING_BUILD, NAN, "%s", environment_build_warning());
    if (prepared->threads != job->threads)
        lane_warn(l, WARNING_THREADS, NAN, "asked for %d threads, runs on %d", job->threads,
                  prepared->threads);
    if (!strcmp(prepared->precision, job->precision)) return BE_OK;
    l->refused = true;
    FAIL(err, BE_UNAVAILABLE,
         "%s: expected precision %s, found that it computes in %s; ask for that precision, it is "
         "never compared with another one unasked",
         l->name, job->precision, prepared->precision);
}

/* A runner from the pool may hold memory of its jobs before: what it cannot prepare counts only if
 * a fresh one cannot either. */
static be_status lane_prepare_afresh(lane *l, be_error *err)
{
    be_status status = lane_prepare(l, err);
    if (status == BE_OK || status == BE_INTERRUPTED || !l->is_reused) return status;
    runner_clear(&l->runner);
    l->is_reused = l->refused = false;
    TRY(lane_start_runner(l, err));
    return lane_prepare(l, err);
}

static stop_block lane_block_wish(const lane *l)
{
    return (stop_block){
        .clock_read_s = clock_read_s(),
        .target_s = l->options->block_s,
        .limit_s = fmax(l->options->block_s, l->options->stop.max_time_s / 4),
    };
}

/* Runs of growing length until a block's steps are known and the warm-up time is over. */
static be_status lane_warm_up(lane *l, be_error *err)
{
    stop_block block = lane_block_wish(l);
    int64_t steps = 1, wall_ns = 0;
    double warm_s = 0, expected_s = l->step_s;
    for (int i = 0; i < LANE_WARM_UPS; i++) {
        TRY(lane_run(l, steps, lane_limit_s(l, expected_s), &wall_ns, err));
        block.step_s = l->step_s;
        warm_s += (double)wall_ns * 1e-9;
        int64_t enough = stop_block_steps(&block);
        if (warm_s >= l->options->warm_up_s && enough <= 2 * steps) break;
        steps = enough < steps * LANE_GROWTH ? enough : steps * LANE_GROWTH;
        expected_s = l->step_s * (double)steps;
    }
    l->result->block_steps = stop_block_steps(&block);
    return BE_OK;
}

/* The two least times of that many steps.  Other programs can only add to a time: where the two
 * agree, it is that of the steps. */
typedef struct lane_times {
    int64_t least_ns, second_ns;
} lane_times;

static void lane_times_add(lane_times *t, int64_t wall_ns)
{
    if (wall_ns < t->least_ns) {
        t->second_ns = t->least_ns;
        t->least_ns = wall_ns;
    } else if (wall_ns < t->second_ns) {
        t->second_ns = wall_ns;
    }
}

static bool lane_times_agree(const lane_times *t)
{
    return (double)t->second_ns <= LANE_AGREE * (double)t->least_ns;
}

/* What the doubling check found.  A refusal must be sure: where no two times agree, or others had
 * the processors, the machine is too busy for one. */
static be_status lane_judge_doubling(lane *l, const lane_times times[2], double ratio,
                                     double others, be_error *err)
{
    int64_t steps = l->result->block_steps;
    if (ratio > LANE_TWICE_HIGH)
        lane_warn(l, WARNING_DOUBLING, NAN,
                  "twice the steps took %.2f times as long: it slows down under load", ratio);
    if (ratio >= LANE_TWICE_LOW) return BE_OK;
    if (!lane_times_agree(&times[0]) || !lane_times_agree(&times[1])) {
        lane_warn(l, WARNING_UNTOLD, NAN,
                  "whether twice the steps take twice the time could not be told: no two times "
                  "of the same steps agree; stop other programs and measure again");
        return BE_OK;
    }
    if (others > LANE_CROWDED) {
        lane_warn(l, WARNING_UNTOLD, others,
                  "whether twice the steps take twice the time could not be told: other programs "
                  "used %.0f %% of the processors; stop them and measure again",
                  100 * others);
        return BE_OK;
    }
    l->refused = true;
    FAIL(err, BE_FAILED,
         "%s: expected twice the steps to take about twice the time, found %.2f times (%" PRId64
         " and %" PRId64 " steps: %.4g s and %.4g s); the runner does not do what it is asked, or "
         "does not time all of it",
         l->name, ratio, steps, 2 * steps, (double)times[0].least_ns * 1e-9,
         (double)times[1].least_ns * 1e-9);
}

/* Whether a block is one step, and so long that twice as many would take what the measurement is
 * for.  No time is divided by a number of steps then, and how many a runner does is not in doubt.
 */
static bool lane_spares_doubling(const lane *l)
{
    double block_s = l->step_s * (double)l->result->block_steps;
    return block_s > l->options->stop.max_time_s / 3 ||
           (l->result->block_steps == 1 && block_s > LANE_SLOW_S);
}

/* Twice the steps take about twice the time, and no work is left behind.  Several tries, of which
 * the least times count: on a busy machine it takes a while until a short run comes through
 * undisturbed.  The first steps of an engine that compiles are slow: what is spared follows from
 * the step after them. */
static be_status lane_check(lane *l, be_error *err)
{
    int64_t steps = l->result->block_steps, start_ns = clock_now_ns();
    lane_times times[2] = {{INT64_MAX, INT64_MAX}, {INT64_MAX, INT64_MAX}};
    lane_load load = lane_load_take(l);
    double ratio = 2;
    for (int try = 0;
         try < LANE_CHECKS || (ratio < LANE_TWICE_LOW && clock_now_ns() - start_ns < LANE_DOUBT_NS);
         try++) {
        for (int twice = 0; twice < 2 && !(twice && lane_spares_doubling(l)); twice++) {
            int64_t wall_ns = 0, count = twice ? 2 * steps : steps;
            double limit_s = lane_limit_s(l, l->step_s * (double)count);
            TRY(lane_run(l, count, limit_s, &wall_ns, err));
            TRY(lane_look_behind(l, wall_ns, err));
            lane_times_add(&times[twice], wall_ns);
        }
        if (times[1].least_ns < INT64_MAX)
            ratio = (double)times[1].least_ns / (double)times[0].least_ns;
        bool good = ratio >= LANE_TWICE_LOW && ratio <= LANE_TWICE_HIGH;
        if (good && l->pending_strikes == 0) break;
    }
    TRY(lane_judge_doubling(l, times, ratio, lane_others_since(l, &load), err));
    /* The first steps of an engine that compiles are slow, and made the blocks too short. */
    stop_block block = lane_block_wish(l);
    block.step_s = (double)times[0].least_ns * 1e-9 / (double)steps;
    l->result->block_steps = stop_block_steps(&block);
    return BE_OK;
}

static void lane_rest(lane *l)
{
    if (child_settle(l->runner.child, l->options->settle_limit_s) < 0) l->restless++;
    l->idle_from_ns = clock_now_ns();
    l->idle_from_cpu_ns = l->cpu_ns = child_cpu_ns(l->runner.child);
}

be_status lane_open(lane *l, be_error *err)
{
    int64_t wall_ns = 0;
    lane_progress(l, CONDUCTOR_START);
    TRY(lane_start(l, err));
    lane_progress(l, CONDUCTOR_PREPARE);
    TRY(lane_prepare_afresh(l, err));
    lane_progress(l, CONDUCTOR_FIRST_STEP);
    TRY(lane_run(l, 1, lane_within_s(l, l->options->first_limit_s), &wall_ns, err));
    if (!l->is_reused) l->result->first_step_s = (double)wall_ns * 1e-9;
    l->result->first_loss = l->result->last_loss;
    lane_progress(l, CONDUCTOR_PARITY);
    TRY(lane_gate(l, err));
    lane_progress(l, CONDUCTOR_WARM_UP);
    TRY(lane_warm_up(l, err));
    lane_progress(l, CONDUCTOR_CHECK);
    TRY(lane_check(l, err));
    TRY(lane_feel_first(l, err));
    TRY(lane_energy_find(l, err));
    lane_rest(l);
    l->restless = 0;
    l->active = true;
    return BE_OK;
}

/* ------------------------------------------------------------------ blocks */

static void lane_count_idling(lane *l)
{
    int64_t cpu_ns = child_cpu_ns(l->runner.child);
    if (cpu_ns < 0 || l->idle_from_cpu_ns < 0) return;
    l->idle_cpu_ns += cpu_ns - l->idle_from_cpu_ns;
    l->idle_wall_ns += clock_now_ns() - l->idle_from_ns;
}

static be_status lane_lead_in(lane *l, be_error *err)
{
    int64_t steps = stop_lead_steps(l->result->block_steps), wall_ns = 0;
    if (steps == 0) return BE_OK;
    return lane_run(l, steps, lane_limit_s(l, l->step_s * (double)steps), &wall_ns, err);
}

be_status lane_block(lane *l, be_error *err)
{
    conductor_result *result = l->result;
    int64_t steps = result->block_steps, wall_ns = 0;
    double before_s = NAN, after_s = NAN;
    lane_count_idling(l);
    void *blocks = result->blocks_s;
    TRY(memory_grow(&blocks, &result->capacity, (size_t)result->count + 1, sizeof(double), err));
    result->blocks_s = blocks;
    TRY(lane_cool(l, &before_s, err));
    TRY(lane_lead_in(l, err));
    lane_energy_before(l);
    int64_t cpu_ns = child_cpu_ns(l->runner.child);
    TRY(lane_run(l, steps, lane_limit_s(l, l->step_s * (double)steps), &wall_ns, err));
    int64_t after_ns = child_cpu_ns(l->runner.child);
    lane_energy_after(l, steps);
    if (cpu_ns >= 0 && after_ns >= 0) {
        l->block_cpu_ns += after_ns - cpu_ns;
        l->block_wall_ns += wall_ns;
    }
    result->blocks_s[result->count++] = l->step_s;
    l->measured_s += (double)wall_ns * 1e-9;
    if (result->count % LANE_SYNC_EVERY == 0 || l->pending_strikes > 0)
        TRY(lane_look_behind(l, wall_ns, err));
    TRY(lane_check_loss(l, err));
    TRY(lane_feel(l, &after_s, err));
    heat_count_block(&l->heat, before_s, after_s);
    lane_rest(l);
    return BE_OK;
}

/* ------------------------------------------------------------------- close */

static void lane_warn_of_spread(lane *l)
{
    double percent = 100 * l->result->step.spread;
    if (l->result->step.spread > STATS_SPREAD_ALARM)
        lane_warn(l, WARNING_SPREAD, percent / 100,
                  "its blocks spread by %.0f %% of the median: do not rely on this result; stop "
                  "other programs, let the machine cool, and measure again",
                  percent);
    else if (l->result->step.spread > STATS_SPREAD_NOTICE)
        lane_warn(l, WARNING_SPREAD, percent / 100,
                  "its blocks spread by %.0f %% of the median; stop other programs, or measure "
                  "for longer",
                  percent);
}

static void lane_warn_of_idling(lane *l)
{
    double idle = l->idle_wall_ns > 0 ? (double)l->idle_cpu_ns / (double)l->idle_wall_ns : 0;
    if (2 * l->restless > l->result->count)
        lane_warn(l, WARNING_IDLE, NAN,
                  "its threads still spun %.2g s after its blocks and may have slowed the others; "
                  "OMP_WAIT_POLICY=passive stops that",
                  l->options->settle_limit_s);
    else if (idle > LANE_IDLE_SHARE)
        lane_warn(l, WARNING_IDLE, idle,
                  "it used %.0f %% of a processor while others were measured; "
                  "OMP_WAIT_POLICY=passive may stop that",
                  100 * idle);
}

void lane_close(lane *l)
{
    conductor_result *result = l->result;
    be_error ignored;
    pool_kind kind = lane_kind(l);
    if (l->options->pool && result->status == BE_OK && !l->runner.spoiled)
        pool_give(l->options->pool, &kind, &l->runner);
    runner_stop(&l->runner);
    result->peak_rss_bytes = l->peak_rss_bytes >= 0 ? l->peak_rss_bytes : l->runner.peak_rss_bytes;
    if (l->is_reused) result->peak_rss_bytes = -1; /* that of all its measurements */
    if (isnan(result->busy_threads)) result->busy_threads = lane_busy_threads(l);
    if (lane_keep(l, &result->log, l->runner.log, &ignored) != BE_OK) result->log = NULL;
    if (!*l->runner.ending || lane_keep(l, &result->ending, l->runner.ending, &ignored) != BE_OK)
        result->ending = NULL;
    runner_clear(&l->runner);
    if (heat_summarize(&l->heat, result->blocks_s, result->count, &result->heat, &ignored) == BE_OK)
        result->has_reference = result->heat.best_s > 0;
    result->slow_blocks = l->heat.slow_blocks;
    result->waited_s = l->heat.waited_s;
    heat_free(&l->heat);
    if (result->status != BE_OK || result->step.count == 0) return;
    lane_warn_of_spread(l);
    lane_warn_of_idling(l);
    lane_warn_of_heat(l);
    lane_warn_of_rise(l);
}
