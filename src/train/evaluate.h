/* Accuracy and loss of a network over a data set: the inference graph of a workload, which shares
 * the weights of a training plan or has its own.
 *
 * Each sample once, the last batch short; but where samples are compared with one another
 * (workload_targets is 0) all batches are full, and the last one has the set's last samples, some
 * of them for the second time.
 *
 * Owns graph and plan until evaluator_close; borrows device, data and the shared plan. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include <signal.h>

#include "workloads/workload.h"

typedef struct evaluator_options {
    const workload *workload;
    be_device *device;
    be_plan *share; /* NULL: weights of its own, to be loaded */
    int batch;      /* at least 1; more than the set has is fine */
    /* `count` samples of the set from `first` on; count 0: all of it.  A part only where samples
     * are not compared with one another. */
    int64_t first, count;
    const data_table *data;
    be_precision precision;
    bool data_on_host; /* see be_plan_options */
    be_group *group;   /* gets signs of life while it evaluates; NULL: none */
    const volatile sig_atomic_t *interrupted; /* ends it when not 0; may be NULL */
} evaluator_options;

typedef struct evaluator {
    be_plan *plan;
    be_group *group;
    const volatile sig_atomic_t *interrupted;
    workload_model model;
    int32_t *order; /* a sample an entry */
    int64_t first, count, entries;
    int batch;
} evaluator;

typedef struct evaluation {
    int64_t count;            /* samples of the set, or of the part */
    int64_t correct, answers; /* right ones of how many: classes, next tokens, pairs */
    char counted[32];         /* what `correct` counts: "accuracy", "retrieval at 1" */
    int64_t back; /* right answers of captions to pictures; −1: it has no such direction */
    double loss;  /* mean over all samples; NAN if the network gives no number */
    double seconds;
} evaluation;

/* The share of right answers: of two directions their mean. */
double evaluation_accuracy(const evaluation *e);

/* The last step's right answers in the direction back, added to *sum; nothing where the workload
 * has none.  The plan was made with outputs->back among its `keep`. */
BE_CHECKED be_status evaluation_add_back(be_plan *plan, const workload_outputs *outputs,
                                         int64_t *sum, be_error *err);

BE_CHECKED be_status evaluator_open(evaluator *e, const evaluator_options *options, be_error *err);
/* BE_INTERRUPTED if it was ended; *out is of no use then. */
BE_CHECKED be_status evaluator_run(evaluator *e, evaluation *out, be_error *err);
void evaluator_close(evaluator *e); /* twice is fine */

#endif
