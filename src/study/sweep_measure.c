/* The measurement at a place of a sweep, and what becomes of those that fail. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/sheet.h"
#include "study/sweep.h"

#define EXPECTED_RUNS 24 /* among which the time is shared out */

/* ---------------------------------------------------------------- those that fail */

static void lose_side(sweep *s, int side, double x, const json_t *contender)
{
    sweep_side *loser = &s->sides[side];
    bool no_room = strcmp(report_string(contender, bench, status), "NO_MEMORY") == 0;
    if (!no_room && ++loser->failures < 2) return; /* a busy machine can make a check fail once */
    snprintf(loser->reason, sizeof loser->reason, "%s", report_string(contender, bench, error));
    loser->missing = !no_room || x <= (double)s->range.from;
    loser->limit = x - 1;
    for (int p = 0; p < s->pair_count; p++) {
        sweep_pair *pair = &s->pairs[p];
        if (pair->first != side && pair->second != side) continue;
        if (loser->missing)
            pair->is_done = true;
        else
            sweep_end_below(s, pair, x);
    }
    if (loser->missing)
        sweep_note(s, "%s dropped out at %s %.0f: %s; what was measured before is kept",
                   loser->name, s->range.axis->noun, x, loser->reason);
    else
        sweep_note(s, "%s has no room for %s %.0f, so its range ends below: %s", loser->name,
                   s->range.axis->noun, x, loser->reason);
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
        json_array_foreach(report_member(record, line, contenders), c, contender)
        {
            if (strcmp(report_string(contender, bench, side), s->sides[sides[i]].name) != 0)
                continue;
            lose_side(s, sides[i], x, contender);
            break;
        }
    }
}

/* ---------------------------------------------------------------- one point */

static void set_rule(sweep *s, int lanes)
{
    double lane_s = s->limit_s / EXPECTED_RUNS / lanes - SWEEP_LANE_OVERHEAD_S;
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
        int sides_added = sweep_candidates(s, &s->sides[sides[i]], x, contenders + lanes);
        for (int a = 0; a < sides_added; a++) owners[lanes++] = sides[i];
    }
    return lanes;
}

static const char *setting_name(const sweep_side *side, int contender)
{
    for (int i = 0; i < side->setting_count; i++)
        if (side->settings[i].contender == contender) return side->settings[i].name;
    return "";
}

/* The environment is in the file's header, the comparisons are made anew.  Of copies: the records
 * themselves are whole, and are kept so. */
static json_t *point_record(const sweep *s, double x, json_t *records, const int *contenders,
                            const int *owners)
{
    json_t *copies = json_array(), *record;
    size_t i;
    json_array_foreach(records, i, record)
    {
        const sweep_side *side = &s->sides[owners[i]];
        json_t *copy = json_copy(record);
        json_object_del(copy, "environment");
        json_object_del(copy, "versus");
        json_object_set_new(copy, "side", json_string(side->name));
        json_object_set_new(copy, "setting", json_string(setting_name(side, contenders[i])));
        json_array_append_new(copies, copy);
    }
    return json_pack("{s:s, s:f, s:o}", "kind", "point", "x", x, "contenders", copies);
}

static be_status tell_so_far(const sweep *s, be_error *err)
{
    json_t *result = NULL;
    if (!s->m.watch->so_far) return BE_OK;
    TRY(sweep_result(s, BE_OK, &result, err));
    s->m.watch->so_far(s->m.watch->context, result);
    json_decref(result);
    return BE_OK;
}

be_status sweep_measure(sweep *s, double x, const int *sides, int count, be_error *err)
{
    int contenders[BENCH_CONTENDERS_MAX], owners[BENCH_CONTENDERS_MAX];
    measurement_point point = {.batch = s->batch, .contenders = contenders};
    TRY(sweep_go_to(s, x, &point, err));
    point.count = gather(s, x, sides, count, contenders, owners);
    if (point.count == 0 && s->refusal.status != BE_OK) {
        *err = s->refusal;
        return err->status;
    }
    set_rule(s, point.count);
    json_t *records = json_array();
    be_status status = s->m.hands.run(&s->m, &point, records, err);
    json_t *record = point_record(s, x, records, contenders, owners);
    if (status == BE_OK) status = sweep_log_append(&s->log, record, err);
    if (status == BE_OK) {
        sweep_take(s, record);
        look_for_lost(s, record, x, sides, count);
        status = tell_so_far(s, err);
    }
    json_decref(record);
    json_decref(records);
    return status;
}
