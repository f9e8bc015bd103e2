/* Why the fastest is the fastest, and what to do: sentences made from the records of one group. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/bench.h"
#include "report/contender.h"
#include "report/sentence.h"
#include "workloads/workload.h"

static bool has_speed(const json_t *record)
{
    return !isnan(report_real(record, bench, samples_per_s));
}

/* Do its blocks agree well enough to build a reason on? */
static bool is_steady(const json_t *record)
{
    return !(report_real(record, bench, step_s.spread) > 0.25);
}

static bool is_engine(const json_t *record, const char *engine)
{
    return strcmp(report_string(record, bench, engine), engine) == 0;
}

/* The fastest of the other engines than the best one's, or the fastest record of the same engine if
 * `same`; NULL if there is none. */
static const json_t *find_rival(const json_t *group, bool same)
{
    const json_t *best = json_array_get(group, 0);
    for (size_t i = 1; i < json_array_size(group); i++) {
        const json_t *record = json_array_get(group, i);
        if (has_speed(record) && is_engine(record, report_string(best, bench, engine)) == same)
            return record;
    }
    return NULL;
}

static void say_arithmetic(const json_t *group, FILE *out)
{
    const json_t *best = json_array_get(group, 0);
    char text[REPORT_TEXT_BYTES], who[REPORT_TEXT_BYTES];
    double flops = report_real(best, bench, flops_per_step);
    bool moves = contender_only_moves(best);
    sentence s = {0};
    if (!(flops > 0)) return;
    if (moves)
        sentence_add(&s, "why: of the %s that a step reads and writes, ",
                     report_bytes(report_real(best, bench, bytes_per_step), text));
    else
        sentence_add(&s, "why: of the %s of a step, ", report_flops(flops, text));
    for (size_t i = 0; i < json_array_size(group); i++) {
        const json_t *record = json_array_get(group, i);
        if (!has_speed(record)) continue;
        contender_who(record, who);
        double step_s = report_real(record, bench, step_s.median);
        double bytes = report_real(record, bench, bytes_per_step);
        if (moves) /* in what the table counts */
            sentence_add(&s, "%s%s moves %s GB/s", i ? ", " : "", who,
                         report_number(1e-9 * bytes / step_s, text));
        else
            sentence_add(&s, "%s%s does %s/s", i ? ", " : "", who,
                         report_flops(flops / step_s, text));
    }
    sentence_add(&s, ".");
    double launches = report_real(best, bench, launches);
    if (launches > 0)
        sentence_add(&s, " The native step is %.0f %s without a framework between them.", launches,
                     strcmp(report_string(best, bench, device), "cpu") ? "launches"
                                                                       : "fused operations");
    sentence_end(&s, out);
}

static bool has_verdict(const json_t *record, const char *verdict)
{
    return strcmp(report_string(record, bench, versus.verdict), verdict) == 0;
}

/* The phase in which the rival loses most, if it is sure that it loses. */
static void say_phases(const json_t *group, FILE *out)
{
    const json_t *best = json_array_get(group, 0), *rival = find_rival(group, false);
    const json_t *mine = report_member(best, bench, phases_s);
    json_t *theirs = report_member(rival, bench, phases_s), *value;
    const char *phase, *worst = NULL;
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], c[REPORT_TEXT_BYTES], who[REPORT_TEXT_BYTES];
    double largest = 0;
    sentence s = {0};
    if (!has_verdict(rival, "SLOWER")) return;
    json_object_foreach(theirs, phase, value)
    {
        double loss = json_number_value(value) - json_number_value(json_object_get(mine, phase));
        if (loss <= largest || !json_is_number(json_object_get(mine, phase))) continue;
        largest = loss;
        worst = phase;
    }
    if (!worst) return;
    double other =
        report_real(rival, bench, step_s.median) - report_real(best, bench, step_s.median);
    bool waits = strcmp(worst, "idle_host") == 0;
    sentence_add(&s, "%s is %s a step slower, most of it %s%s%s: %s against %s.",
                 contender_who(rival, who), report_seconds(other, a),
                 waits ? "because its device waits for the host" : "in the ", waits ? "" : worst,
                 waits ? "" : " phase",
                 report_seconds(json_number_value(json_object_get(theirs, worst)), b),
                 report_seconds(json_number_value(json_object_get(mine, worst)), c));
    sentence_end(&s, out);
}

/* What more threads bring the engine that won. */
static void say_threads(const json_t *group, FILE *out)
{
    const json_t *best = json_array_get(group, 0), *same = find_rival(group, true);
    char ratio[REPORT_TEXT_BYTES];
    sentence s = {0};
    double more = report_real(best, bench, threads), fewer = report_real(same, bench, threads);
    if (!same || !is_steady(best) || !is_steady(same)) return;
    if (strcmp(report_string(best, bench, device), report_string(same, bench, device)) != 0) return;
    report_number(report_real(same, bench, versus.ratio), ratio);
    if (!has_verdict(same, "SAME") && !has_verdict(same, "SLOWER")) return;
    if (has_verdict(same, "SAME"))
        sentence_add(&s,
                     "%.0f and %.0f threads are equally fast: this model is too small to share.",
                     fewer, more);
    else if (more > fewer)
        sentence_add(&s, "%.0f threads are %s times as fast as %.0f.", more, ratio, fewer);
    else
        sentence_add(
            &s,
            "%.0f threads are slower than %.0f: to share so little work costs more than it "
            "brings.",
            fewer, more);
    sentence_end(&s, out);
}

static void say_start(const json_t *group, FILE *out)
{
    char who[REPORT_TEXT_BYTES], text[REPORT_TEXT_BYTES];
    sentence s = {0};
    const json_t *both[] = {json_array_get(group, 0), find_rival(group, false)};
    if (!both[1]) return;
    sentence_add(&s, "From start to the first step done: ");
    for (int i = 0; i < 2; i++) {
        double start = report_real(both[i], bench, start_s) +
                       report_real(both[i], bench, prepare_s) +
                       report_real(both[i], bench, first_step_s);
        sentence_add(&s, "%s%s %s", i ? ", " : "", contender_who(both[i], who),
                     report_seconds(start, text));
    }
    sentence_add(&s, ".");
    sentence_end(&s, out);
}

static bool any_gpu(const json_t *group)
{
    size_t i;
    json_t *record;
    json_array_foreach(group, i, record) if (contender_is_gpu(record)) return true;
    return false;
}

static void advise(const json_t *group, FILE *out)
{
    const json_t *best = json_array_get(group, 0), *rival = find_rival(group, false);
    char who[REPORT_TEXT_BYTES], a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES];
    double epochs = report_real(best, bench, epochs);
    double samples = report_real(best, bench, data_count) * epochs;
    bool train = strcmp(report_string(best, bench, mode), "train") == 0;
    sentence s = {0};
    const char *workload = report_string(best, bench, workload);
    bool trains = train && !report_is_operation(workload);
    sentence_add(&s, "advice: %s %s with %s", trains ? "train" : "run", workload,
                 contender_who(best, who));
    if (train && samples > 0)
        sentence_add(&s, epochs == 1 ? ": its %.0f epoch takes %s" : ": its %.0f epochs take %s",
                     epochs, report_seconds(samples / report_real(best, bench, samples_per_s), a));
    if (rival) {
        if (train && samples > 0)
            sentence_add(&s, ", with %s %s", contender_who(rival, who),
                         report_seconds(samples / report_real(rival, bench, samples_per_s), b));
        if (has_verdict(rival, "SLOWER"))
            sentence_add(
                &s, " (FASTER by %.2f [%.2f, %.2f])", report_real(rival, bench, versus.ratio),
                report_real(rival, bench, versus.low), report_real(rival, bench, versus.high));
        else
            sentence_add(&s, has_verdict(rival, "SAME")
                                 ? " (SAME: take either)"
                                 : " (UNSURE: measure longer with --max-time)");
    }
    sentence_add(&s, ".");
    if (!is_steady(best) || (rival && !is_steady(rival)))
        sentence_add(&s, " These times are unsteady: measure again when the machine is quiet.");
    if (!any_gpu(group))
        sentence_add(&s, " No GPU was measured: 'breakeven devices' lists what is usable here.");
    sentence_end(&s, out);
}

/* ------------------------------------------------------------- a user's own model */

static bool is_yardstick(const json_t *record)
{
    return *report_string(record, bench, yardstick);
}

/* What the engine of the ladder makes of the same network. */
static void say_yardstick(const json_t *yard, const json_t *own, FILE *out)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], who[REPORT_TEXT_BYTES];
    sentence s = {0};
    sentence_add(&s,
                 "As a yardstick, the native engine trains %s, whose weights have the same names "
                 "and shapes: a step takes %s, with %s %s.",
                 report_string(yard, bench, yardstick),
                 report_seconds(report_real(yard, bench, step_s.median), a),
                 contender_who(own, who),
                 report_seconds(report_real(own, bench, step_s.median), b));
    sentence_end(&s, out);
}

/* What the hardware would need at least, by arithmetic and by the bytes of the weights. */
static void say_floor(const json_t *own, FILE *out)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], who[REPORT_TEXT_BYTES];
    double step = report_real(own, bench, step_s.median);
    double arithmetic = report_real(own, bench, proof.of_peak);
    double bytes = report_real(own, bench, proof.of_bandwidth);
    double least = fmax(arithmetic, bytes); /* fmax leaves out a NAN */
    sentence s = {0};
    if (!(least > 0)) return;
    sentence_add(&s, "The hardware's floor of a step is %s, by %s; %s takes %s times that.",
                 report_seconds(step * least, a),
                 least == bytes
                     ? isnan(arithmetic)
                           ? "the bytes of its weights alone: its arithmetic is not known"
                           : "the bytes of its weights"
                     : "its arithmetic",
                 contender_who(own, who), report_number(1 / least, b));
    sentence_end(&s, out);
}

void bench_write_reasons(const json_t *records, FILE *out)
{
    const json_t *best = json_array_get(records, 0), *yard = NULL;
    json_t *choices = json_array(), *record; /* what can be chosen: no yardstick */
    size_t i;
    json_array_foreach(records, i, record)
    {
        if (!is_yardstick(record)) json_array_append(choices, record);
        if (is_yardstick(record) && !yard && has_speed(record)) yard = record;
    }
    const json_t *own = json_array_get(choices, 0);
    if (best && has_speed(best)) {
        say_arithmetic(records, out);
        say_phases(records, out);
        say_threads(choices, out);
        say_start(records, out);
    }
    if (own && has_speed(own)) {
        if (yard) say_yardstick(yard, own, out);
        if (!yard && workload_is_file(report_string(own, bench, workload))) say_floor(own, out);
        advise(choices, out);
    }
    json_decref(choices);
}
