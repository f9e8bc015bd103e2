/* What several workers make of a training: measured beside one, and beside what was predicted.
 *
 * Each measurement is a training of its own (`breakeven train`; PyTorch's, where it takes part, in
 * runners of workers_peers.c), in rounds: every number of workers
 * once a round, in an order that turns round every time.  A test puts planted times in `hands`. */
#ifndef STUDY_WORKERS_H
#define STUDY_WORKERS_H

#include "measure/scaling.h"
#include "study/request.h"

#define WORKERS_NUMBERS_MAX 32
#define WORKERS_ROUNDS 7 /* the least of which a bootstrap's bounds are of use, and one */

/* One training. */
typedef struct workers_job {
    const char *engine;     /* a form of PyTorch; NULL: the native one */
    int64_t workers, batch; /* the whole batch */
    int threads;            /* of each worker; 0: its share of the cores */
    int64_t steps;          /* of an epoch; there are two, and the second is measured */
} workers_job;

typedef struct workers_time {
    double step_s;
    double reduce_s; /* of it, adding up gradients and waiting for the others; NAN: not known */
    double bytes;    /* of gradients a step; NAN: likewise */
    const char *implementation; /* of an engine beside the native one; as long as the study */
} workers_time;

typedef struct workers_hands {
    be_status (*train)(const study_request *request, const study_watch *watch,
                       const workers_job *job, workers_time *out, be_error *err);
    /* One of an engine beside the native one; `peers` NULL: the real ones. */
    be_status (*peer)(void *peers, const workers_job *job, workers_time *out, be_error *err);
    void *peers;
    /* What two workers add up by, on this machine. */
    be_status (*link)(double bytes, scaling_link *out, be_error *err);
    int cores;
} workers_hands;

typedef struct workers_question {
    study_numbers workers; /* 1 is measured whether it is there or not */
    bool each;             /* every worker has a whole batch; else the batch is cut */
    workers_hands hands;   /* `train` NULL: the real ones */
} workers_question;

/* The native engine, and beside it those of the request.
 * *out: report/workers.h; NULL on failure.  BE_USAGE where a number of workers does not fit the
 * batch, or there is none above 1. */
BE_CHECKED be_status study_workers(const study_request *request, const workers_question *question,
                                   const study_watch *watch, json_t **out, be_error *err);

/* Whether each worker has a GPU of its own. */
bool workers_on_gpus(const study_request *request);

/* The real hands: workers_hands.c. */
be_status workers_train(const study_request *request, const study_watch *watch,
                        const workers_job *job, workers_time *out, be_error *err);
be_status workers_link(double bytes, scaling_link *out, be_error *err);

/* What workers_peers_train needs of runners, data and weights. */
typedef struct workers_peers workers_peers;
BE_CHECKED be_status workers_peers_new(workers_peers **out, const study_request *request,
                                       const study_watch *watch, be_error *err);
void workers_peers_close(workers_peers *p); /* NULL is fine */
be_status workers_peers_train(void *peers, const workers_job *job, workers_time *out,
                              be_error *err);

#endif
