/* The sweep over the number of steps: start-up and step of every side are timed several times, the
 * totals start-up + n × step cross where they cross, and short trainings on both sides of that
 * place are run as a whole. */
#include <math.h>
#include <string.h>

#include "report/sheet.h"
#include "run/whole.h"
#include "study/sweep.h"

#define WHOLE_MOST_S 5.0 /* for one training */
#define WHOLE_LIMIT_S 60.0
#define BESIDE 1.1 /* beyond the ends of the crossing's interval */

static int runs_so_far(const sweep *s)
{
    int runs = 0;
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record) runs +=
        strcmp(report_string(record, line, kind), "point") == 0;
    return runs;
}

static be_status time_starts(sweep *s, be_error *err)
{
    while (runs_so_far(s) < SWEEP_STEPS_RUNS) {
        int sides[SWEEP_SIDES_MAX], count = 0;
        for (int i = 0; i < s->side_count; i++)
            if (!s->sides[i].missing) sides[count++] = i;
        if (sweep_time_is_up(s) && runs_so_far(s) > 0) {
            s->out_of_time = true;
            return BE_OK;
        }
        if (!count) return BE_OK;
        study_progress(s->m.watch, "start-up and step, run %d of %d ...", runs_so_far(s) + 1,
                       SWEEP_STEPS_RUNS);
        TRY(sweep_measure(s, (double)s->batch, sides, count, err));
    }
    return BE_OK;
}

/* The contender of the side's latest record that was its fastest. */
static int fastest_setting(const sweep *s, int side)
{
    for (size_t i = json_array_size(s->records); i-- > 0;) {
        const json_t *best = sweep_best(s, json_array_get(s->records, i), side);
        for (int k = 0; best && k < s->sides[side].setting_count; k++)
            if (strcmp(s->sides[side].settings[k].name, report_string(best, bench, setting)) == 0)
                return s->sides[side].settings[k].contender;
    }
    return s->sides[side].settings[0].contender;
}

static bool was_run(const sweep *s, double steps, const char *side)
{
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        if (strcmp(report_string(record, line, kind), "whole") == 0 &&
            report_real(record, line, x) == steps &&
            strcmp(report_string(record, line, side), side) == 0)
            return true;
    }
    return false;
}

be_status sweep_whole(measurement *m, const measurement_point *point, int64_t steps,
                      double *seconds, be_error *err)
{
    conductor_contender contender;
    measurement_contenders(m, point, &contender);
    return whole_run(&contender, steps, WHOLE_LIMIT_S, m->watch->stop, seconds, err);
}

static be_status run_whole(sweep *s, int side, const crossing_line *line, double steps,
                           be_error *err)
{
    int index = fastest_setting(s, side);
    measurement_point point = {.batch = s->batch, .contenders = &index, .count = 1};
    double seconds = 0, expected_s = line->start + steps * line->step;
    if (expected_s > WHOLE_MOST_S || was_run(s, steps, s->sides[side].name)) return BE_OK;
    study_progress(s->m.watch, "%s: a whole training of %.0f steps ...", s->sides[side].name,
                   steps);
    TRY(s->whole(&s->m, &point, (int64_t)steps, &seconds, err));
    json_t *record = json_pack("{s:s, s:f, s:s, s:f, s:f}", "kind", "whole", "x", steps, "side",
                               s->sides[side].name, "seconds", seconds, "expected_s", expected_s);
    be_status status = sweep_log_append(&s->log, record, err);
    if (status == BE_OK) sweep_take(s, record);
    json_decref(record);
    return status;
}

/* On both sides of the crossing, where that is short enough. */
static be_status confirm(sweep *s, const sweep_pair *pair, be_error *err)
{
    crossing_line lines[2];
    crossing_result result;
    TRY(sweep_lines(s, pair, lines, &result, err));
    if (!result.count) return BE_OK;
    const crossing *c = &result.crossings[0];
    const double places[] = {floor(fmax(c->low / BESIDE, 1)), ceil(c->high * BESIDE)};
    for (int i = 0; i < 2; i++)
        for (int side = 0; side < 2 && !sweep_time_is_up(s); side++)
            TRY(run_whole(s, side ? pair->second : pair->first, &lines[side], places[i], err));
    return BE_OK;
}

be_status sweep_steps(sweep *s, be_error *err)
{
    TRY(sweep_screen(s, (double)s->batch, err));
    TRY(time_starts(s, err));
    for (int p = 0; p < s->pair_count; p++)
        if (!s->pairs[p].is_yardstick) TRY(confirm(s, &s->pairs[p], err));
    return BE_OK;
}
