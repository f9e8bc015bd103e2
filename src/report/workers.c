/* See workers.h. */
#include "report/workers.h"

#include <math.h>
#include <string.h>

#include "report/sentence.h"

/* ---------------------------------------------------------------- the table */

static const char *spread_text(const json_t *bounds, double unit, const char *sign,
                               char out[REPORT_TEXT_BYTES])
{
    double point = report_real(bounds, bounds, point), low = report_real(bounds, bounds, low),
           high = report_real(bounds, bounds, high);
    snprintf(out, REPORT_TEXT_BYTES, "%.3g%s (%.3g–%.3g)", unit * point, sign, unit * low,
             unit * high);
    return out;
}

static const char *speed_up_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return spread_text(report_member(record, crew, speed_up), 1, "×", out);
}

static const char *efficiency_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%.3g %%", 100 * report_real(record, crew, efficiency.point));
    return out;
}

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s", report_string(record, crew, engine));
    return out;
}

/* The first is left out where there is one engine. */
static const report_column columns[] = {
    {MEMBER(crew, engine), "engine", UNIT_TEXT, engine_text},
    {MEMBER(crew, workers), "workers", UNIT_COUNT, NULL},
    {MEMBER(crew, batch), "batch each", UNIT_COUNT, NULL},
    {MEMBER(crew, step_s.point), "step", UNIT_SECONDS, NULL},
    {MEMBER(crew, speed_up.point), "speed-up", UNIT_NUMBER, speed_up_text},
    {MEMBER(crew, efficiency.point), "efficiency", UNIT_NUMBER, efficiency_text},
    {MEMBER(crew, reduce_s), "not hidden", UNIT_SECONDS, NULL},
    {MEMBER(crew, model_reduce_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(crew, predicted_s), "predicted", UNIT_SECONDS, NULL},
};

static void add_row(json_t *rows, const json_t *point, const char *engine)
{
    json_t *row = json_copy((json_t *)(uintptr_t)point);
    json_object_set_new(row, "engine", json_string(engine));
    json_array_append_new(rows, row);
}

/* Of all engines, those with the same number of workers together. */
static json_t *all_rows(const json_t *result)
{
    json_t *rows = json_array(), *point, *peer;
    size_t i, k;
    json_array_foreach(report_member(result, workers, points), i, point)
    {
        add_row(rows, point, "native");
        json_array_foreach(report_member(result, workers, peers), k, peer)
            add_row(rows, json_array_get(report_member(peer, peer, points), i),
                    report_string(peer, peer, engine));
    }
    return rows;
}

/* ---------------------------------------------------------------- sentences */

static void say_what(const json_t *result, FILE *out)
{
    char rate[REPORT_TEXT_BYTES], latency[REPORT_TEXT_BYTES], bytes[REPORT_TEXT_BYTES];
    double per_s = report_real(result, workers, bytes_per_s);
    sentence p = {0};
    sentence_add(&p, "%s, %s, %s: ", report_string(result, workers, workload),
                 report_string(result, workers, device), report_string(result, workers, precision));
    if (report_is(result, workers, each))
        sentence_add(&p, "each worker has a batch of %.0f.", report_real(result, workers, batch));
    else
        sentence_add(&p, "the workers cut a batch of %.0f.", report_real(result, workers, batch));
    if (isnan(per_s))
        sentence_add(
            &p, " The GPUs add up gradients among themselves, beside the backward pass: what is "
                "not hidden of it is how much longer a step takes than the same part on one "
                "GPU, and there is no prediction.");
    else
        sentence_add(
            &p,
            " A step adds up gradients of %s; two workers here do so at %s/s, with %s for "
            "each message. Nothing of it is hidden behind the backward pass; what is not "
            "hidden has the waiting for the slowest worker in it. Predicted: a step of one "
            "worker with the part and the threads of each, and the link alone.",
            report_bytes(report_real(result, workers, gradient_bytes), bytes),
            report_bytes(per_s, rate),
            report_seconds(report_real(result, workers, latency_s), latency));
    sentence_end(&p, out);
}

static const json_t *find_first(const json_t *points, const json_t **fastest)
{
    const json_t *first = NULL;
    size_t i;
    json_t *point;
    *fastest = NULL;
    json_array_foreach(points, i, point)
    {
        double workers = report_real(point, crew, workers);
        if (workers < 2) continue;
        if (!*fastest ||
            report_real(point, crew, speed_up.point) > report_real(*fastest, crew, speed_up.point))
            *fastest = point;
        if (report_real(point, crew, speed_up.low) > 1 &&
            (!first || workers < report_real(first, crew, workers)))
            first = point;
    }
    return first;
}

static void say_verdict(const json_t *result, FILE *out)
{
    const json_t *fastest = NULL;
    const json_t *first = find_first(report_member(result, workers, points), &fastest);
    char count[REPORT_TEXT_BYTES];
    const json_t *bounds = report_member(fastest, crew, speed_up);
    double low = report_real(bounds, bounds, low), high = report_real(bounds, bounds, high);
    sentence p = {0};
    if (first)
        sentence_add(&p, "More workers pay here from %s on",
                     report_count(report_real(first, crew, workers), count));
    else
        sentence_add(&p, "More workers %s here",
                     high < 1 ? "never pay" : "do not surely pay with any of these numbers");
    sentence_add(&p, "; at best %s are %.3g times as fast as one (%.3g to %.3g).",
                 report_count(report_real(fastest, crew, workers), count),
                 report_real(bounds, bounds, point), low, high);
    double step_s = report_real(fastest, crew, step_s.point);
    sentence_add(&p, " Of their step, %.0f %% is adding up gradients and waiting.",
                 100 * report_real(fastest, crew, reduce_s) / step_s);
    sentence_end(&p, out);
}

/* "torch (PyTorch 2.5, …): a step of 1 takes 1.2 times as long as the native one's (1.1 to 1.3), of
 * 2 …" */
static void say_peer(const json_t *peer, FILE *out)
{
    size_t i;
    json_t *point;
    sentence p = {0};
    sentence_add(&p, "%s (%s):", report_string(peer, peer, engine),
                 report_string(peer, peer, implementation));
    json_array_foreach(report_member(peer, peer, points), i, point)
    {
        const json_t *bounds = report_member(point, crew, versus_native);
        char count[REPORT_TEXT_BYTES];
        sentence_add(&p,
                     "%s with %s a step takes %.3g times as long as the native engine's%s "
                     "(%.3g to %.3g)",
                     i ? "," : "", report_count(report_real(point, crew, workers), count),
                     report_real(bounds, bounds, point), i ? "" : " with as many workers",
                     report_real(bounds, bounds, low), report_real(bounds, bounds, high));
    }
    sentence_add(&p, ".");
    sentence_end(&p, out);
}

void workers_write_sentences(const json_t *result, FILE *out)
{
    size_t i;
    json_t *peer;
    say_what(result, out);
    say_verdict(result, out);
    json_array_foreach(report_member(result, workers, peers), i, peer) say_peer(peer, out);
}

be_status workers_write(const json_t *result, report_format format, FILE *out, be_error *err)
{
    if (format == REPORT_JSON || format == REPORT_JSONL) {
        size_t flags = format == REPORT_JSON ? JSON_INDENT(2) : JSON_COMPACT;
        if (json_dumpf(result, out, flags) != 0) FAIL(err, BE_IO, "the result was not written");
        fprintf(out, "\n");
        return BE_OK;
    }
    int is_alone = json_array_size(report_member(result, workers, peers)) == 0;
    json_t *rows = all_rows(result);
    report_sheet sheet = {columns + is_alone, (int)(sizeof columns / sizeof columns[0]) - is_alone,
                          rows, -1};
    be_status status = report_write(&sheet, format, out, err);
    json_decref(rows);
    TRY(status);
    if (format == REPORT_CSV) return BE_OK;
    fprintf(out, "\n");
    workers_write_sentences(result, out);
    return BE_OK;
}
