/* See verdict.h. */
#include "report/verdict.h"

#include <math.h>
#include <string.h>

#include "report/advice.h"
#include "report/bench.h"
#include "report/contender.h"
#include "report/explain.h"
#include "report/runs.h"
#include "report/sentence.h"
#include "report/sweep.h"
#include "report/training.h"
#include "report/workers.h"

static bool has_speed(const json_t *record)
{
    return report_real(record, bench, samples_per_s) > 0 &&
           !report_is(record, bench, computes_nothing);
}

/* Was it held against this one? */
static bool is_versus(const json_t *record, const json_t *best)
{
    return strcmp(report_string(record, bench, versus.engine),
                  report_string(best, bench, engine)) == 0 &&
           strcmp(report_string(record, bench, versus.device),
                  report_string(best, bench, device)) == 0 &&
           report_real(record, bench, versus.threads) == report_real(best, bench, threads);
}

/* Of the group, the fastest first. */
static void say_group(const json_t *group, FILE *out)
{
    const json_t *best = json_array_get(group, 0), *second = json_array_get(group, 1);
    char who[REPORT_TEXT_BYTES], other[REPORT_TEXT_BYTES], step[REPORT_TEXT_BYTES];
    sentence s = {0};
    bool rival = second && has_speed(second);
    sentence_add(&s, "%s, %s, batch %.0f, %s: ", contender_model(best),
                 strcmp(report_string(best, bench, mode), "train") ? "inference" : "training",
                 report_real(best, bench, batch), contender_precisions(best));
    if (!has_speed(best)) {
        sentence_add(&s, "nobody computed it.");
        sentence_end(&s, out);
        return;
    }
    const char *verdict =
        rival && is_versus(second, best) ? report_string(second, bench, versus.verdict) : "";
    contender_who(best, who);
    report_seconds(report_real(best, bench, step_s.median), step);
    if (rival) contender_who(second, other);
    if (!rival)
        sentence_add(&s, "%s takes %s a step; nobody else was measured.", who, step);
    else if (strcmp(verdict, "SLOWER") == 0)
        sentence_add(&s, "%s is fastest, %s a step. %s takes %.2f%s as long (%.2f to %.2f).", who,
                     step, other, report_real(second, bench, versus.ratio), report_times(),
                     report_real(second, bench, versus.low),
                     report_real(second, bench, versus.high));
    else if (strcmp(verdict, "SAME") == 0)
        sentence_add(&s, "%s and %s are equally fast, %s a step.", who, other, step);
    else
        sentence_add(&s, "%s has the shortest step, %s; that it is faster than %s is not sure.",
                     who, step, other);
    sentence_end(&s, out);
}

static int say_measured(const json_t *benches, FILE *out)
{
    int groups = 0;
    char line[160];
    for (size_t next = 0; next < json_array_size(benches); groups++) {
        json_t *group = bench_take_group(benches, next, &next);
        if (groups < VERDICT_LINES) say_group(group, out);
        json_decref(group);
    }
    if (groups == 1) explain_words(benches, out);
    if (groups > VERDICT_LINES) {
        snprintf(line, sizeof line, "%d more settings are told below.", groups - VERDICT_LINES);
        report_paragraph(out, line, 2);
    }
    return groups;
}

static void say_pairs(const json_t *sweep, FILE *out)
{
    size_t p;
    json_t *pair;
    json_array_foreach(report_member(sweep, sweep, pairs), p, pair)
    {
        char line[300];
        if (report_is(pair, pair, beside)) continue;
        snprintf(line, sizeof line,
                 "%.60s, %.100s and %.100s:", report_string(sweep, sweep, workload),
                 report_string(pair, pair, first), report_string(pair, pair, second));
        report_paragraph(out, line, 2);
        sweep_print_findings(sweep, pair, out);
    }
}

void verdict_write(const json_t *records, FILE *out)
{
    json_t *benches = runs_of_kind(records, "bench"), *epochs = runs_of_kind(records, "epoch");
    json_t *record;
    bool any = json_array_size(epochs) > 0, advised = false;
    size_t i;
    json_array_foreach(records, i, record)
    {
        const char *kind = report_string(record, bench, kind);
        if (strcmp(kind, "sweep") == 0) say_pairs(record, out);
        if (strcmp(kind, "advice") == 0) advice_write_sentences(record, out);
        if (strcmp(kind, "workers") == 0) workers_write_sentences(record, out);
        advised |= strcmp(kind, "advice") == 0;
        any |= strcmp(kind, "sweep") == 0 || strcmp(kind, "workers") == 0;
    }
    /* What an advice was made from needs no verdict of its own. */
    if (!advised) any |= say_measured(benches, out) > 0;
    training_write_sentences(epochs, out);
    if (!any && !advised) report_paragraph(out, "There is no result in this run.", 2);
    json_decref(benches);
    json_decref(epochs);
}
