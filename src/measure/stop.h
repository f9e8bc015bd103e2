/* When a measurement ends, and how long its blocks are.
 *
 * Pure decisions on numbers: owns nothing, reads no clock, prints nothing. */
#ifndef MEASURE_STOP_H
#define MEASURE_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* name, text in records and tables */
#define STOP_REASON_LIST(X)           \
    X(NONE, "not ended")              \
    X(PRECISE, "precise")             \
    X(TIME_LIMIT, "time limit")       \
    X(MAX_SAMPLES, "maximum samples") \
    X(FAILED, "failed")               \
    X(REFUSED, "refused")             \
    X(LEFT_OUT, "no time left")       \
    X(INTERRUPTED, "interrupted")

typedef enum stop_reason {
#define X(name, text) STOP_##name,
    STOP_REASON_LIST(X)
#undef X
} stop_reason;

const char *stop_reason_text(stop_reason reason);

typedef struct stop_rule {
    int32_t min_samples;    /* blocks before it may end as precise */
    int32_t max_samples;    /* blocks at which it ends; 0: no such limit */
    double min_time_s;      /* of measured blocks before it may end as precise */
    double max_time_s;      /* of measured blocks at which it ends */
    double target_relative; /* half of the median's interval, as a share of the median */
    double target_ratio;    /* half of the ratio's interval, as a share of the ratio */
    double clear_ratio;     /* a ratio beyond this, interval and all, needs no more precision */
} stop_rule;

/* 10 … 400 blocks, 0.5 … 10 s, median within ±2 %, ratio within ±1.2 % or beyond 10 %. */
stop_rule stop_rule_default(void);

typedef struct stop_state {
    int32_t samples;
    double time_s;              /* sum of the measured blocks */
    double relative_half_width; /* of the median; INFINITY if there is no interval yet */
    bool ratios_settled;        /* see stats_ratio_settled; true where there is no rival */
} stop_state;

/* STOP_NONE while it shall go on.  A limit ends a measurement whatever its precision, and is named
 * only where it is not precise. */
stop_reason stop_decide(const stop_rule *rule, const stop_state *state);

typedef struct stop_block {
    double step_s;       /* one step, as estimated by the warm-up */
    double clock_read_s; /* cost of one clock reading */
    double target_s;     /* wished length of a block */
    double limit_s;      /* no block beyond this length, unless one step is */
} stop_block;

/* Steps of a block: at least 1, long enough for target_s and for two clock readings to cost under
 * 0.1 % of it, but within limit_s. */
int64_t stop_block_steps(const stop_block *block);

/* Steps to do just before a block of that many, untimed: whoever worked meanwhile left the caches
 * full of its own, and a pool of threads asleep.  A tenth of the block, so that it stays cheap;
 * none before a block of under 5 steps, of which a cold start is a small part. */
int64_t stop_lead_steps(int64_t block_steps);

#endif
