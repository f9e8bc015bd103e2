/* A question to a study, and who listens while it is answered.
 *
 * A request says what is measured, a watch takes what there is to tell meanwhile.  Studies read no
 * option, print nothing and keep nothing between two questions, so that two can be asked at once.
 */
#ifndef STUDY_REQUEST_H
#define STUDY_REQUEST_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "data/dataset.h"
#include "workloads/workload.h"

#define STUDY_WORKLOADS_MAX 16
#define STUDY_NAMES_MAX 16

/* Names that were given, or "all"; count 0: none were. */
typedef struct study_names {
    int count;
    const char *name[STUDY_NAMES_MAX];
} study_names;

/* Numbers that were given; count 0: none were. */
typedef struct study_numbers {
    int count;
    const int64_t *number;
} study_numbers;

/* What it points to stays its owner's, and stays until the study has ended. */
typedef struct study_request {
    const workload *workloads[STUDY_WORKLOADS_MAX];
    workload own; /* what the first of them points to, if it is a user's own model */
    int workload_count;
    study_names engines, devices;
    study_numbers threads;
    int usual_threads;     /* where none are given */
    int all_threads;       /* the same, whatever a control group's quota pays for */
    study_numbers batches; /* none: the workload's own */
    const char *precision; /* "fp32" */
    /* Several, side by side, and how they were written; count 0: the one above. */
    study_names precisions;
    const char *precisions_text;
    const char *data_on; /* NULL: device */
    int accumulate;      /* turns in which a batch is computed; 0: one */
    const char *isa;     /* NULL: the best that there is */
    const char *library; /* NULL: each device's own choice */
    bool infer;          /* the forward pass, not training */
    bool plan_only;      /* nothing is measured */
    bool tells_missing;  /* who is missing is in the answer, and needs no note */
    workload_variant variant;
    uint64_t seed;
    double least_s, most_s; /* of measuring a contender, or all of a sweep; NAN: not given */
    const char *weights;    /* a file that all begin with; NULL: drawn by the seed */
    dataset_options data;
} study_request;

/* A step that was planned and not run. */
typedef struct study_plan {
    const workload *workload;
    int64_t batch;
    bool infer;
    const be_plan *plan;
} study_plan;

/* What is NULL is not told; without `stop` nothing ends a study early. */
typedef struct study_watch {
    void *context;
    void (*progress)(void *context, const char *line); /* takes the place of the one before */
    void (*note)(void *context, const char *line);
    /* Each measurement as soon as it is there, whatever becomes of the study. */
    void (*record)(void *context, json_t *record);
    void (*plan)(void *context, const study_plan *plan); /* of a request for plans alone */
    /* What a sweep has found after each place (report/sweep.h). */
    void (*so_far)(void *context, const json_t *result);
    bool quiet; /* no progress while blocks are timed: whoever hears it would work beside them */
    const volatile sig_atomic_t *stop; /* end, if it is not 0 */
} study_watch;

void study_progress(const study_watch *watch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void study_note(const study_watch *watch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of studies that look at one batch. */
int64_t study_batch(const study_request *request, const workload *w);

/* Whether it asks for a user's own model, which is alone then. */
bool study_is_own(const study_request *request);

bool study_names_have(const study_names *names, const char *name);

/* Whether an engine takes part in measuring the ladder: where it is named; and if it is usual here,
 * by "all", and where none is named, if it is no form of another (run/engine.h). */
bool study_wants_engine(const study_names *engines, const char *name);

/* The library of a model of the user's own: that of the engines which were named, else what its
 * file imports.  BE_USAGE for the native engine and for engines of two libraries. */
BE_CHECKED be_status study_find_library(const study_names *engines, workload *own, be_error *err);

/* Whether an engine measures the user's own model that is asked for: that of its library, in each
 * of its forms. */
bool study_takes_own(const study_request *request, const char *name);

/* A split of the workload's data set, at the workload's size; notes a stand-in for training. */
BE_CHECKED be_status study_open_data(const study_watch *watch, const dataset_options *options,
                                     const workload *w, dataset_split split, be_dataset **out,
                                     be_error *err);

#endif
