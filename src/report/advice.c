/* The advice as a table and as sentences. */
#include "report/advice.h"

#include <math.h>
#include <string.h>

#include "report/contender.h"
#include "report/scaling.h"
#include "report/sentence.h"
#include "report/warnings.h"

/* ---------------------------------------------------------------- the table */

static const char *total_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    if (json_is_false(report_member(record, candidate, in_range)))
        return strcpy(out, "not measured");
    if (json_is_false(report_member(record, candidate, fits))) return strcpy(out, "does not fit");
    return report_seconds(report_real(record, candidate, total_s.point), out);
}

static const char *basis_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    bool is_measured = report_is(record, candidate, measured);
    bool in_range = report_is(record, candidate, in_range);
    return strcpy(out, is_measured ? "measured" : in_range ? "interpolated" : "-");
}

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s", contender_title(record));
    return out;
}

static const char *energy_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double joules = report_real(record, candidate, energy_j);
    if (isnan(joules)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.3g J", joules);
    return out;
}

static const report_column columns[] = {
    {MEMBER(candidate, engine), "engine", UNIT_TEXT, engine_text},
    {MEMBER(candidate, device), "device", UNIT_TEXT, NULL},
    {MEMBER(candidate, threads), "threads", UNIT_COUNT, NULL},
    {MEMBER(candidate, step_s.point), "step", UNIT_SECONDS, NULL},
    {MEMBER(candidate, start_s.point), "start", UNIT_SECONDS, NULL},
    {MEMBER(candidate, total_s.point), "in all", UNIT_SECONDS, total_text},
    {MEMBER(candidate, energy_j), "energy", UNIT_NUMBER, energy_text},
    {MEMBER(candidate, memory_bytes), "memory", UNIT_BYTES, NULL},
    {MEMBER(candidate, measured), "step is", UNIT_TEXT, basis_text},
    {MEMBER(candidate, total_s.low), NULL, UNIT_SECONDS, NULL},
    {MEMBER(candidate, total_s.high), NULL, UNIT_SECONDS, NULL},
    {MEMBER(candidate, held_out), NULL, UNIT_NUMBER, NULL},
    {MEMBER(candidate, standing), NULL, UNIT_TEXT, NULL},
};

/* ---------------------------------------------------------------- sentences */

static const json_t *standing(const json_t *advice, const char *word)
{
    size_t i;
    json_t *record;
    json_array_foreach(report_member(advice, advice, candidates), i,
                       record) if (strcmp(report_string(record, candidate, standing), word) ==
                                   0) return record;
    return NULL;
}

static bool is_goal(const json_t *advice, const char *goal)
{
    return strcmp(report_string(advice, advice, goal), goal) == 0;
}

/* The cost of a candidate by the goal: "12.6 s", "310 J", "66.7 MiB". */
static const char *cost_text(const json_t *advice, const json_t *record,
                             char out[REPORT_TEXT_BYTES])
{
    if (is_goal(advice, "energy")) return energy_text(record, out);
    if (is_goal(advice, "memory"))
        return report_bytes(report_real(record, candidate, memory_bytes), out);
    return report_seconds(report_real(record, candidate, total_s.point), out);
}

/* ", 12.1 s to 13.2 s, 20 ms of it to start" */
static void add_bounds(sentence *p, const json_t *record)
{
    char low[REPORT_TEXT_BYTES], high[REPORT_TEXT_BYTES], start[REPORT_TEXT_BYTES];
    double least = report_real(record, candidate, total_s.low),
           longest = report_real(record, candidate, total_s.high);
    report_seconds(least, low);
    report_seconds(longest, high);
    if (isnan(least) || isnan(longest))
        sentence_add(p, " (without an interval: too few settings were measured)");
    else if (strcmp(low, high) != 0)
        sentence_add(p, " (%s to %s)", low, high);
    sentence_add(p, ", %s of it to start",
                 report_seconds(report_real(record, candidate, start_s.point), start));
}

static void say_best(const json_t *advice, const json_t *best, FILE *out)
{
    char who[REPORT_TEXT_BYTES], cost[REPORT_TEXT_BYTES], steps[REPORT_TEXT_BYTES];
    double epochs = report_real(advice, advice, epochs);
    sentence p = {0};
    sentence_add(&p, "advice: train %s at batch %.0f for ", report_string(advice, advice, workload),
                 report_real(advice, advice, batch));
    if (!isnan(epochs)) sentence_add(&p, "%.4g epoch%s, ", epochs, epochs == 1 ? "" : "s");
    sentence_add(&p, "%s steps, with %s: %s",
                 report_count(report_real(advice, advice, steps), steps), contender_who(best, who),
                 cost_text(advice, best, cost));
    if (is_goal(advice, "time")) add_bounds(&p, best);
    sentence_add(&p, ".");
    sentence_end(&p, out);
}

static bool has_verdict(const json_t *advice, const char *verdict)
{
    return strcmp(report_string(advice, advice, verdict), verdict) == 0;
}

static bool has_step_verdict(const json_t *advice, const char *verdict)
{
    return strcmp(report_string(advice, advice, step.verdict), verdict) == 0;
}

/* Whether it is sure which of the two takes less time for a step. */
static bool step_is_sure(const json_t *advice)
{
    return has_step_verdict(advice, "FASTER") || has_step_verdict(advice, "SLOWER");
}

/* " (1.1 to 1.3)" */
static void add_interval(sentence *p, const json_t *ratio)
{
    if (!isnan(report_real(ratio, bounds, low)))
        sentence_add(p, " (%.3g to %.3g)", report_real(ratio, bounds, low),
                     report_real(ratio, bounds, high));
}

/* The costs in the table are those of medians.  Where the machine's speed changed meanwhile, the
 * blocks that were taken side by side tell another ratio, and that is the one that holds. */
static void add_how(sentence *p, const json_t *advice)
{
    const json_t *best = standing(advice, "best"), *second = standing(advice, "runner-up");
    bool energy = is_goal(advice, "energy");
    double medians =
        energy ? report_real(second, candidate, energy_j) / report_real(best, candidate, energy_j)
               : report_real(second, candidate, total_s.point) /
                     report_real(best, candidate, total_s.point);
    bool apart = medians < report_real(advice, advice, ratio.low) ||
                 medians > report_real(advice, advice, ratio.high);
    if (report_is(advice, advice, step.paired) && apart)
        sentence_add(p, " by blocks side by side, as the machine's speed changed meanwhile");
}

/* The runner-up surely costs more. */
static void add_sure(sentence *p, const json_t *advice, const json_t *second)
{
    char who[REPORT_TEXT_BYTES], cost[REPORT_TEXT_BYTES], start[REPORT_TEXT_BYTES];
    sentence_add(p, "The runner-up, %s, takes %s: %.3g times as much", contender_who(second, who),
                 cost_text(advice, second, cost), report_real(advice, advice, ratio.point));
    if (!is_goal(advice, "memory")) {
        add_interval(p, report_member(advice, advice, ratio));
        add_how(p, advice);
    }
    if (is_goal(advice, "time") && !step_is_sure(advice))
        sentence_add(p, ", by the %s that it takes to start",
                     report_seconds(report_real(second, candidate, start_s.point), start));
    sentence_add(p, ".");
}

/* The steps differ, and so short a training has more of its start than of them. */
static void add_short(sentence *p, const json_t *advice, const json_t *second)
{
    char who[REPORT_TEXT_BYTES], cost[REPORT_TEXT_BYTES];
    sentence_add(p, "Per step %s takes %.3g times as long", contender_who(second, who),
                 report_real(advice, advice, step.point));
    add_interval(p, report_member(advice, advice, step));
    sentence_add(p,
                 ", but in so short a training the start-ups weigh as much: it takes %s in all, "
                 "%.3g times as much, between %.3g and %.3g; take either, or train longer.",
                 cost_text(advice, second, cost), report_real(advice, advice, ratio.point),
                 report_real(advice, advice, ratio.low), report_real(advice, advice, ratio.high));
}

static void add_close(sentence *p, const json_t *advice, const json_t *second)
{
    char who[REPORT_TEXT_BYTES], cost[REPORT_TEXT_BYTES];
    sentence_add(p,
                 "It is too close to call: %s takes %s, %.3g times as much, between %.3g and "
                 "%.3g; take either%s.",
                 contender_who(second, who), cost_text(advice, second, cost),
                 report_real(advice, advice, ratio.point), report_real(advice, advice, ratio.low),
                 report_real(advice, advice, ratio.high),
                 has_verdict(advice, "SAME") ? "" : ", or measure longer with --max-time");
}

static void say_second(const json_t *advice, const json_t *second, FILE *out)
{
    char who[REPORT_TEXT_BYTES], cost[REPORT_TEXT_BYTES];
    sentence p = {0};
    if (!second)
        sentence_add(
            &p, "There is nothing to compare it with: 'breakeven devices' lists what is usable.");
    else if (has_verdict(advice, "FASTER"))
        add_sure(&p, advice, second);
    else if (isnan(report_real(advice, advice, ratio.low)))
        sentence_add(
            &p,
            "The runner-up, %s, takes %s: %.3g times as much, by how sure a margin is not known.",
            contender_who(second, who), cost_text(advice, second, cost),
            report_real(advice, advice, ratio.point));
    else if (is_goal(advice, "time") && step_is_sure(advice))
        add_short(&p, advice, second);
    else
        add_close(&p, advice, second);
    sentence_end(&p, out);
}

/* The training length at which the two change places.  Nothing is told that the verdicts on the
 * steps and on the whole do not say. */
static void add_length_flip(sentence *p, const json_t *advice, const json_t *best,
                            const json_t *second)
{
    char who[REPORT_TEXT_BYTES], count[REPORT_TEXT_BYTES], units[REPORT_TEXT_BYTES];
    double flip = report_real(advice, advice, flip.samples);
    double each = report_real(advice, advice, samples) / report_real(advice, advice, epochs);
    bool best_is_quick = has_step_verdict(advice, "FASTER");
    bool start_is_sure = report_is(advice, advice, flip.start_sure);
    if (!is_goal(advice, "time")) return;
    if (!step_is_sure(advice)) {
        if (has_verdict(advice, "FASTER"))
            sentence_add(p, "Which of the two takes less time per step is not sure.");
        return;
    }
    if (!has_verdict(advice, "FASTER")) {
        sentence_add(p, "A longer training goes to %s, which takes less time per step.",
                     contender_who(best_is_quick ? best : second, who));
        return;
    }
    if (isnan(flip) || !start_is_sure) {
        sentence_add(p, !best_is_quick  ? "A longer training may go to the runner-up."
                        : start_is_sure ? "However long the training, that stays."
                                        : "A longer training does not change that.");
        return;
    }
    sentence_add(p, "A training of %s than about %s %s", best_is_quick ? "fewer" : "more",
                 report_count(flip, count),
                 report_samples(report_string(advice, advice, workload), units));
    if (!isnan(each)) sentence_add(p, " (%.3g epochs)", flip / each);
    sentence_add(p, " goes to %s, which %s.", contender_who(second, who),
                 best_is_quick ? "starts sooner" : "takes less time per step");
}

static void add_batch_flips(sentence *p, const json_t *advice)
{
    const json_t *batches = report_member(advice, advice, flip.batches);
    double low = report_real(advice, advice, flip.batch_low),
           high = report_real(advice, advice, flip.batch_high);
    bool sure = report_is(advice, advice, flip.sure);
    size_t count = json_array_size(batches);
    if (isnan(low)) return;
    if (!count) {
        sentence_add(p,
                     sure ? " From batch %.0f to %.0f the two do not change places."
                          : " Whether the two change places from batch %.0f to %.0f is not sure.",
                     low, high);
        return;
    }
    sentence_add(p, " Between batch %.0f and %.0f they%s change places at about batch", low, high,
                 sure ? "" : " may");
    for (size_t i = 0; i < count; i++)
        sentence_add(p, "%s %.0f", i ? "," : "", json_number_value(json_array_get(batches, i)));
    sentence_add(p, "; 'breakeven sweep' finds it exactly.");
}

static void say_basis(const json_t *advice, const json_t *best, FILE *out)
{
    sentence p = {0};
    double error = report_real(best, candidate, held_out);
    const char *from = report_string(advice, advice, from);
    if (*from)
        sentence_add(&p, "Nothing was measured now: this is from %s. ",
                     strcmp(from, "-") ? from : "standard input");
    if (!report_is(best, candidate, measured)) {
        sentence_add(
            &p, "Batch %.0f was not measured; its step is interpolated between batches that were",
            report_real(advice, advice, batch));
        if (isnan(error))
            sentence_add(&p, ", too few of them to say how well");
        else
            sentence_add(&p, ". Measured batches that were left out came within %.2g %%",
                         100 * error);
        sentence_add(&p, ".");
    }
    sentence_end(&p, out);
}

static const char *failure_of(const json_t *record)
{
    return report_string(record, candidate, error);
}

void advice_write_sentences(const json_t *advice, FILE *out)
{
    const json_t *best = standing(advice, "best"), *second = standing(advice, "runner-up");
    sentence p = {0};
    warnings_write_texts(report_member(advice, advice, failed), failure_of, " is out: ", out);
    if (!best) {
        sentence_add(&p, "advice: none; no candidate is known at batch %.0f%s.",
                     report_real(advice, advice, batch),
                     is_goal(advice, "energy") ? ", or none has a sensor of energy" : "");
        sentence_end(&p, out);
        return;
    }
    say_best(advice, best, out);
    say_second(advice, second, out);
    if (second) add_length_flip(&p, advice, best, second);
    if (second) add_batch_flips(&p, advice);
    sentence_end(&p, out);
    say_basis(advice, best, out);
}

be_status advice_write(const json_t *advice, report_format format, FILE *out, be_error *err)
{
    json_t *whole = json_array();
    json_array_append(whole, (json_t *)advice);
    bool tabular = format == REPORT_TABLE || format == REPORT_MD || format == REPORT_CSV;
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0],
                          tabular ? report_member(advice, advice, candidates) : whole, 0};
    be_status status = report_write(&sheet, format, out, err);
    json_decref(whole);
    TRY(status);
    if (format != REPORT_TABLE && format != REPORT_MD) return BE_OK;
    fprintf(out, "\n");
    advice_write_sentences(advice, out);
    const json_t *scaling = report_member(advice, advice, scaling);
    if (!json_is_object(scaling)) return BE_OK;
    fprintf(out, "\n");
    return scaling_write(scaling, format, out, err);
}
