/* The cause in words. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "machine/load.h"
#include "report/contender.h"
#include "report/explain.h"
#include "report/explain_sides.h"
#include "report/sentence.h"

/* What a kind of cause means, said of the one who pays for it. */
typedef struct meaning {
    const char *kind;
    const char *versus; /* after "NAME loses by R: SECONDS of the DIFFERENCE a step " */
    const char *alone;  /* after "SECONDS of the STEP step " */
} meaning;

static const meaning meanings[] = {
    {"launches", "are launches and waiting for them", "are launches and waiting for them"},
    {"framework",
     "are what the framework and its kernels take beyond the native engine on the same device",
     "are the framework and its kernels"},
    {"between ops",
     "are the framework between its ops, beyond what the native engine takes on the same device",
     "are the framework between its ops"},
    {"framework kernels",
     "are kernels that take longer than those of the native engine on the same device",
     "are kernels that take longer than those of the native engine"},
    {"data", "are gathering and normalising the batch", "are gathering and normalising the batch"},
    {"arithmetic", "are arithmetic at the most that its hardware can do",
     "are arithmetic at the most that the hardware can do"},
    {"memory", "are memory traffic at the most that its hardware can move",
     "are memory traffic at the most that the hardware can move"},
    {"kernels", "are kernels that stay below what the hardware can do",
     "are kernels that stay below what the hardware can do"},
    {"upload", "are copies to the device that nothing hides",
     "are copies to the device that nothing hides"},
    {"host", "are the device idling, waiting for the host",
     "are the device idling, waiting for the host"},
    {"rest", "are reading losses and other idling", "are reading losses and other idling"},
    {"more threads", "are work that more threads share", ""},
    {"fewer threads", "are what sharing so little work among threads costs", ""},
};

static const meaning *meaning_of(const char *kind)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (strcmp(meanings[i].kind, kind) == 0) return &meanings[i];
    return &meanings[0];
}

static const char *times_text(double ratio, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, ratio < 9.95 ? "%.2f%s" : "%.0f%s", ratio, report_times());
    return out;
}

static void say_versus(sentence *s, const json_t *winner, const json_t *loser)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], c[REPORT_TEXT_BYTES];
    const char *kind = report_string(winner, explained, cause.kind);
    double launches = report_real(loser, explained, explain.launches);
    contender_who(loser, a);
    sentence_add(s, "why: %s loses to %s by ", a, contender_who(winner, b));
    sentence_add(s, "%s: ", times_text(report_real(winner, explained, cause.ratio), a));
    double difference = report_real(loser, explained, explain.wall_s) -
                        report_real(winner, explained, explain.wall_s);
    double loss = report_real(winner, explained, cause.seconds);
    report_seconds(loss, a);
    if (strcmp(kind, "launches") == 0 && launches > 0) {
        sentence_add(s, "%.0f launches and the waiting for them cost %s of its %s step", launches,
                     report_seconds(report_real(winner, explained, cause.loser.launches), c),
                     report_seconds(report_real(loser, explained, explain.wall_s), b));
    } else if (loss <= difference * 1.05) {
        sentence_add(s, "%s of the %s more %s", a, report_seconds(difference, b),
                     meaning_of(kind)->versus);
    } else {
        sentence_add(s, "%s %s; elsewhere it is faster", a, meaning_of(kind)->versus);
    }
    sentence_add(s, ".");
}

/* Without a verdict there is no cause. */
static void say_unsure(sentence *s, const json_t *winner, const json_t *loser)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], c[REPORT_TEXT_BYTES];
    const char *reason = report_string(winner, explained, cause.reason);
    contender_who(winner, a);
    contender_who(loser, b);
    if (strcmp(report_string(winner, explained, cause.verdict), "SAME") == 0)
        sentence_add(
            s,
            "why: %s and %s are too close to tell why: a sample takes the one %s as long as the "
            "other.",
            b, a, times_text(report_real(winner, explained, cause.ratio), c));
    else
        sentence_add(s, "why: %s and %s are too noisy to tell why: %s.", b, a,
                     *reason
                         ? reason
                         : "their medians and the ratio of their blocks contradict one another");
}

/* More threads lose where the work is too little to share, or where others have the processors. */
static void add_slower(sentence *s, const json_t *other, bool more_threads, double by)
{
    char ratio[REPORT_TEXT_BYTES];
    double load = report_real(other, bench, other_load);
    sentence_add(s, "takes %s as long", times_text(by, ratio));
    if (more_threads && load > LOAD_BUSY)
        sentence_add(s, ", while other programs had %.0f %% of the processors.", 100 * load);
    else
        sentence_add(s, "%s",
                     more_threads ? ": sharing so little work costs more than it brings." : ".");
}

/* The other number of threads of the one that wins, which has no bar of its own. */
static void say_threads(sentence *s, const json_t *records, const json_t *winner)
{
    size_t i;
    json_t *other;
    double mine = report_real(winner, bench, threads);
    json_array_foreach(records, i, other)
    {
        double theirs = report_real(other, bench, threads),
               by = report_real(other, bench, versus.ratio);
        const char *verdict = report_string(other, bench, versus.verdict);
        bool same = theirs != mine && report_real(other, bench, versus.threads) == mine;
        const char *engine = report_string(winner, bench, engine);
        const char *device = report_string(winner, bench, device);
        same = same && !strcmp(report_string(other, bench, engine), engine) &&
               !strcmp(report_string(other, bench, device), device) &&
               !strcmp(report_string(other, bench, versus.engine), engine) &&
               !strcmp(report_string(other, bench, versus.device), device);
        if (!same || explain_has(other)) continue;
        sentence_add(s, " With %.0f thread%s instead of %.0f, ", theirs, theirs > 1 ? "s" : "",
                     mine);
        sentence_add(s, "%s ", contender_title(winner));
        if (strcmp(verdict, "SAME") == 0)
            sentence_add(s, "is as fast.");
        else if (strcmp(verdict, "SLOWER") == 0)
            add_slower(s, other, theirs > mine, by);
        else
            sentence_add(s, "may be slower or not: too noisy to tell.");
    }
}

static void say_alone(sentence *s, const json_t *winner)
{
    char a[REPORT_TEXT_BYTES], b[REPORT_TEXT_BYTES], who[REPORT_TEXT_BYTES];
    double step = report_real(winner, explained, explain.wall_s),
           least = report_real(winner, explained, explain.floor_s);
    sentence_add(s, "why: nothing competes with %s", contender_who(winner, who));
    if (!*report_string(winner, explained, cause.kind)) {
        sentence_add(s, ", but it is too noisy to tell where its time goes: %s.",
                     report_string(winner, explained, cause.reason));
        return;
    }
    const char *kind = report_string(winner, explained, cause.kind);
    bool known = least > 1e-9, judged = known || strcmp(kind, "kernels") != 0;
    sentence_add(s, ". ");
    sentence_add(s, "%s of its %s step %s",
                 report_seconds(report_real(winner, explained, cause.seconds), a),
                 report_seconds(step, b),
                 judged ? meaning_of(kind)->alone
                        : "are kernels; how far they stay below what the hardware can do is not "
                          "known, as the arithmetic of the step is not");
    if (known)
        sentence_add(s, "; the step is %s the hardware's floor of %s", times_text(step / least, a),
                     report_seconds(least, b));
    sentence_add(s, ".");
}

static void say_condition(sentence *s, const json_t *attempt)
{
    const char *action = report_string(attempt, trial, action);
    if (strcmp(action, "batch") == 0)
        sentence_add(s, "at batch %.0f", report_real(attempt, trial, batch));
    else if (strcmp(action, "one thread") == 0)
        sentence_add(s, "with 1 thread");
    else if (strcmp(action, "library") == 0)
        sentence_add(s, "with kernels of %s", report_string(attempt, trial, implementation));
    else
        sentence_add(s, "with the %s", action);
}

/* By the trial's own verdict; its ratio is that of the time of a sample: the loser's to the
 * winner's. */
static void say_outcome(sentence *s, const json_t *attempt, bool alone)
{
    char text[REPORT_TEXT_BYTES];
    const char *verdict = report_string(attempt, trial, verdict);
    double ratio = report_real(attempt, trial, ratio);
    if (!isfinite(ratio)) {
        sentence_add(s, " it could not be measured.");
    } else if (strcmp(verdict, "SLOWER") == 0) {
        sentence_add(s,
                     alone ? " a sample takes %s as long."
                     : isfinite(report_real(attempt, trial, flip_batch))
                         ? " it still loses by %s: the prediction was wrong."
                         : " it still loses by %s.",
                     times_text(ratio, text));
    } else if (strcmp(verdict, "FASTER") == 0) {
        sentence_add(s, alone ? " it is %s as fast." : " it wins by %s.",
                     times_text(1 / ratio, text));
    } else if (strcmp(verdict, "SAME") == 0) {
        sentence_add(s, alone ? " it is as fast as before." : " both are equally fast.");
    } else {
        const char *reason = report_string(attempt, trial, reason);
        sentence_add(s, " too noisy to tell%s%s.", *reason ? ": " : "", reason);
    }
}

static void say_tried(sentence *s, const json_t *winner, bool alone)
{
    const json_t *attempt = report_member(winner, explained, cause.tried);
    double flip = report_real(attempt, trial, flip_batch);
    if (!json_is_object(attempt)) return;
    if (isfinite(flip)) sentence_add(s, " By these numbers it flips at batch %.0f.", flip);
    sentence_add(s, " Tried: ");
    say_condition(s, attempt);
    if (*report_string(attempt, trial, error))
        sentence_add(s, " it failed: %s", report_string(attempt, trial, error));
    else
        say_outcome(s, attempt, alone);
}

void explain_words(const json_t *records, FILE *out)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        sentence s = {0};
        if (!json_is_object(report_member(record, explained, cause))) continue;
        double index = report_real(record, explained, cause.loser_index);
        const json_t *loser = index >= 0 ? json_array_get(records, (size_t)index) : NULL;
        if (!loser)
            say_alone(&s, record);
        else if (strcmp(report_string(record, explained, cause.verdict), "SLOWER") == 0)
            say_versus(&s, record, loser);
        else
            say_unsure(&s, record, loser);
        say_tried(&s, record, !loser);
        say_threads(&s, records, record);
        report_paragraph(out, s.text, 2);
    }
}
