/* Which of several candidates to train with, from what was measured of them: the expected time,
 * energy or memory of a whole training with its interval, and where the answer would flip.
 *
 * Pure decisions on numbers: owns nothing, knows no device, reads no clock, prints nothing. */
#ifndef MEASURE_ADVICE_H
#define MEASURE_ADVICE_H

#include <stdbool.h>

#include "measure/stats.h"

/* id, word of --goal */
#define ADVICE_GOAL_LIST(X) X(TIME, "time") X(ENERGY, "energy") X(MEMORY, "memory")

typedef enum advice_goal {
#define X(id, text) ADVICE_##id,
    ADVICE_GOAL_LIST(X)
#undef X
} advice_goal;

/* A measured setting. */
typedef struct advice_sample {
    double batch;
    stats_interval step_s;
    double step_j;       /* energy of a step, NAN where no sensor told */
    double memory_bytes; /* that the training holds, NAN unknown */
} advice_sample;

typedef struct advice_candidate {
    stats_interval start_s; /* what a training takes beyond its steps: starting, preparing, and the
                             * part of the first step that later ones do not have */
    const advice_sample *samples; /* by ascending batch, each batch once */
    int count;
    double memory_limit_bytes; /* NAN: none known */
} advice_candidate;

typedef struct advice_question {
    advice_goal goal;
    double batch;
    double samples; /* of the whole training: epochs × samples of an epoch, or steps × batch */
} advice_question;

/* What one candidate would take.  NAN where it is not known. */
typedef struct advice_estimate {
    stats_interval step_s;
    stats_interval total_s; /* start-up and all steps */
    double energy_j;        /* of all steps; the start is not in it */
    double memory_bytes;
    bool measured; /* at this batch; else interpolated */
    bool in_range; /* the batch lies among the measured ones: outside them nothing is told */
    bool fits;     /* memory_bytes within the limit, or either unknown */
    /* How far off the interpolation was at settings that were measured but left out of it: the
     * largest |interpolated − measured| / measured; NAN with fewer than three settings. */
    double held_out;
} advice_estimate;

/* Between measured batches the logarithms of time, energy and memory are linear in that of the
 * batch.  The interval is widened by the held-out error; without one it has no bounds. */
void advice_estimate_of(const advice_candidate *candidate, const advice_question *question,
                        advice_estimate *out);

/* What the blocks of two candidates say that were taken side by side at one batch. */
typedef struct advice_pair {
    double batch;
    stats_interval ratio;  /* of the times of a step: the second's / the best's */
    stats_verdict verdict; /* of the best against the second, by stats_compare */
} advice_pair;

#define ADVICE_FLIPS_MAX 8

typedef struct advice_choice {
    int best, second; /* −1: none; `second` is the next best that can be compared */
    /* Of their steps alone: second / best. */
    stats_interval step_ratio;
    stats_verdict step_verdict; /* of the best against the second */
    bool paired;                /* by blocks that were taken side by side, not by two medians */
    /* Of the whole trainings. */
    stats_interval ratio;  /* cost of the second / cost of the best */
    stats_verdict verdict; /* of the best against the second: FASTER, else too close to call */
    /* More samples than this and the answer is the other one of the two (fewer: if `best` starts
     * slower, it is the other one below).  NAN: whatever the length, the answer stays. */
    double flip_samples;
    bool start_is_sure; /* which of the two starts sooner, or that both start at once */
    /* Batches within the common measured range at which the two change places, the training being
     * as many samples as asked. */
    int flip_count;
    double flip_batches[ADVICE_FLIPS_MAX];
    double batch_low, batch_high; /* that range; NAN if it is a point */
    /* Without flips: the best is surely so at every batch that was measured of both.  With flips:
     * each of the two is so at one of them. */
    bool flips_are_sure;
} advice_choice;

/* The least cost by the goal among those that fit and are known, and the next. */
void advice_choose(const advice_estimate *estimates, int count, advice_goal goal,
                   advice_choice *out);

/* Judge the chosen two (best >= 0 and second >= 0), the best first in `both` and `of`, and find
 * where they change places.  `pairs`: at the batches that were measured of both in one run; at the
 * others their errors count as independent. */
void advice_judge(const advice_candidate *both[2], const advice_estimate *of[2],
                  const advice_question *question, const advice_pair *pairs, int pair_count,
                  advice_choice *out);

#endif
