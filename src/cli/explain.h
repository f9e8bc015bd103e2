/* The parts of breakeven explain: a step taken apart, and the counterfactual behind its cause. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "cli/measurement.h"

/* Add "explain" (report/explain.h) to the record of a contender that has a speed.  What fails is
 * said there; only an interruption and a lack of memory are errors. */
BE_CHECKED be_status explain_take_apart(const measurement *m, const conductor_contender *contender,
                                        json_t *record, be_error *err);

/* Add "cause" to the record of the fastest: why it is, and what came out of trying the opposite. */
BE_CHECKED be_status explain_cause(measurement *m, int64_t batch, json_t *records, be_error *err);

/* Indexes into records of the fastest with an explanation and of the one to hold against it: the
 * fastest on another device, else of another engine, else any; -1: none. */
void explain_pair(const json_t *records, int *winner, int *loser);

#endif
