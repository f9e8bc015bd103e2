/* The parts of breakeven explain, which the quick verdict uses too: measuring, a step taken apart,
 * and the counterfactual behind its cause. */
#ifndef STUDY_EXPLAIN_H
#define STUDY_EXPLAIN_H

#include "study/measurement.h"

typedef struct explain_question {
    const measurement *m;
    const conductor_contender *contender;
    const json_t *phases; /* its answer to `phases`, as the conductor has it; null: none */
    double limit_s;       /* for a runner that calibrates; INFINITY: none */
} explain_question;

/* Add "explain" (report/explain.h) to the record of a contender that has a speed.  What fails is
 * said there; only an interruption and a lack of memory are errors. */
BE_CHECKED be_status explain_take_apart(const explain_question *question, json_t *record,
                                        be_error *err);

/* Add "cause" to the record of the fastest: why it is, and what came out of trying the opposite. */
BE_CHECKED be_status explain_cause(measurement *m, int64_t batch, json_t *records, be_error *err);

/* All of it for one workload at the batch of the request: `records` get the contenders' records
 * with "explain" and "cause".  `m` is open. */
BE_CHECKED be_status explain_measure(measurement *m, const workload *w, json_t *records,
                                     be_error *err);

#endif
