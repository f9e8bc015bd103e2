/* The rounds of a sweep: which place next, the measurement there, and what to do with those that
 * fail. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/text_json.h"
#include "report/sheet.h"
#include "study/sweep.h"

#define EXPECTED_RUNS 24    /* among which the time is shared out */
#define LANE_OVERHEAD_S 0.9 /* prepare, first step, warm-up, checks, waits */
#define LANE_STEPS 10       /* that a contender does at least */
#define TARGET 0.07         /* half width of a crossing's interval */
#define RUNS_MOST 60        /* of a pair */

void sweep_note(sweep *s, const char *format, ...)
{
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(s->notes, text_json(text));
}

double sweep_elapsed_s(const sweep *s)
{
    return (double)(clock_now_ns() - s->began_ns) * 1e-9;
}

bool sweep_time_is_up(const sweep *s)
{
    return sweep_elapsed_s(s) >= s->limit_s;
}

crossing_options sweep_options(const sweep *s, const sweep_pair *pair)
{
    return (crossing_options){.from = (double)s->range.from,
                              .to = pair->to,
                              .integer = true,
                              .most = RUNS_MOST,
                              .target = TARGET,
                              .floor = SWEEP_FLOOR};
}

/* ---------------------------------------------------------------- records to points */

const json_t *sweep_best(const sweep *s, const json_t *record, int side)
{
    const json_t *best = NULL;
    size_t i;
    json_t *contender;
    json_array_foreach(json_object_get(record, "contenders"), i, contender)
    {
        double step_s = report_real(contender, "step_s.median");
        if (strcmp(report_string(contender, "side"), s->sides[side].name) != 0) continue;
        if (isnan(step_s) || (best && report_real(best, "step_s.median") <= step_s)) continue;
        best = contender;
    }
    return best;
}

/* The 97.5 % quantile of Student's t for n - 1 degrees of freedom, over that of the normal
 * distribution: what few rounds do not tell of their own scatter. */
static double few_rounds_factor(int rounds)
{
    static const double factors[] = {0, 0, 6.48, 2.20, 1.62, 1.42};
    return rounds < 6 ? factors[rounds] : 1.3;
}

/* The standard error of the mean of log ratios, for as few of them as have no bootstrap. */
static double error_of_few(const double *a, const double *b, int rounds)
{
    double mean = 0, squares = 0;
    if (rounds < 2) return 0.5; /* nothing is known of its scatter */
    for (int i = 0; i < rounds; i++) mean += log(a[i] / b[i]) / rounds;
    for (int i = 0; i < rounds; i++) squares += pow(log(a[i] / b[i]) - mean, 2);
    return sqrt(squares / (rounds - 1) / rounds) * few_rounds_factor(rounds);
}

static void read_blocks(const json_t *contender, double *out, int count)
{
    const json_t *blocks = json_object_get(contender, "blocks");
    for (int i = 0; i < count; i++) out[i] = json_number_value(json_array_get(blocks, (size_t)i));
}

static double sample_s(const json_t *contender)
{
    return report_real(contender, "step_s.median") / report_real(contender, "batch");
}

be_status sweep_compare(const json_t *a, const json_t *b, uint64_t seed, crossing_point *out,
                        be_error *err)
{
    size_t first = json_array_size(json_object_get(a, "blocks"));
    size_t second = json_array_size(json_object_get(b, "blocks"));
    int rounds = (int)(first < second ? first : second);
    void *memory = NULL;
    stats_interval ratio;
    if (rounds < 1) FAIL(err, BE_BAD_DATA, "expected blocks in a record of the sweep, found none");
    TRY(memory_alloc(&memory, 2 * (size_t)rounds * sizeof(double), "blocks", err));
    double *blocks = memory;
    read_blocks(a, blocks, rounds);
    read_blocks(b, blocks + rounds, rounds);
    be_status status = stats_ratio(blocks, blocks + rounds, rounds, seed, &ratio, err);
    if (status == BE_OK) {
        out->y = log(ratio.point);
        out->error = rounds < 6 ? error_of_few(blocks, blocks + rounds, rounds)
                                : log(ratio.high / ratio.low) / (2 * 1.96);
        /* Where the machine drifted, the medians can say another winner: then none is sure. */
        double medians = sample_s(a) / sample_s(b);
        if ((medians < 1) != (ratio.point < 1)) out->error = fmax(out->error, fabs(out->y));
    }
    memory_free(memory);
    return status;
}

void sweep_take(sweep *s, json_t *record)
{
    json_array_append(s->records, record);
    if (strcmp(report_string(record, "kind"), "point") != 0 || !axis_is_measured(s->range.axis))
        return;
    for (int p = 0; p < s->pair_count; p++) {
        sweep_pair *pair = &s->pairs[p];
        const json_t *a = sweep_best(s, record, pair->first);
        const json_t *b = sweep_best(s, record, pair->second);
        crossing_point point = {.x = report_real(record, "x")};
        if (!a || !b || pair->count == CROSSING_RUNS_MAX) continue;
        if (sweep_compare(a, b, s->m.request->seed, &point, NULL) == BE_OK)
            pair->points[pair->count++] = point;
    }
}

int sweep_runs_at(const sweep_pair *pair, double x)
{
    int runs = 0;
    for (int i = 0; i < pair->count; i++) runs += pair->points[i].x == x;
    return runs;
}

/* ---------------------------------------------------------------- those that fail */

static bool is_in_grid(const crossing_options *options, double x)
{
    double grid[CROSSING_POINTS_MAX];
    int count = crossing_grid(options, grid);
    for (int g = 0; g < count; g++)
        if (grid[g] == x) return true;
    return false;
}

/* The range of a pair ends below x: at the next place of its grid. */
static void end_below(const sweep *s, sweep_pair *pair, double x)
{
    crossing_options options = sweep_options(s, pair);
    double grid[CROSSING_POINTS_MAX], end = options.from;
    int count = crossing_grid(&options, grid);
    if (x > pair->to) return;
    for (int g = 0; g < count; g++)
        if (grid[g] < x) end = grid[g];
    pair->to = end;
    pair->done |= end <= options.from;
}

static void lose_side(sweep *s, int side, double x, const json_t *contender)
{
    sweep_side *lost = &s->sides[side];
    bool no_room = strcmp(report_string(contender, "status"), "NO_MEMORY") == 0;
    if (!no_room && ++lost->failures < 2) return; /* a busy machine can make a check fail once */
    snprintf(lost->reason, sizeof lost->reason, "%s", report_string(contender, "error"));
    lost->missing = !no_room || x <= (double)s->range.from;
    lost->most = x - 1;
    for (int p = 0; p < s->pair_count; p++) {
        sweep_pair *pair = &s->pairs[p];
        if (pair->first != side && pair->second != side) continue;
        if (lost->missing)
            pair->done = true;
        else
            end_below(s, pair, x);
    }
    if (lost->missing)
        sweep_note(s, "%s dropped out at %s %.0f: %s; what was measured before is kept", lost->name,
                   s->range.axis->noun, x, lost->reason);
    else
        sweep_note(s, "%s has no room for %s %.0f, so its range ends below: %s", lost->name,
                   s->range.axis->noun, x, lost->reason);
}

static void look_for_lost(sweep *s, const json_t *record, double x, const int *sides, int count)
{
    for (int i = 0; i < count; i++) {
        size_t c;
        json_t *contender;
        if (sweep_best(s, record, sides[i])) {
            s->sides[sides[i]].failures = 0;
            continue;
        }
        json_array_foreach(json_object_get(record, "contenders"), c, contender)
        {
            if (strcmp(report_string(contender, "side"), s->sides[sides[i]].name) != 0) continue;
            lose_side(s, sides[i], x, contender);
            break;
        }
    }
}

/* ---------------------------------------------------------------- one point */

static void set_rule(sweep *s, int lanes)
{
    double lane_s = s->limit_s / EXPECTED_RUNS / lanes - LANE_OVERHEAD_S;
    lane_s = fmin(fmax(lane_s, 0.2), 1.0); /* ten blocks, as an interval needs */
    s->m.conducting.block_s = 0.02;
    s->m.conducting.warm_up_s = 0.03;
    s->m.conducting.stop = (stop_rule){.min_samples = 8,
                                       .max_samples = 60,
                                       .min_time_s = fmin(0.15, lane_s),
                                       .max_time_s = lane_s,
                                       .target_relative = 0.05, /* the ratio decides */
                                       .target_ratio = 0.015,
                                       .clear_ratio = 0.1};
}

/* Who takes part, and which side each belongs to. */
static int gather(const sweep *s, double x, const int *sides, int count,
                  int contenders[BENCH_CONTENDERS_MAX], int owners[BENCH_CONTENDERS_MAX])
{
    int lanes = 0;
    for (int i = 0; i < count; i++) {
        int added = sweep_candidates(s, &s->sides[sides[i]], x, contenders + lanes);
        for (int a = 0; a < added; a++) owners[lanes++] = sides[i];
    }
    return lanes;
}

static const char *setting_name(const sweep_side *side, int contender)
{
    for (int i = 0; i < side->setting_count; i++)
        if (side->settings[i].contender == contender) return side->settings[i].name;
    return "";
}

/* The environment is in the file's header, the comparisons are made anew. */
static json_t *point_record(const sweep *s, double x, json_t *records, const int *contenders,
                            const int *owners)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const sweep_side *side = &s->sides[owners[i]];
        json_object_del(record, "environment");
        json_object_del(record, "versus");
        json_object_set_new(record, "side", json_string(side->name));
        json_object_set_new(record, "setting", json_string(setting_name(side, contenders[i])));
    }
    return json_pack("{s:s, s:f, s:O}", "kind", "point", "x", x, "contenders", records);
}

be_status sweep_go_to(sweep *s, double x, measurement_point *point, be_error *err)
{
    const axis *axis = s->range.axis;
    workload_variant wanted = s->m.variant;
    if (axis->set) axis->set(point, (int64_t)x);
    if (axis_varies(axis)) *workload_variant_at(&wanted, axis->dimension) = (int)x;
    if (memcmp(&wanted, &s->m.variant, sizeof wanted) == 0) return BE_OK;
    s->m.variant = wanted;
    return measurement_begin(&s->m, s->workload, err);
}

be_status sweep_measure(sweep *s, double x, const int *sides, int count, be_error *err)
{
    int contenders[BENCH_CONTENDERS_MAX], owners[BENCH_CONTENDERS_MAX];
    measurement_point point = {.batch = s->batch, .contenders = contenders};
    TRY(sweep_go_to(s, x, &point, err));
    point.count = gather(s, x, sides, count, contenders, owners);
    set_rule(s, point.count);
    json_t *records = json_array();
    be_status status = measurement_run(&s->m, &point, records, err);
    json_t *record = point_record(s, x, records, contenders, owners);
    if (status == BE_OK) status = sweep_log_append(&s->log, record, err);
    if (status == BE_OK) {
        sweep_take(s, record);
        look_for_lost(s, record, x, sides, count);
    }
    json_decref(record);
    json_decref(records);
    return status;
}

/* ---------------------------------------------------------------- the rounds */

/* What measuring sides at x will take, by the nearest point below it: a step takes at most as many
 * times longer as x is larger. */
static double expected_s(const sweep *s, double x, const int *sides, int count)
{
    double sum_s = 0;
    for (int k = 0; k < count; k++) {
        double nearest = 0, step_s = 0;
        size_t i;
        json_t *record;
        json_array_foreach(s->records, i, record)
        {
            const json_t *best = sweep_best(s, record, sides[k]);
            double at = report_real(record, "x");
            if (!best || at > x || at < nearest) continue;
            nearest = at;
            step_s = report_real(best, "step_s.median");
        }
        sum_s += LANE_OVERHEAD_S + (nearest > 0 ? LANE_STEPS * step_s * x / nearest : 0);
    }
    return sum_s;
}

static int round_sides(const sweep *s, const sweep_pair *pair, double x, bool all,
                       int sides[SWEEP_SIDES_MAX])
{
    int count = 0;
    for (int i = 0; i < s->side_count; i++) {
        bool wanted = all || i == pair->first || i == pair->second;
        if (wanted && !s->sides[i].missing && x <= s->sides[i].most) sides[count++] = i;
    }
    return count;
}

/* An end that takes too long is moved; anything else is left undone. */
static void give_up(sweep *s, sweep_pair *pair, double x, double needed_s, double left_s)
{
    if (x < pair->to || left_s <= 0) {
        s->out_of_time = true;
        pair->done = true;
        return;
    }
    end_below(s, pair, x);
    sweep_note(s,
               "%s %.0f would take about %.0f s of the %.0f s that are left: the range ends at "
               "%.0f; a longer --max-time goes on",
               s->range.axis->noun, x, needed_s, left_s, pair->to);
}

/* Settings are tried at the ends and in the middle: the first places that the search asks for. */
static be_status measure_next(sweep *s, sweep_pair *pair, double x, be_error *err)
{
    crossing_options options = sweep_options(s, pair);
    int sides[SWEEP_SIDES_MAX], before = pair->count;
    double to = pair->to;
    bool coarse = is_in_grid(&options, x) && !sweep_runs_at(pair, x);
    int count = round_sides(s, pair, x, coarse, sides);
    double needed_s = expected_s(s, x, sides, count), left_s = s->limit_s - sweep_elapsed_s(s);
    if (needed_s > left_s && pair->count > 1) {
        give_up(s, pair, x, needed_s, left_s);
        return BE_OK;
    }
    if (pair->count < 3) TRY(sweep_screen(s, x, err));
    study_progress(s->m.watch, "%s %.0f: measuring %d of them side by side ...",
                   s->range.axis->noun, x, count);
    TRY(sweep_measure(s, x, sides, count, err));
    bool again = s->sides[pair->first].failures == 1 || s->sides[pair->second].failures == 1;
    pair->done |= pair->count == before && pair->to == to && !again;
    return BE_OK;
}

/* Runs for which the time is enough, by those so far, for each of the pairs that go on. */
static int runs_left(const sweep *s)
{
    int measured = (int)json_array_size(s->records) - s->loaded, pairs = 0;
    double left_s = s->limit_s - sweep_elapsed_s(s);
    for (int p = 0; p < s->pair_count; p++) pairs += !s->pairs[p].done && !s->pairs[p].beside;
    if (measured == 0) return RUNS_MOST;
    return (int)fmin(fmax(left_s / sweep_elapsed_s(s) * measured / pairs, 1), RUNS_MOST);
}

/* The last runs are kept for points that decide (measure/crossing.h), so it ends somewhat before
 * the time does: then more of it would have found something to do. */
static bool search_next(sweep *s, const sweep_pair *pair, double *x)
{
    crossing_options options = sweep_options(s, pair);
    int most = pair->count + runs_left(s);
    if (most < options.most) options.most = most;
    if (crossing_next(pair->points, pair->count, &options, x)) return true;
    options.most = RUNS_MOST;
    s->out_of_time |= crossing_next(pair->points, pair->count, &options, x);
    return false;
}

be_status sweep_search(sweep *s, be_error *err)
{
    for (bool any = true; any;) {
        any = false;
        for (int p = 0; p < s->pair_count; p++) {
            sweep_pair *pair = &s->pairs[p];
            double x = 0;
            if (pair->done || pair->beside) continue;
            if (!search_next(s, pair, &x)) {
                pair->done = true;
                continue;
            }
            if (sweep_time_is_up(s)) {
                s->out_of_time = true;
                return BE_OK;
            }
            any = true;
            TRY(measure_next(s, pair, x, err));
        }
    }
    return BE_OK;
}
