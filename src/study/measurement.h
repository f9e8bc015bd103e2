/* One measurement as the studies share it: who takes part, on which data, and the records that it
 * brings.  bench asks for every batch; others for the points that they need.
 *
 * Owns the plan of contenders, the data set and the runners' files until measurement_close. */
#ifndef STUDY_MEASUREMENT_H
#define STUDY_MEASUREMENT_H

#include "data/dataset.h"
#include "measure/limits.h"
#include "run/conductor.h"
#include "run/gate.h"
#include "run/material.h"
#include "study/bench_plan.h"
#include "study/yardstick.h"

/* What a device can do at most: measured once a study, or kept from before. */
typedef struct measurement_limits {
    const char *device;
    int threads;
    limits peaks; /* NAN where it is not known */
} measurement_limits;

/* Who has passed the gate with the workload at hand: once is enough, whatever the batch. */
typedef struct measurement_pass {
    const char *engine, *device;
    const char *const *argv;
    int threads;
    gate_result result;
} measurement_pass;

typedef struct measurement measurement;
typedef struct measurement_point measurement_point;

/* What the studies measure with: measurement_begin and measurement_run.  A test puts planted times
 * there. */
typedef struct measurement_hands {
    be_status (*begin)(measurement *m, const workload *w, be_error *err);
    be_status (*run)(measurement *m, const measurement_point *point, json_t *records,
                     be_error *err);
} measurement_hands;

struct measurement {
    measurement_hands hands;
    const study_request *request;
    const study_watch *watch;
    bench_plan plan;
    json_t *environment;
    engine native;    /* which measures the limits */
    engine reference; /* of a user's own model, where its library is no contender by itself */
    engine trial;     /* what is tried out: its runners may live as long as `pool` */
    measurement_limits limits[BENCH_CONTENDERS_MAX];
    int limit_count;
    conductor_options conducting; /* by the request; a study may change it before a run */
    int64_t began_ns;             /* what its budget counts from */
    pool pool; /* for conducting.pool of a study that measures the same contenders many times */
    workload_variant variant; /* likewise, before measurement_begin */
    /* Of the workload at hand, set by measurement_begin. */
    const workload *workload;
    struct workload varied; /* what `workload` points to if it is not of the ladder */
    be_dataset *set;
    material_options material_options;
    material material;
    gate gate;            /* what all runners are held against */
    bool is_random;       /* a user's own model that nothing can be held against */
    bool dropout;         /* the model has some: losses differ by engine */
    bool takes_yardstick; /* of a user's own model, set before measurement_begin: … */
    yardstick yardstick;  /* … what the native engine trains beside it */
    measurement_pass passes[BENCH_CONTENDERS_MAX];
    int pass_count;
};

/* What is measured at one time. */
struct measurement_point {
    int64_t batch;
    const int *contenders; /* indexes into plan.contenders; NULL: all */
    int count;
};

/* Find the contenders and read the machine.  measurement_close whatever the status. */
BE_CHECKED be_status measurement_open(measurement *m, const study_request *request,
                                      const study_watch *watch, be_error *err);
void measurement_close(measurement *m);

/* How long each contender is measured: as the request says, else between `least_s` and `most_s`; a
 * least time that is longer than that is meant. */
void measurement_times(measurement *m, double least_s, double most_s);

/* Open the data of a workload and, unless only plans are made, write the runners' files and compute
 * the reference that they are held against; ends the workload before. */
BE_CHECKED be_status measurement_begin(measurement *m, const workload *w, be_error *err);

/* Plan a step for the CPU and look at the plan. */
typedef void (*measurement_look)(void *context, const be_plan *plan);
BE_CHECKED be_status measurement_plan(measurement *m, int64_t batch, measurement_look look,
                                      void *context, be_error *err);

/* What the conductor measures at a point: `out` has room for all contenders of the plan.  Its
 * strings live until the next measurement_begin. */
void measurement_contenders(measurement *m, const measurement_point *point,
                            conductor_contender *out);

/* Measure the contenders of a point side by side and append their records (report/bench.h), also
 * those of before an interruption (BE_INTERRUPTED).  The watch is given each. */
BE_CHECKED be_status measurement_run(measurement *m, const measurement_point *point,
                                     json_t *records, be_error *err);

/* Of the budget in m->conducting: what a stage may take that begins now, for one of that many parts
 * that are to come, and all that is left.  INFINITY without a budget. */
double measurement_grant_s(const measurement *m, budget_stage stage, int parts);
double measurement_left_s(const measurement *m);

/* The status of the worst record; one that was left out for want of time has none. */
BE_CHECKED be_status measurement_check(const json_t *records, be_error *err);

#endif
