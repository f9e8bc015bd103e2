/* The rounds of a sweep: which place next, and how long it may take. */
#include <math.h>
#include <string.h>

#include "report/sheet.h"
#include "study/sweep.h"

#define LANE_STEPS 10 /* that a contender does at least */

static bool is_in_grid(const crossing_options *options, double x)
{
    double grid[CROSSING_POINTS_MAX];
    int count = crossing_grid(options, grid);
    for (int g = 0; g < count; g++)
        if (grid[g] == x) return true;
    return false;
}

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
            double at = report_real(record, line, x);
            if (!best || at > x || at < nearest) continue;
            nearest = at;
            step_s = report_real(best, bench, step_s.median);
        }
        sum_s += SWEEP_LANE_OVERHEAD_S + (nearest > 0 ? LANE_STEPS * step_s * x / nearest : 0);
    }
    return sum_s;
}

static int round_sides(const sweep *s, const sweep_pair *pair, double x, bool all,
                       int sides[SWEEP_SIDES_MAX])
{
    int count = 0;
    for (int i = 0; i < s->side_count; i++) {
        bool is_due = all || i == pair->first || i == pair->second;
        if (is_due && !s->sides[i].missing && x <= s->sides[i].limit) sides[count++] = i;
    }
    return count;
}

/* An end that takes too long is moved; anything else is left undone. */
static void give_up(sweep *s, sweep_pair *pair, double x, double needed_s, double left_s)
{
    if (x < pair->to || left_s <= 0) {
        s->out_of_time = true;
        pair->is_done = true;
        return;
    }
    sweep_end_below(s, pair, x);
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
    pair->is_done |= pair->count == before && pair->to == to && !again;
    return BE_OK;
}

/* Runs for which the time is enough, by those so far, for each of the pairs that go on. */
static int runs_left(const sweep *s)
{
    int runs = (int)json_array_size(s->records) - s->loaded, pairs = 0;
    double left_s = s->limit_s - sweep_elapsed_s(s);
    for (int p = 0; p < s->pair_count; p++)
        pairs += !s->pairs[p].is_done && !s->pairs[p].is_yardstick;
    if (runs == 0) return SWEEP_RUNS_MOST;
    return (int)fmin(fmax(left_s / sweep_elapsed_s(s) * runs / pairs, 1), SWEEP_RUNS_MOST);
}

/* The last runs are kept for points that decide (measure/crossing.h), so it ends somewhat before
 * the time does: then more of it would have found something to do. */
static bool search_next(sweep *s, const sweep_pair *pair, double *x)
{
    crossing_options options = sweep_options(s, pair);
    int limit = pair->count + runs_left(s);
    if (limit < options.limit) options.limit = limit;
    if (crossing_next(pair->points, pair->count, &options, x)) return true;
    options.limit = SWEEP_RUNS_MOST;
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
            if (pair->is_done || pair->is_yardstick) continue;
            if (!search_next(s, pair, &x)) {
                pair->is_done = true;
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
