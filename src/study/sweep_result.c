/* What a sweep shows, made from its records. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "report/sweep_pair.h"
#include "study/sweep.h"

#define APART_NAMED 5 /* places of a note */
#define EVEN 1.03     /* settings that differ less take turns in being the fastest */

/* Time of one sample; of a record's contender. */
static double sample_s(const json_t *contender)
{
    return report_real(contender, bench, step_s.median) / report_real(contender, bench, batch);
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
        if (report_real(record, line, x) != x || count == CROSSING_RUNS_MAX) continue;
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

/* A run of both sides of a pair: the fastest setting of each. */
typedef struct pair_run {
    const json_t *sides[2];
} pair_run;

/* How badly a run stands for the place: by its ratio, and not at all by times that say another
 * winner than the place has. */
static double unlike(const sweep *s, const pair_run *run, const crossing_place *place)
{
    crossing_point point = {0};
    double times = log(sample_s(run->sides[0]) / sample_s(run->sides[1]));
    if (sweep_compare(run->sides[0], run->sides[1], s->m.request->seed, &point, NULL) != BE_OK)
        return INFINITY;
    bool contrary = (place->verdict == STATS_FASTER && times >= 0) ||
                    (place->verdict == STATS_SLOWER && times <= 0);
    return fabs(point.y - log(place->ratio.point)) + (contrary ? 1e3 : 0);
}

/* The run at a place that its judgement is most like. */
static pair_run typical_run(const sweep *s, const sweep_pair *pair, const crossing_place *place)
{
    pair_run best = {{NULL, NULL}};
    double least = INFINITY;
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        pair_run run = {{sweep_best(s, record, pair->first), sweep_best(s, record, pair->second)}};
        if (report_real(record, line, x) != place->x || !run.sides[0] || !run.sides[1]) continue;
        double distance = unlike(s, &run, place);
        if (best.sides[0] && distance >= least) continue;
        least = distance;
        best = run;
    }
    return best;
}

/* One side at a point: its time per sample with its interval, and its setting. */
static void add_side(const json_t *contender, const char *name, json_t *point)
{
    static const char *const bounds[] = {"low", "high"};
    char key[32], path[32];
    snprintf(key, sizeof key, "%s_s", name);
    json_object_set_new(point, key, json_of_real(sample_s(contender)));
    for (int b = 0; b < 2; b++) {
        snprintf(key, sizeof key, "%s_%s_s", name, bounds[b]);
        snprintf(path, sizeof path, "step_s.%s", bounds[b]);
        double bound = json_real_at(contender, path) / report_real(contender, bench, batch);
        json_object_set_new(point, key, json_of_real(bound));
    }
    snprintf(key, sizeof key, "%s_setting", name);
    json_object_set_new(point, key, json_string(report_string(contender, bench, setting)));
}

static const char *name_of(const sweep *s, int side)
{
    return s->sides[side].name;
}

/* Places whose runs do not agree, in one note for a pair: "batch 16, 32 and 4 more". */
static void note_apart(const sweep *s, const sweep_pair *pair, const crossing_result *crossing)
{
    char places[200];
    text_buffer b = TEXT_BUFFER(places);
    int count = 0;
    for (int i = 0; i < crossing->place_count; i++) {
        const crossing_place *place = &crossing->places[i];
        if (place->agreeing == place->runs) continue;
        if (count++ < APART_NAMED) text_add(&b, "%s%.0f", count > 1 ? ", " : "", place->x);
    }
    if (!count) return;
    if (count > APART_NAMED) text_add(&b, " and %d more", count - APART_NAMED);
    json_array_append_new(
        s->notes, json_sprintf("%s / %s, %s %s: runs do not agree; where most of them do, the "
                               "others are left out, else the interval covers all",
                               name_of(s, pair->first), name_of(s, pair->second),
                               s->range.axis->noun, places));
}

/* The points of a pair in ascending order. */
static json_t *points_json(const sweep *s, const sweep_pair *pair, const crossing_result *crossing)
{
    json_t *list = json_array();
    for (int i = 0; i < crossing->place_count; i++) {
        const crossing_place *place = &crossing->places[i];
        json_t *point = sweep_place_json(place);
        pair_run run = typical_run(s, pair, place);
        add_side(run.sides[0], "first", point);
        add_side(run.sides[1], "second", point);
        json_array_append_new(list, point);
    }
    return list;
}

/* Totals along the grid: computed, not measured. */
static json_t *totals_json(const crossing_line lines[2], const crossing_result *crossing)
{
    static const char *const names[] = {"first_s", "second_s"};
    json_t *list = json_array();
    for (int i = 0; i < crossing->place_count; i++) {
        double x = crossing->places[i].x;
        json_t *point = sweep_place_json(&crossing->places[i]);
        for (int k = 0; k < 2; k++)
            json_object_set_new(point, names[k], json_of_real(lines[k].start + x * lines[k].step));
        json_object_set_new(point, "computed", json_true());
        json_array_append_new(list, point);
    }
    return list;
}

/* The whole trainings that were run for a pair. */
static json_t *whole_json(const sweep *s, const sweep_pair *pair)
{
    json_t *list = json_array();
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        const char *side = report_string(record, line, side);
        bool ours = strcmp(side, name_of(s, pair->first)) == 0 ||
                    strcmp(side, name_of(s, pair->second)) == 0;
        if (ours && strcmp(report_string(record, line, kind), "whole") == 0)
            json_array_append(list, record);
    }
    return list;
}

static json_t *line_json(const crossing_line *line)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "start_s", json_of_real(line->start), "start_error_s",
                     json_of_real(line->start_error), "step_s", json_of_real(line->step),
                     "step_error_s", json_of_real(line->step_error));
}

static be_status pair_json(const sweep *s, const sweep_pair *pair, json_t *pairs, be_error *err)
{
    crossing_result crossing;
    crossing_line lines[2];
    json_t *object = json_pack("{s:s, s:s, s:b, s:I, s:f}", "first", name_of(s, pair->first),
                               "second", name_of(s, pair->second), "beside", pair->is_yardstick,
                               "from", (json_int_t)s->range.from, "to", pair->to);
    json_array_append_new(pairs, object);
    if (axis_is_measured(s->range.axis)) {
        crossing_options options = sweep_options(s, pair);
        crossing_analyze(pair->points, pair->count, &options, &crossing);
        json_object_set_new(object, "points", points_json(s, pair, &crossing));
        if (!pair->is_yardstick) note_apart(s, pair, &crossing);
    } else {
        TRY(sweep_lines(s, pair, lines, &crossing, err));
        json_object_set_new(object, "points", totals_json(lines, &crossing));
        json_object_set_new(object, "lines",
                            json_pack("[o, o]", line_json(&lines[0]), line_json(&lines[1])));
        json_object_set_new(object, "whole", whole_json(s, pair));
    }
    sweep_add_findings(object, &crossing);
    return BE_OK;
}

/* Whether a setting was no slower at x than the side's fastest there, but for noise. */
static bool is_as_fast(const sweep *s, int side, double x, const char *setting, const json_t *best)
{
    size_t i, c;
    json_t *record, *contender;
    double most_s = EVEN * report_real(best, bench, step_s.median);
    json_array_foreach(s->records, i, record)
    {
        if (report_real(record, line, x) != x) continue;
        json_array_foreach(report_member(record, line, contenders), c, contender)
        {
            if (strcmp(report_string(contender, bench, side), s->sides[side].name) == 0 &&
                strcmp(report_string(contender, bench, setting), setting) == 0 &&
                report_real(contender, bench, step_s.median) <= most_s)
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
            double x = report_real(record, line, x);
            if (x > last && x < next && sweep_best(s, record, side)) next = x;
        }
        if (isinf(next)) return list;
        side_at(s, side, next, &best);
        last = next;
        json_t *open = json_array_get(list, json_array_size(list) ? json_array_size(list) - 1 : 0);
        if (open && is_as_fast(s, side, next, report_string(open, stretch, setting), best)) {
            json_object_set_new(open, "to", json_real(next));
            continue;
        }
        json_array_append_new(
            list, json_pack("{s:f, s:f, s:s, s:s, s:s}", "from", next, "to", next, "setting",
                            report_string(best, bench, setting), "implementation",
                            report_string(best, bench, implementation), "device_name",
                            report_string(best, bench, device_name)));
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
                            "reason", side->reason[0] ? json_of_text(side->reason) : json_null(),
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
        strcmp(report_string(record, line, kind), "point") == 0;
    return count;
}

be_status sweep_result(const sweep *s, be_status reason, json_t **out, be_error *err)
{
    json_t *pairs = json_array();
    be_status status = BE_OK;
    for (int p = 0; status == BE_OK && p < s->pair_count; p++)
        status = pair_json(s, &s->pairs[p], pairs, err);
    const char *end = reason == BE_INTERRUPTED ? "interrupted"
                      : reason != BE_OK        ? "failed"
                      : s->out_of_time         ? "time limit"
                                               : "complete";
    *out = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:o, s:s}", "schema", 1,
                     "kind", "sweep", "workload", s->workload->name, "axis", s->range.axis->name,
                     "noun", s->range.axis->noun, "from", (json_int_t)s->range.from, "to",
                     (json_int_t)s->range.to, "mode", s->m.plan.infer ? "infer" : "train",
                     "precision", s->m.plan.precision, "seed", (json_int_t)s->m.request->seed,
                     "data", json_of_text(s->m.set->source), "ended", end);
    json_t *more =
        json_pack("{s:o, s:o, s:i, s:i, s:f, s:o, s:O, s:o, s:o, s:O}", "batch",
                  s->range.axis->set ? json_null() : json_integer(s->batch), "total",
                  json_boolean(!axis_is_measured(s->range.axis)), "measured", count_points(s),
                  "loaded", s->loaded, "elapsed_s", sweep_elapsed_s(s), "file",
                  *s->log.path ? json_of_text(s->log.path) : json_null(), "notes", s->notes,
                  "sides", sides_json(s), "pairs", pairs, "environment", s->m.environment);
    json_object_update(*out, more);
    json_decref(more);
    return status;
}
