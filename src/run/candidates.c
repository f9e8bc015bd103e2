/* Grouping records by who made them. */
#include "run/candidates.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"

static bool is_cpu(const record_measured *r)
{
    return strcmp(r->device, "cpu") == 0;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Records from before there were several have none. */
static int64_t turns_of(const record_measured *r)
{
    return r->accumulate > 1 ? r->accumulate : 1;
}

/* Of one training, the dimensions of its model included. */
static bool is_alike(const record_measured *a, const record_measured *b)
{
#define X(id, member, ...) \
    if (a->member != b->member) return false;
    WORKLOAD_VARIANT_LIST(X)
#undef X
    return same(a->workload, b->workload) && same(a->mode, b->mode) &&
           same(a->precision, b->precision) && same(a->data_on, b->data_on) &&
           turns_of(a) == turns_of(b);
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
    candidate *entry = &c->list[c->count++];
    *entry = (candidate){.record = record};
    return entry;
}

/* Where the sample of a batch stands among those by ascending batch, or is to stand; -1: there is
 * no room for it. */
static int place_of(candidate *of, double batch)
{
    int at = 0;
    while (at < of->count && of->samples[at].batch < batch) at++;
    if (at < of->count && of->samples[at].batch == batch) return at;
    if (of->count == CANDIDATE_BATCHES_MAX) return -1;
    for (int i = of->count++; i > at; i--) {
        of->samples[i] = of->samples[i - 1];
        of->sampled[i] = of->sampled[i - 1];
    }
    return at;
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
    int at = place_of(of, sample.batch);
    if (at < 0) return;
    of->samples[at] = sample;
    of->sampled[at] = record;
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
        bool is_measured = !isnan(record->step_s.median);
        candidate *of = is_measured && is_alike(record, like) ? find(out, record) : NULL;
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
    int usable = 0;
    for (int i = 0; i < c->count; i++)
        advice_estimate_of(&c->list[i].advice, question, &c->list[i].estimate);
    for (int i = 0; i < c->count; i++) {
        int at = 0;
        while (at < usable && !candidates_same_place(c->list[at].record, c->list[i].record)) at++;
        if (at < usable && !is_better(&c->list[i], &c->list[at], question->goal)) continue;
        c->list[at] = c->list[i];
        c->list[at].advice.samples = c->list[at].samples;
        if (at == usable) usable++;
    }
    c->count = usable;
}

/* ---------------------------------------------------------------- blocks side by side */

static size_t block_count(const record_measured *r)
{
    return json_array_size(r->blocks);
}

/* All records of a run are made at its end, with one time. */
static bool same_run(const record_measured *a, const record_measured *b)
{
    return a->time > 0 && a->time == b->time && a->batch == b->batch && a->seed == b->seed &&
           block_count(a) && block_count(b);
}

static double speed_of(const record_measured *r)
{
    return (double)r->batch / r->step_s.median;
}

static stats_series series_of(const record_measured *r, double *blocks_s)
{
    for (size_t i = 0; i < block_count(r); i++)
        blocks_s[i] = json_number_value(json_array_get(r->blocks, i));
    return (stats_series){.blocks_s = blocks_s,
                          .count = (int32_t)block_count(r),
                          .batch = (double)r->batch,
                          .samples_per_s = speed_of(r)};
}

/* The slower one against the faster one, as the run itself has held them against each other. */
static be_status compare_blocks(const record_measured *best, const record_measured *second,
                                advice_pair *out, be_error *err)
{
    void *memory = NULL;
    bool turned = speed_of(best) < speed_of(second);
    const record_measured *slow = turned ? best : second, *fast = turned ? second : best;
    TRY(memory_alloc(&memory, (block_count(slow) + block_count(fast)) * sizeof(double), "blocks",
                     err));
    stats_series first = series_of(slow, memory);
    stats_series other = series_of(fast, (double *)memory + block_count(slow));
    be_status status =
        stats_compare(&first, &other, (uint64_t)best->seed, &out->ratio, &out->verdict, err);
    memory_free(memory);
    TRY(status);
    out->batch = (double)best->batch;
    if (turned)
        out->ratio = stats_inverse(&out->ratio);
    else
        out->verdict = stats_verdict_of_other(out->verdict);
    return BE_OK;
}

static be_status find_pairs(const candidate *best, const candidate *second,
                            advice_pair pairs[CANDIDATE_BATCHES_MAX], int *count, be_error *err)
{
    for (int i = 0, k = 0; i < best->count; i++) {
        while (k < second->count && second->samples[k].batch < best->samples[i].batch) k++;
        if (k < second->count && same_run(best->sampled[i], second->sampled[k]))
            TRY(compare_blocks(best->sampled[i], second->sampled[k], &pairs[(*count)++], err));
    }
    return BE_OK;
}

be_status candidates_choose(const candidates *c, const advice_question *question,
                            advice_choice *out, be_error *err)
{
    advice_estimate estimates[CANDIDATES_MAX];
    advice_pair pairs[CANDIDATE_BATCHES_MAX];
    int count = 0;
    for (int i = 0; i < c->count; i++) estimates[i] = c->list[i].estimate;
    advice_choose(estimates, c->count, question->goal, out);
    if (out->second < 0) return BE_OK;
    const candidate *both[] = {&c->list[out->best], &c->list[out->second]};
    const advice_candidate *of[] = {&both[0]->advice, &both[1]->advice};
    const advice_estimate *pair[] = {&both[0]->estimate, &both[1]->estimate};
    TRY(find_pairs(both[0], both[1], pairs, &count, err));
    advice_judge(of, pair, question, pairs, count, out);
    return BE_OK;
}
