/* Who is held against whom, what their steps are made of, and how sure their difference is: from
 * the records alone. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "measure/stats.h"
#include "report/explain_sides.h"

#define STEADY 1.5      /* times the measured step; one that took longer apart is another step */
#define OPS_BEYOND 1.02 /* ops that take longer than their phases tell nothing of gaps */

const char *const explain_phase_names[EXPLAIN_PHASES] = {
    "data", "upload", "forward", "backward", "optimizer", "loss_read", "idle_host", "idle_other"};

static double rate(const json_t *record)
{
    return explain_has(record) ? report_real(record, bench, samples_per_s) : 0;
}

/* How much two records differ in kind: by device, by engine, by threads alone. */
static int apart(const json_t *a, const json_t *b)
{
    if (strcmp(report_string(a, bench, device), report_string(b, bench, device)) != 0) return 3;
    return strcmp(report_string(a, bench, engine), report_string(b, bench, engine)) != 0 ? 2 : 1;
}

void explain_pair(const json_t *records, int *winner, int *loser)
{
    int count = (int)json_array_size(records);
    *winner = *loser = -1;
    for (int i = 0; i < count; i++) {
        const json_t *record = json_array_get(records, (size_t)i);
        if (rate(record) > (*winner < 0 ? 0 : rate(json_array_get(records, (size_t)*winner))))
            *winner = i;
    }
    for (int i = 0; i < count && *winner >= 0; i++) {
        const json_t *best = json_array_get(records, (size_t)*winner);
        const json_t *record = json_array_get(records, (size_t)i);
        const json_t *now = *loser < 0 ? NULL : json_array_get(records, (size_t)*loser);
        if (i == *winner || !(rate(record) > 0)) continue;
        int kind = apart(best, record), before = now ? apart(best, now) : 0;
        if (kind > before || (kind == before && rate(record) > rate(now))) *loser = i;
    }
}

/* ---------------------------------------------------------------- sides */

static double phase_s(const json_t *record, const char *name)
{
    const json_t *phases = report_member(record, explained, explain.phases_s);
    double seconds = json_real_at(phases, name);
    return seconds > 0 ? seconds : 0;
}

static double rest_s(const json_t *record)
{
    return phase_s(record, "loss_read") + phase_s(record, "idle_other");
}

/* -1: unknown */
static int64_t threads_of(const json_t *record)
{
    const json_t *threads = report_member(record, bench, threads);
    return json_is_integer(threads) ? json_integer_value(threads) : -1;
}

/* The native engine's step on a device without what is a term of its own; NAN if it has none. */
static double native_s(const json_t *records, const char *device, int64_t threads)
{
    double best = NAN;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *other = json_array_get(records, i);
        if (!explain_has(other) || strcmp(report_string(other, bench, engine), "native") != 0 ||
            strcmp(report_string(other, bench, device), device) != 0)
            continue;
        double seconds = report_real(other, explained, explain.wall_s) - phase_s(other, "data") -
                         phase_s(other, "upload") - phase_s(other, "idle_host") - rest_s(other);
        if (threads_of(other) == threads) return seconds;
        best = fmin(best, seconds);
    }
    return best;
}

/* On an accelerator its idling is the gap, a phase; on the CPU what phases take beyond their ops.
 */
static double gap_s(const json_t *record)
{
    size_t i;
    json_t *op;
    double inside = 0;
    const json_t *ops = report_member(record, explained, explain.ops);
    if (strcmp(report_string(record, bench, device), "cpu") != 0)
        return isnan(report_real(record, explained, explain.phases_s.idle_host)) ? (double)NAN : 0;
    double outside =
        phase_s(record, "forward") + phase_s(record, "backward") + phase_s(record, "optimizer");
    json_array_foreach(ops, i, op)
    {
        const char *phase = report_string(op, op, phase);
        bool other = strcmp(phase, "data") == 0 || strcmp(phase, "loss_read") == 0;
        if (!other) inside += report_real(op, op, seconds);
    }
    if (!(inside > 0) || inside > outside * OPS_BEYOND) return NAN;
    return fmax(outside - inside, 0);
}

cause_side explain_side(const json_t *record, const json_t *records)
{
    cause_side side = {.engine = report_string(record, bench, engine),
                       .device = report_string(record, bench, device),
                       .threads = threads_of(record),
                       .step_s = report_real(record, explained, explain.wall_s),
                       .data_s = phase_s(record, "data"),
                       .upload_s = phase_s(record, "upload"),
                       .idle_host_s = phase_s(record, "idle_host"),
                       .rest_s = rest_s(record),
                       .launches = report_real(record, explained, explain.launches),
                       .launch_s = report_real(record, explained, explain.limits.launch_s),
                       .waits = report_real(record, explained, explain.synchronisations),
                       .round_trip_s = report_real(record, explained, explain.limits.round_trip_s),
                       .gap_s = gap_s(record)};
    char peak[64];
    snprintf(peak, sizeof peak, "explain.limits.flops_%s", report_string(record, bench, precision));
    side.arithmetic_s = report_real(record, bench, flops_per_step) / json_real_at(record, peak);
    side.memory_s = report_real(record, bench, bytes_per_step) /
                    report_real(record, explained, explain.limits.memory_bytes_per_s);
    side.native = strcmp(side.engine, "native") == 0;
    side.data_on_host = strcmp(report_string(record, bench, data_on), "host") == 0;
    side.native_s = native_s(records, side.device, side.threads);
    return side;
}

/* ---------------------------------------------------------------- verdicts */

/* How sure it is that `loser` takes longer than `winner`, which ran beside it: its own verdict. */
bool explain_is_steady(const json_t *record)
{
    double times =
        report_real(record, explained, explain.wall_s) / report_real(record, bench, step_s.median);
    return times < STEADY && times > 1 / STEADY;
}

json_t *explain_verdict(const json_t *winner, const json_t *loser)
{
    const json_t *versus = report_member(loser, bench, versus);
    const char *verdict = report_string(versus, versus, verdict);
    bool compared = true;
    const char *const same[] = {MEMBER(versus, engine), MEMBER(versus, device),
                                MEMBER(versus, threads)};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        compared &=
            json_equal(json_object_get(versus, same[i]), json_object_get(winner, same[i])) == 1;
    if (!compared)
        return json_pack("{s:s, s:n, s:s}", "verdict", "UNSURE", "ratio", "reason",
                         "the two were compared with another that could not be taken apart");
    return json_pack("{s:s, s:O, s:O}", "verdict", verdict, "ratio",
                     report_member(versus, versus, ratio), "reason",
                     report_member(versus, versus, reason));
}

/* Of two measurements of one contender, one after the other: by the intervals of their medians. */
json_t *explain_verdict_alone(const json_t *before, const json_t *after)
{
    double batches = report_real(before, bench, batch) / report_real(after, bench, batch);
    stats_interval ratio = {
        report_real(after, bench, step_s.median) / report_real(before, bench, step_s.median) *
            batches,
        report_real(after, bench, step_s.low) / report_real(before, bench, step_s.high) * batches,
        report_real(after, bench, step_s.high) / report_real(before, bench, step_s.low) * batches};
    stats_verdict verdict = stats_judge(&ratio);
    const char *reason = verdict == STATS_UNSURE ? "the intervals of the two overlap" : NULL;
    return json_pack("{s:s, s:o, s:s?}", "verdict", stats_verdict_name(verdict), "ratio",
                     json_of_real(ratio.point), "reason", reason);
}
