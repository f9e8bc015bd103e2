/* What was measured in a sweep, as its search and its result see it: notes, records, the points of
 * the pairs; and the way to another place of the axis. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "report/sheet.h"
#include "study/sweep.h"

#define TARGET 0.07 /* half width of a crossing's interval */

void sweep_note(sweep *s, const char *format, ...)
{
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(s->notes, json_of_text(text));
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
                              .limit = SWEEP_RUNS_MOST,
                              .target = TARGET,
                              .floor = SWEEP_FLOOR};
}

/* ---------------------------------------------------------------- records to points */

const json_t *sweep_best(const sweep *s, const json_t *record, int side)
{
    const json_t *best = NULL;
    size_t i;
    json_t *contender;
    json_array_foreach(report_member(record, line, contenders), i, contender)
    {
        double step_s = report_real(contender, bench, step_s.median);
        if (strcmp(report_string(contender, bench, side), s->sides[side].name) != 0) continue;
        if (isnan(step_s) || (best && report_real(best, bench, step_s.median) <= step_s)) continue;
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
    const json_t *blocks = report_member(contender, bench, blocks);
    for (int i = 0; i < count; i++) out[i] = json_number_value(json_array_get(blocks, (size_t)i));
}

static double sample_s(const json_t *contender)
{
    return report_real(contender, bench, step_s.median) / report_real(contender, bench, batch);
}

be_status sweep_compare(const json_t *a, const json_t *b, uint64_t seed, crossing_point *out,
                        be_error *err)
{
    size_t first = json_array_size(report_member(a, bench, blocks));
    size_t second = json_array_size(report_member(b, bench, blocks));
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
    if (strcmp(report_string(record, line, kind), "point") != 0 || !axis_is_measured(s->range.axis))
        return;
    for (int p = 0; p < s->pair_count; p++) {
        sweep_pair *pair = &s->pairs[p];
        const json_t *a = sweep_best(s, record, pair->first);
        const json_t *b = sweep_best(s, record, pair->second);
        crossing_point point = {.x = report_real(record, line, x)};
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

/* ---------------------------------------------------------------- places */

/* The range of a pair ends below x: at the next place of its grid. */
void sweep_end_below(const sweep *s, sweep_pair *pair, double x)
{
    crossing_options options = sweep_options(s, pair);
    double grid[CROSSING_POINTS_MAX], end = options.from;
    int count = crossing_grid(&options, grid);
    if (x > pair->to) return;
    for (int g = 0; g < count; g++)
        if (grid[g] < x) end = grid[g];
    pair->to = end;
    pair->is_done |= end <= options.from;
}

be_status sweep_go_to(sweep *s, double x, measurement_point *point, be_error *err)
{
    const axis *axis = s->range.axis;
    workload_variant variant = s->m.variant;
    if (axis->set) axis->set(point, (int64_t)x);
    if (axis_varies(axis)) *workload_variant_at(&variant, axis->dimension) = (int)x;
    if (memcmp(&variant, &s->m.variant, sizeof variant) == 0) return BE_OK;
    s->m.variant = variant;
    return s->m.hands.begin(&s->m, s->workload, err);
}
