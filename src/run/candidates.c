/* Grouping records by who made them. */
#include "run/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double real_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static bool is_cpu(const json_t *record)
{
    const char *device = json_string_value(json_object_get(record, "device"));
    return device && strcmp(device, "cpu") == 0;
}

static bool same(const json_t *a, const json_t *b, const char *name)
{
    const json_t *mine = json_object_get(a, name), *other = json_object_get(b, name);
    return mine || other ? json_equal(mine, other) : true;
}

static bool is_alike(const json_t *a, const json_t *b)
{
    return same(a, b, "workload") && same(a, b, "mode") && same(a, b, "precision") &&
           same(a, b, "data_on");
}

bool candidates_same_place(const json_t *a, const json_t *b)
{
    return same(a, b, "engine") && same(a, b, "device");
}

/* Also of one library: the runner's words say which. */
static bool same_setting(const json_t *a, const json_t *b)
{
    return candidates_same_place(a, b) && same(a, b, "threads") &&
           same(json_object_get(a, "asked"), json_object_get(b, "asked"), "program");
}

static candidate *find(candidates *c, const json_t *record)
{
    for (int i = 0; i < c->count; i++)
        if (same_setting(c->list[i].record, record)) return &c->list[i];
    if (c->count == CANDIDATES_MAX) return NULL;
    candidate *added = &c->list[c->count++];
    *added = (candidate){.record = record};
    return added;
}

static int by_batch(const void *a, const void *b)
{
    double x = ((const advice_sample *)a)->batch, y = ((const advice_sample *)b)->batch;
    return (x > y) - (x < y);
}

static void add_sample(candidate *of, const json_t *record)
{
    const json_t *step = json_object_get(record, "step_s");
    advice_sample sample = {
        .batch = real_of(record, "batch"),
        .step_s = {real_of(step, "median"), real_of(step, "low"), real_of(step, "high")},
        .step_j = real_of(record, "energy_per_step_j"),
        .memory_bytes = real_of(record, "device_memory_bytes"),
    };
    if (isnan(sample.memory_bytes) && is_cpu(record))
        sample.memory_bytes = real_of(record, "peak_rss_bytes");
    double start_s = real_of(record, "start_s") + real_of(record, "prepare_s") +
                     fmax(real_of(record, "first_step_s") - sample.step_s.point, 0);
    of->record = record;
    if (!isnan(start_s) && of->start_count < CANDIDATE_BATCHES_MAX)
        of->starts_s[of->start_count++] = start_s;
    for (int i = 0; i < of->count; i++)
        if (of->samples[i].batch == sample.batch) {
            of->samples[i] = sample;
            return;
        }
    if (of->count < CANDIDATE_BATCHES_MAX) of->samples[of->count++] = sample;
    qsort(of->samples, (size_t)of->count, sizeof of->samples[0], by_batch);
}

static stats_interval start_of(candidate *of)
{
    stats_interval start = {(double)NAN, (double)NAN, (double)NAN};
    double sum_s = 0;
    for (int i = 0; i < of->start_count; i++) {
        sum_s += of->starts_s[i];
        if (!(of->starts_s[i] >= start.low)) start.low = of->starts_s[i];
        if (!(of->starts_s[i] <= start.high)) start.high = of->starts_s[i];
    }
    start.point = sum_s / of->start_count;
    return start;
}

void candidates_collect(candidates *out, const json_t *records, const json_t *like)
{
    size_t i;
    json_t *record;
    out->count = 0;
    json_array_foreach(records, i, record)
    {
        bool measured = !isnan(real_of(json_object_get(record, "step_s"), "median"));
        candidate *of = measured && is_alike(record, like) ? find(out, record) : NULL;
        if (of) add_sample(of, record);
    }
    for (int c = 0; c < out->count; c++) {
        candidate *of = &out->list[c];
        const json_t *machine = json_object_get(of->record, "environment");
        of->advice = (advice_candidate){
            .start_s = start_of(of),
            .samples = of->samples,
            .count = of->count,
            .memory_limit_bytes =
                is_cpu(of->record) ? real_of(machine, "memory_bytes") : (double)NAN,
        };
    }
}

static double cost_of(const candidate *c, advice_goal goal)
{
    return goal == ADVICE_TIME     ? c->estimate.total_s.point
           : goal == ADVICE_ENERGY ? c->estimate.energy_j
                                   : c->estimate.memory_bytes;
}

/* Whether `a` is the better of two settings of one engine on one device. */
static bool is_better(const candidate *a, const candidate *b, advice_goal goal)
{
    double mine = cost_of(a, goal), other = cost_of(b, goal);
    return isnan(other) ? !isnan(mine) : mine < other;
}

void candidates_estimate(candidates *c, const advice_question *question)
{
    int kept = 0;
    for (int i = 0; i < c->count; i++)
        advice_estimate_of(&c->list[i].advice, question, &c->list[i].estimate);
    for (int i = 0; i < c->count; i++) {
        int at = 0;
        while (at < kept && !candidates_same_place(c->list[at].record, c->list[i].record)) at++;
        if (at < kept && !is_better(&c->list[i], &c->list[at], question->goal)) continue;
        c->list[at] = c->list[i];
        c->list[at].advice.samples = c->list[at].samples;
        if (at == kept) kept++;
    }
    c->count = kept;
}

void candidates_choose(const candidates *c, const advice_question *question, advice_choice *out)
{
    advice_candidate all[CANDIDATES_MAX];
    advice_estimate estimates[CANDIDATES_MAX];
    for (int i = 0; i < c->count; i++) {
        all[i] = c->list[i].advice;
        estimates[i] = c->list[i].estimate;
    }
    advice_choose(all, estimates, c->count, question, out);
}
