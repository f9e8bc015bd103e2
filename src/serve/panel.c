/* See panel.h. */
#include "serve/panel.h"

#include <math.h>
#include <string.h>

#include "report/contender.h"
#include "report/html.h"
#include "report/runs.h"
#include "serve/markup.h"

/* ---------------------------------------------------------------- the machine */

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s %s", contender_title(record),
             report_string(record, device, version));
    return out;
}

static const char *usable_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return strcpy(out, report_is(record, device, usable) ? "yes" : "no");
}

static const char *hardware_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    char bytes[REPORT_TEXT_BYTES];
    report_hardware(report_string(record, device, device_name), out);
    if (report_real(record, device, memory_bytes) > 0)
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %s",
                 report_bytes(report_real(record, device, memory_bytes), bytes));
    if (report_real(record, device, cores) > 0)
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %.0f cores",
                 report_real(record, device, cores));
    return out;
}

static void write_machine(const json_t *records, FILE *out)
{
    static const report_column columns[] = {
        {MEMBER(device, engine), "engine", UNIT_TEXT, engine_text},
        {MEMBER(device, device), "device", UNIT_TEXT, NULL},
        {MEMBER(device, usable), "usable", UNIT_TEXT, usable_text},
        {MEMBER(device, device_name), "hardware", UNIT_TEXT, hardware_text},
    };
    report_sheet sheet = {columns, sizeof columns / sizeof *columns, records, -1};
    size_t i;
    json_t *record;
    report_write_html(&sheet, "Engines and their devices", out);
    json_array_foreach(records, i, record)
    {
        const char *reason = report_string(record, device, reason);
        if (!*reason) continue;
        markup_put(out, "<p class=dim>%s on %s: %s</p>\n", contender_title(record),
                   report_string(record, device, device), reason);
    }
}

/* ---------------------------------------------------------------- results */

void panel_records(const json_t *records, FILE *out)
{
    be_error err = {0};
    report_style before = html_begin_look();
    be_status status = runs_write_records(records, REPORT_TABLE, out, &err);
    html_end_look(before);
    if (status != BE_OK) markup_put(out, "<p class=fault>%s</p>\n", err.text);
}

/* ---------------------------------------------------------------- trainings */

typedef enum curve_part { CURVE_LOSS = 1, CURVE_ACCURACY } curve_part;

static const char *loss_text(double value, char out[REPORT_TEXT_BYTES])
{
    return report_number(value, out);
}

static const char *share_text(double value, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.3g %%", value * 100);
    return out;
}

/* A curve for each device that trains, against the steps. */
static void write_curves(const job *j, curve_part part, FILE *out)
{
    static plot_point points[PLOT_SERIES_MAX][QUEUE_CURVE];
    plot_series series[PLOT_SERIES_MAX];
    plot drawing = {.title = part == CURVE_LOSS ? "Loss, the mean of each epoch so far"
                                                : "Accuracy, of each epoch so far",
                    .x_title = "steps",
                    .y_title = part == CURVE_LOSS ? "loss" : "accuracy",
                    .x_scale = PLOT_LINEAR,
                    .y_scale = PLOT_LINEAR,
                    .series = series,
                    .x_text = report_count,
                    .y_text = part == CURVE_LOSS ? loss_text : share_text};
    for (int s = 0; s < j->count && drawing.series_count < PLOT_SERIES_MAX; s++) {
        const stage *from = &j->stages[s];
        int at = drawing.series_count, count = 0;
        size_t i;
        json_t *point;
        if (!from->device[0] || !json_array_size(from->curve)) continue;
        json_array_foreach(from->curve, i, point) if (count < QUEUE_CURVE) points[at][count++] =
            (plot_point){.x = json_number_value(json_array_get(point, 0)),
                         .y = json_is_number(json_array_get(point, (size_t)part))
                                  ? json_number_value(json_array_get(point, (size_t)part))
                                  : (double)NAN,
                         .low = NAN,
                         .high = NAN};
        series[drawing.series_count++] = (plot_series){from->device, points[at], count};
    }
    if (drawing.series_count) html_plot(&drawing, false, out);
}

static void write_training(const stage *s, FILE *out)
{
    char text[5][REPORT_TEXT_BYTES];
    const json_t *step = s->step;
    double steps = json_real_at(step, "steps");
    double steps_so_far = (json_real_at(step, "epoch") - 1) * steps + json_real_at(step, "step");
    markup_put(out, "<article class=training><h3>%s <span class=state>%s</span></h3>\n", s->device,
               job_state_name(s->state));
    if (step) {
        markup_put(out, "<progress max=%g value=%g aria-label=\"steps done on %s\"></progress>",
                   json_real_at(step, "epochs") * steps, steps_so_far, s->device);
        markup_put(out,
                   "<dl><dt>epoch<dd>%s of %s<dt>loss<dd>%s<dt>accuracy<dd>%s<dt>rate<dd>%s "
                   "%ss/s<dt>left<dd>%s</dl>\n",
                   report_count(json_real_at(step, "epoch"), text[0]),
                   report_count(json_real_at(step, "epochs"), text[1]),
                   report_loss(json_real_at(step, "loss"), text[2]),
                   share_text(json_real_at(step, "accuracy"), text[3]),
                   report_number(json_real_at(step, "units_per_s"), text[4]),
                   json_text_at(step, "unit"),
                   s->state == JOB_RUNNING
                       ? report_seconds(json_real_at(step, "left_s"), (char[REPORT_TEXT_BYTES]){0})
                       : "-");
    }
    if (s->fault[0]) markup_put(out, "<p class=fault>%s</p>", s->fault);
    fputs("</article>\n", out);
}

static void write_trainings(const job *j, FILE *out)
{
    report_style before = html_begin_look();
    fputs("<div class=trainings>", out);
    for (int s = 0; s < j->count; s++)
        if (j->stages[s].device[0]) write_training(&j->stages[s], out);
    fputs("</div>\n<div class=curves>", out);
    write_curves(j, CURVE_LOSS, out);
    write_curves(j, CURVE_ACCURACY, out);
    fputs("</div>\n", out);
    html_end_look(before);
}

/* ---------------------------------------------------------------- a study */

static void write_head(const queue *q, const job *j, FILE *out)
{
    int ahead = queue_ahead(q, j->id);
    markup_put(out, "<h2>%s %s <span class=state>%s</span></h2>\n",
               j->kind == JOB_MACHINE ? "Devices of this" : job_titles[j->kind],
               j->kind == JOB_MACHINE ? "machine" : j->settings.value[SETTING_WORKLOAD],
               j->stopping && j->state == JOB_RUNNING ? "stopping" : job_state_name(j->state));
    if (j->state == JOB_WAITING)
        markup_put(out, "<p>One measurement at a time: %d stud%s before this one.</p>\n", ahead,
                   ahead == 1 ? "y comes" : "ies come");
    if (j->line[0]) markup_put(out, "<p class=line>%s</p>\n", j->line);
    if (j->note[0]) markup_put(out, "<p class=dim>%s</p>\n", j->note);
}

static void write_stage(const job *j, const stage *s, FILE *out)
{
    if (s->device[0]) return;
    if (j->kind == JOB_MACHINE)
        write_machine(s->records, out);
    else if (json_is_array(s->result))
        panel_records(s->result, out);
    else if (s->result) {
        json_t *one = json_pack("[O]", s->result);
        panel_records(one, out);
        json_decref(one);
    }
    if (s->fault[0]) markup_put(out, "<p class=fault>%s</p>\n", s->fault);
    if (s->state == JOB_RUNNING && j->kind != JOB_MACHINE)
        fputs("<p class=dim>While blocks of steps are timed nothing is told, so that this page "
              "disturbs no measurement.</p>\n",
              out);
}

void panel_write(const queue *q, int64_t id, FILE *out)
{
    const job *j = queue_find(q, id);
    if (!j) {
        markup_put(out,
                   "<p>Study %l is not remembered any more; what it measured is among the <a "
                   "href=/runs>runs</a>.</p>\n",
                   id);
        return;
    }
    if (j->kind != JOB_MACHINE || j->state != JOB_DONE) write_head(q, j, out);
    bool trains = false;
    for (int s = 0; s < j->count; s++) trains |= j->stages[s].device[0] != 0;
    if (trains) write_trainings(j, out);
    for (int s = 0; s < j->count; s++) write_stage(j, &j->stages[s], out);
}
