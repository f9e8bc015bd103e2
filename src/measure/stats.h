/* The statistics of timed blocks: medians with bootstrap intervals, the ratio of two interleaved
 * series, and the verdict on it.
 *
 * Owns nothing: reads arrays, fills small structs.  Deterministic: the bootstrap draws from
 * Philox (RNG_BOOTSTRAP) under the caller's seed, so the same blocks give the same intervals.
 * May not read clocks, print, or know what was timed. */
#ifndef MEASURE_STATS_H
#define MEASURE_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

/* Resamples of one bootstrap interval.  With 1,000 the rank of a 2.5 % quantile has a standard
 * error of 0.5 %, little beside what the number of blocks leaves open. */
#define STATS_RESAMPLES 1000

/* Spreads at which a result carries a warning, as a share of the median (docs: measuring). */
#define STATS_SPREAD_NOTICE 0.10
#define STATS_SPREAD_ALARM 0.25

/* The verdict's two limits, as ratios - 1; see stats_judge. */
#define STATS_SAME_BAND 0.025
#define STATS_MATTERS 0.05

typedef struct stats_interval {
    double point; /* the estimate */
    double low;   /* 2.5 % and 97.5 % bounds; NAN where too few values give none */
    double high;
} stats_interval;

typedef struct stats_summary {
    int32_t count;
    stats_interval median; /* of the values; bounds by percentile bootstrap */
    double minimum, p05, p25, p75, p95, maximum;
    double spread; /* (p95 - p5) / median: what nine blocks in ten stay within; 0 for one value */
} stats_summary;

/* FASTER: the first series takes less time than the second. */
#define STATS_VERDICT_LIST(X) \
    X(UNSURE, "unsure")       \
    X(FASTER, "faster")       \
    X(SLOWER, "slower")       \
    X(SAME, "same")

typedef enum stats_verdict {
#define X(name, text) STATS_##name,
    STATS_VERDICT_LIST(X)
#undef X
} stats_verdict;

/* "FASTER", "SLOWER", "SAME" or "UNSURE", never NULL. */
const char *stats_verdict_name(stats_verdict verdict);

/* The same verdict, said of the second against the first. */
stats_verdict stats_verdict_of_other(stats_verdict verdict);

/* Quantile q (0 … 1) of `count` > 0 ascending values: Hyndman and Fan's type 7 (linear between the
 * order statistics), the default of R and NumPy. */
double stats_quantile(const double *sorted, int32_t count, double q);

/* Median of `count` > 0 values in any order.  BE_NO_MEMORY is the only error. */
BE_CHECKED be_status stats_median(const double *values, int32_t count, double *out, be_error *err);

/* Summary of `count` >= 1 finite values.  The interval of the median is the 95 % percentile
 * bootstrap (Efron 1979); under 2 values its bounds are NAN.  BE_USAGE for no values,
 * BE_NUMERIC for one that is not finite. */
BE_CHECKED be_status stats_summarize(const double *values, int32_t count, uint64_t seed,
                                     stats_summary *out, be_error *err);

/* Ratio first / second of two interleaved series of positive times.
 *
 * first[r] and second[r] are the blocks of round r, taken next to each other, in an order that
 * turns round every time (A B | B A | …).  The estimate is the median over the rounds of
 * first[r] / second[r]; the interval resamples rounds.  The two blocks of a round share the
 * machine's state, so drift, throttling and slow phases cancel within the round; the turning order
 * cancels what is left.  Simulated with drift, steps, slow phases and outliers (test_measure_stats)
 * this interval keeps its 95 % and is up to five times narrower than that of the ratio of the two
 * series' medians, which holds only while the machine's speed stays put.
 *
 * Under 6 rounds a bootstrap of the median cannot reach 95 %; the bounds are then the extremes of
 * all first[i] / second[j], and under 2 rounds NAN.  BE_USAGE for no rounds, BE_NUMERIC for a time
 * that is not finite and positive. */
BE_CHECKED be_status stats_ratio(const double *first, const double *second, int32_t rounds,
                                 uint64_t seed, stats_interval *out, be_error *err);

/* The verdict on a ratio first / second of times.
 *
 * Two processes of the same program may differ by a percent for reasons that no repetition removes:
 * addresses, and the placement of threads where the system binds none.  A ratio within 2.5 % of 1
 * (STATS_SAME_BAND) is therefore never called a difference, even where its interval excludes 1;
 * half of the 5 % that must be found (STATS_MATTERS) makes both errors equally unlikely.
 *   FASTER, SLOWER  the interval excludes 1 and the estimate lies beyond the band;
 *   SAME            the estimate lies in the band and the interval excludes differences of 5 %;
 *   UNSURE          anything else: too few or too noisy blocks. */
stats_verdict stats_judge(const stats_interval *ratio);

/* The blocks of one contender, and what it is called fast by. */
typedef struct stats_series {
    const double *blocks_s; /* time of a step in each round */
    int32_t count;
    double batch;         /* samples of a step */
    double samples_per_s; /* by its median */
} stats_series;

/* Ratio first / second of the medians of two series that were not interleaved, as those of two runs
 * or machines: first / second of the times of a sample.
 *
 * Nothing cancels here: what changed between the two is in the ratio.  The interval resamples each
 * series by itself; under 6 values in either it is that of the extremes, under 2 NAN.  Errors of
 * stats_ratio. */
BE_CHECKED be_status stats_ratio_apart(const stats_series *first, const stats_series *second,
                                       uint64_t seed, stats_interval *out, be_error *err);

/* The one judgement on two contenders of one interleaved run: first / second of the times of a
 * sample (stats_ratio over the rounds that both have), and its verdict.  Whoever speaks of the two
 * takes it from here, so that no table and no sentence contradict one another.  Tables stand in the
 * order of the medians' speeds; where the machine drifted, the ratio of the blocks can say another
 * order, and then neither is sure: UNSURE, and the ratio's bounds do not show it.  Errors of
 * stats_ratio. */
BE_CHECKED be_status stats_compare(const stats_series *first, const stats_series *second,
                                   uint64_t seed, stats_interval *ratio, stats_verdict *verdict,
                                   be_error *err);

/* Whether an order by medians denies what the ratio of first to second says. */
bool stats_contradicts(const stats_series *first, const stats_series *second,
                       const stats_interval *ratio);

/* second / first of what is first / second. */
stats_interval stats_inverse(const stats_interval *ratio);

/* Whether more blocks would be pointless for the verdict: the interval of the ratio is within
 * ±`target` (relative) of its estimate, or lies wholly beyond a difference of `clear`.  NAN bounds
 * are never enough. */
bool stats_ratio_settled(const stats_interval *ratio, double target, double clear);

/* Half of the interval as a share of the estimate; INFINITY without bounds. */
double stats_relative_half_width(const stats_interval *interval);

#endif
