/* Grouping records by who made them. */
#include "run/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_cpu(const record_measured *r)
{
    return strcmp(r->device, "cpu") == 0;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Of one training, width and size of its model included. */
static bool is_alike(const record_measured *a, const record_measured *b)
{
    return same(a->workload, b->workload) && same(a->mode, b->mode) &&
           same(a->precision, b->precision) && same(a->data_on, b->data_on) &&
           a->width == b->width && a->size == b->size;
}

bool candidates_same_place(const record_measured *a, const record_measured *b)
{
    return same(a->engine, b->engine) && same(a->device, b->device);
}

/* Also of one library: the runner's words say which. */
static bool same_setting(const record_measured *a, const record_measured *b)
{
    bool program = a->asked.program && b->asked.program
                       ? json_equal(a->asked.program, b->asked.program) == 1
                       : a->asked.program == b->asked.program;
    return candidates_same_place(a, b) && a->threads == b->threads && program;
}

static double known(int64_t count)
{
    return count < 0 ? (double)NAN : (double)count;
}

static candidate *find(candidates *c, const record_measured *record)
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

static void add_sample(candidate *of, const record_measured *record)
{
    const record_step *s = &record->step_s;
    advice_sample sample = {.batch = (double)record->batch,
                            .step_s = {s->median, s->low, s->high},
                            .step_j = record->energy_per_step_j,
                            .memory_bytes = known(record->device_memory_bytes)};
    if (isnan(sample.memory_bytes) && is_cpu(record))
        sample.memory_bytes = known(record->peak_rss_bytes);
    double start_s =
        record->start_s + record->prepare_s + fmax(record->first_step_s - sample.step_s.point, 0);
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

void candidates_collect(candidates *out, const record_set *set, const record_measured *like)
{
    out->count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const record_measured *record = &set->list[i];
        bool measured = !isnan(record->step_s.median);
        candidate *of = measured && is_alike(record, like) ? find(out, record) : NULL;
        if (of) add_sample(of, record);
    }
    for (int c = 0; c < out->count; c++) {
        candidate *of = &out->list[c];
        bool cpu = is_cpu(of->record);
        of->advice = (advice_candidate){
            .start_s = start_of(of),
            .samples = of->samples,
            .count = of->count,
            .memory_limit_bytes = cpu ? known(of->record->environment.memory_bytes) : (double)NAN,
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
