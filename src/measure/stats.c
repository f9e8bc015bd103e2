/* Medians, bootstrap intervals, the ratio of interleaved series, the verdict. */
#include "measure/stats.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/rng.h"

#define STATS_LOW 0.025
#define STATS_HIGH 0.975
#define STATS_FEW_ROUNDS 6 /* the first count at which the extremes cover a median with 95 % */

const char *stats_verdict_name(stats_verdict verdict)
{
    static const char *const names[] = {
#define X(name, text) #name,
        STATS_VERDICT_LIST(X)
#undef X
    };
    return names[verdict];
}

stats_verdict stats_verdict_of_other(stats_verdict verdict)
{
    return verdict == STATS_FASTER   ? STATS_SLOWER
           : verdict == STATS_SLOWER ? STATS_FASTER
                                     : verdict;
}

static int stats_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double stats_quantile(const double *sorted, int32_t count, double q)
{
    double place = q * (count - 1);
    int32_t below = (int32_t)place;
    if (below >= count - 1) return sorted[count - 1];
    return sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]);
}

/* A sorted copy; the caller frees it with memory_free. */
static be_status stats_sorted(const double *values, int32_t count, double **out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)count * sizeof **out, "sorted times", err));
    memcpy(memory, values, (size_t)count * sizeof **out);
    qsort(memory, (size_t)count, sizeof **out, stats_ascending);
    *out = memory;
    return BE_OK;
}

be_status stats_median(const double *values, int32_t count, double *out, be_error *err)
{
    double *sorted = NULL;
    if (count < 1) FAIL(err, BE_USAGE, "median: expected at least 1 value, found %d", (int)count);
    TRY(stats_sorted(values, count, &sorted, err));
    *out = stats_quantile(sorted, count, 0.5);
    memory_free(sorted);
    return BE_OK;
}

/* Draw `count` positions of 0 … count - 1 and count how often each came. */
static void stats_resample(rng_key key, uint64_t resample, int32_t count, int32_t *times)
{
    memset(times, 0, (size_t)count * sizeof *times);
    uint64_t blocks = ((uint64_t)count + 3) / 4;
    for (uint64_t b = 0; b < blocks; b++) {
        uint32_t words[4];
        rng_block(key, resample * blocks + b, words);
        for (int w = 0; w < 4 && (int64_t)(4 * b) + w < count; w++)
            times[((uint64_t)words[w] * (uint64_t)count) >> 32]++;
    }
}

/* Median of the resample that holds sorted[i] times[i] times. */
static double stats_counted_median(const double *sorted, const int32_t *times, int32_t count)
{
    int32_t upper = count / 2, lower = (count - 1) / 2, below = 0, i = 0;
    while (below + times[i] <= lower) below += times[i++];
    double low = sorted[i];
    while (below + times[i] <= upper) below += times[i++];
    return 0.5 * (low + sorted[i]);
}

/* The percentile bootstrap of the median of sorted values. */
static be_status stats_bootstrap(const double *sorted, int32_t count, uint64_t seed,
                                 stats_interval *out, be_error *err)
{
    void *memory = NULL;
    size_t medians_bytes = STATS_RESAMPLES * sizeof(double);
    TRY(memory_alloc(&memory, medians_bytes + (size_t)count * sizeof(int32_t), "bootstrap", err));
    double *medians = memory;
    int32_t *times = (int32_t *)((char *)memory + medians_bytes);
    rng_key key = {.seed = seed, .stream = RNG_BOOTSTRAP};
    for (int r = 0; r < STATS_RESAMPLES; r++) {
        stats_resample(key, (uint64_t)r, count, times);
        medians[r] = stats_counted_median(sorted, times, count);
    }
    qsort(medians, STATS_RESAMPLES, sizeof *medians, stats_ascending);
    out->low = stats_quantile(medians, STATS_RESAMPLES, STATS_LOW);
    out->high = stats_quantile(medians, STATS_RESAMPLES, STATS_HIGH);
    memory_free(memory);
    return BE_OK;
}

be_status stats_summarize(const double *values, int32_t count, uint64_t seed, stats_summary *out,
                          be_error *err)
{
    if (count < 1) FAIL(err, BE_USAGE, "summary: expected at least 1 time, found %d", (int)count);
    for (int32_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            FAIL(err, BE_NUMERIC, "summary: expected finite times, found %g as number %d of %d",
                 values[i], (int)i + 1, (int)count);
    double *sorted = NULL;
    TRY(stats_sorted(values, count, &sorted, err));
    *out = (stats_summary){
        .count = count,
        .median = {.point = stats_quantile(sorted, count, 0.5), .low = NAN, .high = NAN},
        .minimum = sorted[0],
        .p05 = stats_quantile(sorted, count, 0.05),
        .p25 = stats_quantile(sorted, count, 0.25),
        .p75 = stats_quantile(sorted, count, 0.75),
        .p95 = stats_quantile(sorted, count, 0.95),
        .maximum = sorted[count - 1],
    };
    if (out->median.point > 0) out->spread = (out->p95 - out->p05) / out->median.point;
    be_status status = BE_OK;
    if (count > 1) status = stats_bootstrap(sorted, count, seed, &out->median, err);
    memory_free(sorted);
    return status;
}

/* The extremes of all first[i] / second[j]. */
static void stats_extremes(const double *first, const double *second, int32_t rounds,
                           stats_interval *out)
{
    double low[2] = {first[0], second[0]}, high[2] = {first[0], second[0]};
    for (int32_t r = 1; r < rounds; r++) {
        low[0] = fmin(low[0], first[r]);
        high[0] = fmax(high[0], first[r]);
        low[1] = fmin(low[1], second[r]);
        high[1] = fmax(high[1], second[r]);
    }
    out->low = low[0] / high[1];
    out->high = high[0] / low[1];
}

be_status stats_ratio(const double *first, const double *second, int32_t rounds, uint64_t seed,
                      stats_interval *out, be_error *err)
{
    if (rounds < 1) FAIL(err, BE_USAGE, "ratio: expected at least 1 round, found %d", (int)rounds);
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)rounds * sizeof(double), "ratios", err));
    double *logs = memory;
    for (int32_t r = 0; r < rounds; r++) {
        logs[r] = log(first[r]) - log(second[r]);
        if (isfinite(logs[r]) && first[r] > 0 && second[r] > 0) continue;
        memory_free(memory);
        FAIL(err, BE_NUMERIC, "ratio: expected finite, positive times, found %g and %g in round %d",
             first[r], second[r], (int)r + 1);
    }
    qsort(logs, (size_t)rounds, sizeof *logs, stats_ascending);
    *out =
        (stats_interval){.point = exp(stats_quantile(logs, rounds, 0.5)), .low = NAN, .high = NAN};
    be_status status = BE_OK;
    if (rounds >= STATS_FEW_ROUNDS) {
        status = stats_bootstrap(logs, rounds, seed, out, err);
        out->low = exp(out->low);
        out->high = exp(out->high);
    } else if (rounds >= 2) {
        stats_extremes(first, second, rounds, out);
    }
    memory_free(memory);
    return status;
}

/* The logarithms of a series of positive times, ascending, and the medians of their resamples. */
typedef struct stats_apart {
    double *logs, medians[STATS_RESAMPLES];
} stats_apart;

static be_status stats_take_apart(const stats_series *series, uint64_t seed, stats_apart *out,
                                  be_error *err)
{
    void *times = NULL;
    if (series->count < 1) FAIL(err, BE_USAGE, "ratio: expected at least 1 time, found none");
    TRY(stats_sorted(series->blocks_s, series->count, &out->logs, err));
    for (int32_t i = 0; i < series->count; i++) {
        if (!(isfinite(out->logs[i]) && out->logs[i] > 0))
            FAIL(err, BE_NUMERIC, "ratio: expected finite, positive times, found %g", out->logs[i]);
        out->logs[i] = log(out->logs[i] / series->batch);
    }
    TRY(memory_alloc(&times, (size_t)series->count * sizeof(int32_t), "bootstrap", err));
    rng_key key = {.seed = seed, .stream = RNG_BOOTSTRAP};
    for (int r = 0; r < STATS_RESAMPLES; r++) {
        stats_resample(key, (uint64_t)r, series->count, times);
        out->medians[r] = stats_counted_median(out->logs, times, series->count);
    }
    memory_free(times);
    return BE_OK;
}

static void stats_divide(stats_apart *first, int32_t count, stats_apart *second, int32_t others,
                         stats_interval *out)
{
    *out = (stats_interval){.point = exp(stats_quantile(first->logs, count, 0.5) -
                                         stats_quantile(second->logs, others, 0.5)),
                            .low = NAN,
                            .high = NAN};
    int32_t least = count < others ? count : others;
    if (least < 2) return;
    if (least < STATS_FEW_ROUNDS) {
        out->low = exp(first->logs[0] - second->logs[others - 1]);
        out->high = exp(first->logs[count - 1] - second->logs[0]);
        return;
    }
    double *ratios = first->medians;
    for (int r = 0; r < STATS_RESAMPLES; r++) ratios[r] -= second->medians[r];
    qsort(ratios, STATS_RESAMPLES, sizeof *ratios, stats_ascending);
    out->low = exp(stats_quantile(ratios, STATS_RESAMPLES, STATS_LOW));
    out->high = exp(stats_quantile(ratios, STATS_RESAMPLES, STATS_HIGH));
}

be_status stats_ratio_apart(const stats_series *first, const stats_series *second, uint64_t seed,
                            stats_interval *out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, 2 * sizeof(stats_apart), "ratios", err));
    stats_apart *apart = memory;
    be_status status = stats_take_apart(first, seed, &apart[0], err);
    /* Another seed: the two must not be resampled alike. */
    if (status == BE_OK) status = stats_take_apart(second, ~seed, &apart[1], err);
    if (status == BE_OK) stats_divide(&apart[0], first->count, &apart[1], second->count, out);
    memory_free(apart[0].logs);
    memory_free(apart[1].logs);
    memory_free(memory);
    return status;
}

stats_verdict stats_judge(const stats_interval *ratio)
{
    bool beyond = ratio->point > 1 + STATS_SAME_BAND || ratio->point < 1 / (1 + STATS_SAME_BAND);
    if (beyond && ratio->high < 1) return STATS_FASTER;
    if (beyond && ratio->low > 1) return STATS_SLOWER;
    bool narrow = ratio->low > 1 / (1 + STATS_MATTERS) && ratio->high < 1 + STATS_MATTERS;
    return !beyond && narrow ? STATS_SAME : STATS_UNSURE;
}

stats_interval stats_inverse(const stats_interval *ratio)
{
    return (stats_interval){1 / ratio->point, 1 / ratio->high, 1 / ratio->low};
}

bool stats_contradicts(const stats_series *first, const stats_series *second,
                       const stats_interval *ratio)
{
    stats_verdict verdict = stats_judge(ratio);
    return (verdict == STATS_FASTER && !(first->samples_per_s > second->samples_per_s)) ||
           (verdict == STATS_SLOWER && !(first->samples_per_s < second->samples_per_s));
}

be_status stats_compare(const stats_series *first, const stats_series *second, uint64_t seed,
                        stats_interval *ratio, stats_verdict *verdict, be_error *err)
{
    int32_t rounds = first->count < second->count ? first->count : second->count;
    TRY(stats_ratio(first->blocks_s, second->blocks_s, rounds, seed, ratio, err));
    double batches = second->batch / first->batch;
    *ratio = (stats_interval){ratio->point * batches, ratio->low * batches, ratio->high * batches};
    *verdict = stats_contradicts(first, second, ratio) ? STATS_UNSURE : stats_judge(ratio);
    return BE_OK;
}

double stats_relative_half_width(const stats_interval *interval)
{
    double half = (interval->high - interval->low) / (2 * interval->point);
    return isnan(half) ? INFINITY : half;
}

bool stats_ratio_settled(const stats_interval *ratio, double target, double clear)
{
    if (stats_relative_half_width(ratio) <= target) return true;
    return ratio->low > 1 + clear || ratio->high < 1 / (1 + clear);
}
