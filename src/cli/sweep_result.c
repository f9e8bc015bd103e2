/* What a sweep shows, made from its records. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/sweep.h"
#include "measure/crossing_points.h"
#include "report/sheet.h"

#define EVEN 1.03 /* settings that differ less take turns in being the fastest */

/* Time of one sample; of a record's contender. */
static double sample_s(const json_t *contender)
{
    return report_real(contender, "step_s.median") / report_real(contender, "batch");
}

/* The median time of a sample over the side's runs at x, NAN if there is none; *typical is the run
 * nearest to it. */
static double side_at(const sweep *s, int side, double x, const json_t **typical)
{
    const json_t *best[CROSSING_RUNS_MAX];
    double times[CROSSING_RUNS_MAX], median = NAN;
    int count = 0;
    size_t i;
    json_t *record;
    *typical = NULL;
    json_array_foreach(s->records, i, record)
    {
        if (report_real(record, "x") != x || count == CROSSING_RUNS_MAX) continue;
        best[count] = sweep_best(s, record, side);
        if (best[count]) times[count] = sample_s(best[count]);
        count += best[count] != NULL;
    }
    if (stats_median(times, count, &median, NULL) != BE_OK) return NAN;
    for (int k = 0; k < count; k++)
        if (!*typical || fabs(times[k] - median) < fabs(sample_s(*typical) - median))
            *typical = best[k];
    return median;
}

static json_t *interval_json(double y, double error)
{
    stats_interval ratio = {exp(y), exp(y - CROSSING_LIKELY * error),
                            exp(y + CROSSING_LIKELY * error)};
    return json_pack("{s:o, s:o, s:o, s:s}", "ratio", report_json_real(ratio.point), "low",
                     report_json_real(ratio.low), "high", report_json_real(ratio.high), "verdict",
                     stats_verdict_name(stats_judge(&ratio)));
}

/* One side at a point: its time a sample with the interval of its typical run, and its setting. */
static void add_side(const sweep *s, int side, double x, const char *name, json_t *point)
{
    static const char *const bounds[] = {"low", "high"};
    const json_t *typical;
    char key[32], path[32];
    snprintf(key, sizeof key, "%s_s", name);
    json_object_set_new(point, key, report_json_real(side_at(s, side, x, &typical)));
    for (int b = 0; b < 2; b++) {
        snprintf(key, sizeof key, "%s_%s_s", name, bounds[b]);
        snprintf(path, sizeof path, "step_s.%s", bounds[b]);
        double bound = report_real(typical, path) / report_real(typical, "batch");
        json_object_set_new(point, key, report_json_real(bound));
    }
    snprintf(key, sizeof key, "%s_setting", name);
    json_object_set_new(point, key, json_string(report_string(typical, "setting")));
}

static const char *name_of(const sweep *s, int side)
{
    return s->sides[side].name;
}

/* What became of runs that do not agree. */
static void note_apart(const sweep *s, const sweep_pair *pair, const crossing_merged *m, int i)
{
    char text[400];
    int used = snprintf(text, sizeof text, "%s / %s at %s %.0f: ", name_of(s, pair->first),
                        name_of(s, pair->second), s->range.axis->noun, m->points[i].x);
    if (crossing_is_settled(m, i))
        snprintf(text + used, sizeof text - (size_t)used,
                 "%d of %d runs agree; what else was measured there was disturbed, and is left out",
                 m->agreeing[i], m->runs[i]);
    else
        snprintf(text + used, sizeof text - (size_t)used,
                 "%d runs do not agree, and the interval covers them all", m->runs[i]);
    json_array_append_new(s->notes, json_string(text));
}

/* The points of a pair in ascending order. */
static json_t *points_json(const sweep *s, const sweep_pair *pair)
{
    json_t *list = json_array();
    crossing_merged m;
    crossing_options options = sweep_options(s, pair);
    crossing_merge(pair->points, pair->count, &options, &m);
    for (int i = 0; i < m.count; i++) {
        double x = m.points[i].x;
        json_t *point = interval_json(m.points[i].y, m.points[i].error);
        json_object_set_new(point, "x", json_real(x));
        add_side(s, pair->first, x, "first", point);
        add_side(s, pair->second, x, "second", point);
        json_object_set_new(point, "runs", json_integer(m.runs[i]));
        json_object_set_new(point, "runs_agreeing", json_integer(m.agreeing[i]));
        if (m.agreeing[i] < m.runs[i] && !pair->beside) note_apart(s, pair, &m, i);
        json_array_append_new(list, point);
    }
    return list;
}

/* Totals along the grid: computed, not measured. */
static json_t *totals_json(const sweep *s, const sweep_pair *pair, const crossing_line lines[2])
{
    json_t *list = json_array();
    crossing_options options = sweep_options(s, pair);
    double grid[CROSSING_POINTS_MAX];
    int count = crossing_grid(&options, grid);
    for (int g = 0; g < count && isfinite(lines[0].start) && isfinite(lines[1].start); g++) {
        double total[2], error = 0;
        for (int k = 0; k < 2; k++) {
            total[k] = lines[k].start + grid[g] * lines[k].step;
            error += pow(lines[k].start_error / total[k], 2) +
                     pow(grid[g] * lines[k].step_error / total[k], 2);
        }
        json_t *point = interval_json(log(total[0] / total[1]), sqrt(error));
        json_object_set_new(point, "x", json_real(grid[g]));
        json_object_set_new(point, "first_s", report_json_real(total[0]));
        json_object_set_new(point, "second_s", report_json_real(total[1]));
        json_object_set_new(point, "computed", json_true());
        json_array_append_new(list, point);
    }
    return list;
}

static json_t *found_json(const sweep *s, const sweep_pair *pair, const crossing_result *found)
{
    json_t *crossings = json_array(), *undecided = json_array();
    for (int c = 0; c < found->count; c++) {
        const crossing *at = &found->crossings[c];
        int below = at->below < 0 ? pair->first : pair->second;
        int above = at->below < 0 ? pair->second : pair->first;
        json_array_append_new(crossings,
                              json_pack("{s:f, s:f, s:f, s:s, s:s}", "x", at->x, "low", at->low,
                                        "high", at->high, "faster_below", name_of(s, below),
                                        "faster_above", name_of(s, above)));
    }
    for (int u = 0; u < found->undecided_count; u++) {
        const crossing_stretch *at = &found->undecided[u];
        json_array_append_new(undecided,
                              json_pack("{s:f, s:f, s:f, s:f}", "from", at->from, "to", at->to,
                                        "ratio_low", exp(at->low), "ratio_high", exp(at->high)));
    }
    json_t *winner = json_null();
    if (!found->count && found->sign)
        winner = json_string(name_of(s, found->sign < 0 ? pair->first : pair->second));
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o}", "crossings", crossings, "undecided", undecided, "winner",
        winner, "least_ratio",
        report_json_real(!found->count && found->sign ? exp(found->least) : (double)NAN),
        "least_at", report_json_real(!found->count && found->sign ? found->at : (double)NAN));
}

/* The whole trainings that were run for a pair. */
static json_t *whole_json(const sweep *s, const sweep_pair *pair)
{
    json_t *list = json_array();
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        const char *side = report_string(record, "side");
        bool ours = strcmp(side, name_of(s, pair->first)) == 0 ||
                    strcmp(side, name_of(s, pair->second)) == 0;
        if (ours && strcmp(report_string(record, "kind"), "whole") == 0)
            json_array_append(list, record);
    }
    return list;
}

static json_t *line_json(const crossing_line *line)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "start_s", report_json_real(line->start),
                     "start_error_s", report_json_real(line->start_error), "step_s",
                     report_json_real(line->step), "step_error_s",
                     report_json_real(line->step_error));
}

static be_status pair_json(const sweep *s, const sweep_pair *pair, json_t *pairs, be_error *err)
{
    crossing_result found;
    crossing_line lines[2];
    json_t *object = json_pack("{s:s, s:s, s:b, s:I, s:f}", "first", name_of(s, pair->first),
                               "second", name_of(s, pair->second), "beside", pair->beside, "from",
                               (json_int_t)s->range.from, "to", pair->to);
    json_array_append_new(pairs, object);
    if (axis_is_measured(s->range.axis)) {
        crossing_options options = sweep_options(s, pair);
        crossing_analyze(pair->points, pair->count, &options, &found);
        json_object_set_new(object, "points", points_json(s, pair));
    } else {
        TRY(sweep_steps_pair(s, pair, lines, &found, err));
        json_object_set_new(object, "points", totals_json(s, pair, lines));
        json_object_set_new(object, "lines",
                            json_pack("[o, o]", line_json(&lines[0]), line_json(&lines[1])));
        json_object_set_new(object, "whole", whole_json(s, pair));
    }
    json_t *results = found_json(s, pair, &found);
    json_object_update(object, results);
    json_decref(results);
    return BE_OK;
}

/* Whether a setting was no slower at x than the side's fastest there, but for noise. */
static bool is_as_fast(const sweep *s, int side, double x, const char *setting, const json_t *best)
{
    size_t i, c;
    json_t *record, *contender;
    double most_s = EVEN * report_real(best, "step_s.median");
    json_array_foreach(s->records, i, record)
    {
        if (report_real(record, "x") != x) continue;
        json_array_foreach(json_object_get(record, "contenders"), c, contender)
        {
            if (strcmp(report_string(contender, "side"), s->sides[side].name) == 0 &&
                strcmp(report_string(contender, "setting"), setting) == 0 &&
                report_real(contender, "step_s.median") <= most_s)
                return true;
        }
    }
    return false;
}

/* What ran where: stretches of the axis with one setting and one implementation. */
static json_t *settings_json(const sweep *s, int side)
{
    json_t *list = json_array();
    double last = -INFINITY;
    for (;;) {
        double next = INFINITY;
        const json_t *best;
        size_t i;
        json_t *record;
        json_array_foreach(s->records, i, record)
        {
            double x = report_real(record, "x");
            if (x > last && x < next && sweep_best(s, record, side)) next = x;
        }
        if (isinf(next)) return list;
        side_at(s, side, next, &best);
        last = next;
        json_t *open = json_array_get(list, json_array_size(list) ? json_array_size(list) - 1 : 0);
        if (open && is_as_fast(s, side, next, report_string(open, "setting"), best)) {
            json_object_set_new(open, "to", json_real(next));
            continue;
        }
        json_array_append_new(list,
                              json_pack("{s:f, s:f, s:s, s:s, s:s}", "from", next, "to", next,
                                        "setting", report_string(best, "setting"), "implementation",
                                        report_string(best, "implementation"), "device_name",
                                        report_string(best, "device_name")));
    }
}

static json_t *sides_json(const sweep *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->side_count; i++) {
        const sweep_side *side = &s->sides[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:b, s:o, s:o}", "name", side->name, "device",
                            side->device, "is_cpu", side->is_cpu, "missing", side->missing,
                            "reason", side->reason[0] ? json_string(side->reason) : json_null(),
                            "settings", settings_json(s, i)));
    }
    return list;
}

static int count_points(const sweep *s)
{
    int count = 0;
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record) count +=
        strcmp(report_string(record, "kind"), "point") == 0;
    return count;
}

be_status sweep_result(const sweep *s, be_status ended, json_t **out, be_error *err)
{
    json_t *pairs = json_array();
    be_status status = BE_OK;
    for (int p = 0; status == BE_OK && p < s->pair_count; p++)
        status = pair_json(s, &s->pairs[p], pairs, err);
    const char *end = ended == BE_INTERRUPTED ? "interrupted"
                      : ended != BE_OK        ? "failed"
                      : s->out_of_time        ? "time limit"
                                              : "complete";
    *out = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:s, s:s}", "schema", 1,
                     "kind", "sweep", "workload", s->workload->name, "axis", s->range.axis->name,
                     "noun", s->range.axis->noun, "from", (json_int_t)s->range.from, "to",
                     (json_int_t)s->range.to, "mode", s->m.plan.infer ? "infer" : "train",
                     "precision", s->m.plan.precision, "seed", (json_int_t)cli_seed(s->cli), "data",
                     s->m.set->source, "ended", end);
    json_t *more = json_pack("{s:o, s:o, s:i, s:i, s:f, s:s, s:O, s:o, s:o, s:O}", "batch",
                             s->range.axis->set ? json_null() : json_integer(s->batch), "total",
                             json_boolean(!axis_is_measured(s->range.axis)), "measured",
                             count_points(s), "loaded", s->loaded, "elapsed_s", sweep_elapsed_s(s),
                             "file", s->log.path, "notes", s->notes, "sides", sides_json(s),
                             "pairs", pairs, "environment", s->m.environment);
    json_object_update(*out, more);
    json_decref(more);
    return status;
}
