/* The best setting of a side, along the axis: short runs of all settings at the ends and in the
 * middle of the range. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "report/sheet.h"
#include "study/sweep.h"

#define KEEP_WITHIN 1.15 /* of the fastest: short runs tell no more */
#define KEEP_MOST 3

static const json_t *screen_at(const sweep *s, const char *side, double x)
{
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        if (strcmp(report_string(record, line, kind), "screen") == 0 &&
            report_real(record, line, x) == x &&
            strcmp(report_string(record, line, side), side) == 0)
            return record;
    }
    return NULL;
}

/* The nearest screening of the side, below x (or at it) or above. */
static const json_t *screen_near(const sweep *s, const char *side, double x, bool below)
{
    const json_t *nearest = NULL;
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        double at = report_real(record, line, x);
        if (strcmp(report_string(record, line, kind), "screen") != 0) continue;
        if (strcmp(report_string(record, line, side), side) != 0 || (below ? at > x : at < x))
            continue;
        if (nearest && fabs(at - x) >= fabs(report_real(nearest, line, x) - x)) continue;
        nearest = record;
    }
    return nearest;
}

static bool keeps(const json_t *screen, const char *setting)
{
    size_t i;
    json_t *name;
    json_array_foreach(report_member(screen, line, kept), i, name)
    {
        if (strcmp(json_string_value(name), setting) == 0) return true;
    }
    return false;
}

int sweep_candidates(const sweep *s, const sweep_side *side, double x, int *out)
{
    const json_t *below = screen_near(s, side->name, x, true);
    const json_t *above = screen_near(s, side->name, x, false);
    int count = 0;
    for (int i = 0; i < side->setting_count; i++) {
        const sweep_setting *setting = &side->settings[i];
        if ((!below && !above) || keeps(below, setting->name) || keeps(above, setting->name))
            out[count++] = setting->contender;
    }
    return count;
}

/* The median of a setting's short run, INFINITY if it failed. */
static double time_of(const json_t *records, int i)
{
    double step_s = report_real(json_array_get(records, (size_t)i), bench, step_s.median);
    return isnan(step_s) ? (double)INFINITY : step_s;
}

/* The names of those within noise of the fastest, the fastest first. */
static json_t *kept_of(const sweep_side *side, const json_t *records)
{
    json_t *choice = json_array();
    double best = INFINITY;
    bool is_taken[SWEEP_SETTINGS_MAX] = {false};
    for (int i = 0; i < side->setting_count; i++) best = fmin(best, time_of(records, i));
    for (int k = 0; k < KEEP_MOST; k++) {
        int next = -1;
        for (int i = 0; i < side->setting_count; i++)
            if (!is_taken[i] && time_of(records, i) <= KEEP_WITHIN * best &&
                (next < 0 || time_of(records, i) < time_of(records, next)))
                next = i;
        if (next < 0 || isinf(best)) break;
        is_taken[next] = true;
        json_array_append_new(choice, json_string(side->settings[next].name));
    }
    return choice;
}

static be_status screen_side(sweep *s, const sweep_side *side, double x, be_error *err)
{
    int contenders[SWEEP_SETTINGS_MAX];
    measurement_point point = {
        .batch = s->batch, .contenders = contenders, .count = side->setting_count};
    for (int i = 0; i < side->setting_count; i++) contenders[i] = side->settings[i].contender;
    TRY(sweep_go_to(s, x, &point, err));
    s->m.conducting.block_s = 0.005;
    s->m.conducting.warm_up_s = 0.01;
    s->m.conducting.stop = (stop_rule){.min_samples = 4,
                                       .max_samples = 6,
                                       .min_time_s = 0.02,
                                       .max_time_s = 0.15,
                                       .target_relative = 0.05,
                                       .target_ratio = 0.05,
                                       .clear_ratio = 0.1};
    json_t *records = json_array(), *trials = json_array();
    be_status status = s->m.hands.run(&s->m, &point, records, err);
    for (int i = 0; i < (int)json_array_size(records); i++)
        json_array_append_new(trials, json_pack("{s:s, s:o}", "setting", side->settings[i].name,
                                                "step_s", json_of_real(time_of(records, i))));
    json_t *record = json_pack("{s:s, s:f, s:s, s:o, s:o}", "kind", "screen", "x", x, "side",
                               side->name, "tried", trials, "kept", kept_of(side, records));
    if (status == BE_OK) status = sweep_log_append(&s->log, record, err);
    if (status == BE_OK) sweep_take(s, record);
    /* Where nobody is left, the first reason is the sweep's. */
    bool is_lost = status == BE_OK && json_array_size(report_member(record, line, kept)) == 0;
    if (is_lost && s->refusal.status == BE_OK)
        s->refusal.status = measurement_check(records, &s->refusal);
    json_decref(record);
    json_decref(records);
    return status;
}

be_status sweep_screen(sweep *s, double x, be_error *err)
{
    for (int i = 0; i < s->side_count; i++) {
        const sweep_side *side = &s->sides[i];
        if (side->missing || side->setting_count < 2 || x > side->limit) continue;
        if (screen_at(s, side->name, x)) continue;
        study_progress(s->m.watch, "%s at %.0f: trying %d settings ...", side->name, x,
                       side->setting_count);
        TRY(screen_side(s, side, x, err));
    }
    return BE_OK;
}
