/* From the records of measurements to the candidates of an advice: an engine on a device with
 * its threads and library, and what it took at each measured batch.
 *
 * Borrows the records.  Measures nothing, prints nothing. */
#ifndef RUN_CANDIDATES_H
#define RUN_CANDIDATES_H

#include "measure/advice.h"
#include "run/record_read.h"

#define CANDIDATES_MAX 64
#define CANDIDATE_BATCHES_MAX 64

typedef struct candidate {
    const record_measured *record; /* the newest of its records: who it is */
    advice_candidate advice;
    advice_estimate estimate;
    int count, start_count;
    advice_sample samples[CANDIDATE_BATCHES_MAX];
    const record_measured *sampled[CANDIDATE_BATCHES_MAX]; /* that they come from */
    double starts_s[CANDIDATE_BATCHES_MAX];
} candidate;

typedef struct candidates {
    int count;
    candidate list[CANDIDATES_MAX];
} candidates;

/* Take the records of this workload, mode, precision, width and size that have a speed; of
 * several at one batch the last.  A start-up that was seen several times lies between the least and
 * the most of them. */
void candidates_collect(candidates *out, const record_set *set, const record_measured *like);

/* Whether two records are of one engine on one device. */
bool candidates_same_place(const record_measured *a, const record_measured *b);

/* Estimate each one, and of those that differ by their threads or library alone keep the one that
 * is best by the goal. */
void candidates_estimate(candidates *c, const advice_question *question);

/* Choose among them, which candidates_estimate must have seen before.  Two that were measured in
 * one run at a batch are judged by their blocks, exactly as that run did.  BE_NO_MEMORY. */
BE_CHECKED be_status candidates_choose(const candidates *c, const advice_question *question,
                                       advice_choice *out, be_error *err);

#endif
