/* See scaling.h. */
#include "report/scaling.h"

#include <math.h>
#include <string.h>

#include "report/sentence.h"

/* ---------------------------------------------------------------- the table */

static const char *bounds_text(const json_t *bounds, double unit, const char *sign,
                               char out[REPORT_TEXT_BYTES])
{
    double point = report_real(bounds, bounds, point);
    if (isnan(point)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.3g%s", unit * point, sign);
    return out;
}

static const char *speed_up_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return bounds_text(report_member(record, scaled, speed_up), 1, "×", out);
}

static const char *efficiency_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return bounds_text(report_member(record, scaled, efficiency), 100, " %", out);
}

static const char *measured_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return bounds_text(report_member(record, scaled, measured), 1, "×", out);
}

static const char *part_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double batch = report_real(record, scaled, batch);
    return batch < 1 ? strcpy(out, "-") : report_count(batch, out);
}

static const report_column columns[] = {
    {MEMBER(scaled, workers), "workers", UNIT_COUNT, NULL},
    {MEMBER(scaled, reduce_s), "all-reduce", UNIT_SECONDS, NULL},
    {MEMBER(scaled, reduce), "by", UNIT_TEXT, NULL},
    {MEMBER(scaled, batch), "batch each", UNIT_COUNT, part_text},
    {MEMBER(scaled, step_s.point), "step", UNIT_SECONDS, NULL},
    {MEMBER(scaled, speed_up.point), "speed-up", UNIT_NUMBER, speed_up_text},
    {MEMBER(scaled, measured.point), "measured", UNIT_NUMBER, measured_text},
    {MEMBER(scaled, efficiency.point), "efficiency", UNIT_NUMBER, efficiency_text},
};

/* ---------------------------------------------------------------- sentences */

static void say_link(const json_t *scaling, FILE *out)
{
    char rate[REPORT_TEXT_BYTES], latency[REPORT_TEXT_BYTES], bytes[REPORT_TEXT_BYTES];
    sentence p = {0};
    sentence_add(
        &p,
        "workers: predicted for a link of %s/s and %s from the step of one worker at batch "
        "%.0f; each step adds up gradients of %s, by a ring or a tree, whichever is "
        "faster. Nothing of it is hidden behind the backward pass, and no worker waits for "
        "a slower one.",
        report_bytes(report_real(scaling, scaling, bytes_per_s), rate),
        report_seconds(report_real(scaling, scaling, latency_s), latency),
        report_real(scaling, scaling, batch),
        report_bytes(report_real(scaling, scaling, gradient_bytes), bytes));
    if (report_is(scaling, scaling, shared))
        sentence_add(&p,
                     " The workers share the cores and the memory of this machine: the step is as "
                     "long as the steps of all of them one after another on all cores.");
    sentence_end(&p, out);
}

/* The number of workers whose speed is the highest, and the least one that is surely faster than a
 * single worker; NULL: none. */
typedef struct split_best {
    const json_t *fastest, *first;
    bool any;
} split_best;

static split_best find_best(const json_t *points)
{
    split_best best = {0};
    double largest = 0;
    size_t i;
    json_t *point;
    json_array_foreach(points, i, point)
    {
        double speed = report_real(point, scaled, speed_up.point);
        if (isnan(speed)) continue;
        best.any = true;
        if (speed > largest) best.fastest = point;
        largest = fmax(largest, speed);
        bool pays = report_real(point, scaled, speed_up.low) > 1;
        if (pays && (!best.first || report_real(point, scaled, workers) <
                                        report_real(best.first, scaled, workers)))
            best.first = point;
    }
    return best;
}

static void say_split(const json_t *scaling, FILE *out)
{
    char workers[REPORT_TEXT_BYTES];
    split_best best = find_best(report_member(scaling, scaling, points));
    double batch = report_real(scaling, scaling, batch);
    sentence p = {0};
    if (!best.any) {
        sentence_add(&p,
                     "What splitting the batch would bring is not known: its parts lie outside of "
                     "the batches that were measured.");
    } else if (!best.first) {
        sentence_add(
            &p,
            "Splitting a batch of %.0f over workers never surely pays among these: at best "
            "%s workers are %.3g times as fast as one.",
            batch, report_count(report_real(best.fastest, scaled, workers), workers),
            report_real(best.fastest, scaled, speed_up.point));
    } else {
        sentence_add(&p, "Splitting a batch of %.0f pays from %s workers on, and is fastest on",
                     batch, report_count(report_real(best.first, scaled, workers), workers));
        sentence_add(&p, " %s, %.3g times as fast as one.",
                     report_count(report_real(best.fastest, scaled, workers), workers),
                     report_real(best.fastest, scaled, speed_up.point));
    }
    sentence_add(&p, " The efficiency is that of workers with a batch of %.0f each.", batch);
    sentence_end(&p, out);
}

be_status scaling_write(const json_t *scaling, report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0],
                          report_member(scaling, scaling, points), -1};
    TRY(report_write(&sheet, format, out, err));
    fprintf(out, "\n");
    say_link(scaling, out);
    say_split(scaling, out);
    return BE_OK;
}
