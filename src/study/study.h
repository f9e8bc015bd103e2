/* The questions that can be asked: each measures what it needs and gives records and objects, which
 * `report` shows.  All write what they found so far whatever the status is, so that an interruption
 * loses nothing. */
#ifndef STUDY_STUDY_H
#define STUDY_STUDY_H

#include "core/file.h"
#include "measure/scaling.h"
#include "study/axis.h"
#include "study/request.h"

/* Measure all workloads at all batches side by side: the watch is given the records
 * (report/bench.h), or the plans if the request is for plans alone.  A contender that failed fails
 * it in the end. */
BE_CHECKED be_status study_bench(const study_request *request, const study_watch *watch,
                                 be_error *err);

/* Take a step of the first workload apart on each device: `records` (a list) are those of
 * report/explain.h.  A contender that failed fails it in the end. */
BE_CHECKED be_status study_explain(const study_request *request, const study_watch *watch,
                                   json_t *records, be_error *err);

/* The quick verdict (report/quick.h): what is explained, the advice (NULL: there is none), and what
 * took no part.  The caller releases all three, whatever the status. */
typedef struct study_page {
    json_t *records, *advice, *missing;
} study_page;
BE_CHECKED be_status study_quick(const study_request *request, const study_watch *watch,
                                 study_page *page, be_error *err);

typedef struct study_training {
    const char *goal; /* "time", "energy", "memory" (measure/advice.h); NULL: time */
    int64_t steps;    /* 0: by epochs */
    int64_t epochs;   /* 0: the workload's own */
    int64_t samples;  /* of an epoch of a user's own model; 0: not given */
    const char *from; /* a file of records: nothing is measured; NULL: none */
    /* Numbers of workers, each 2 or more, to predict the training on, over such a link; 0: none. */
    const int64_t *workers;
    int worker_count;
    scaling_link link;
    /* The link is that of workers of this machine, which is measured, and so is what as many of
     * them make of the training, beside the prediction. */
    bool link_is_local;
    double cores; /* that they share; set by the study */
} study_training;

/* Which device to train the first workload with: *answer is the object of report/advice.h. */
BE_CHECKED be_status study_advise(const study_request *request, const study_training *training,
                                  const study_watch *watch, json_t **answer, be_error *err);

typedef enum study_file { STUDY_FILE_NEW, STUDY_FILE_RESUME, STUDY_FILE_RESUME_IF_ANY } study_file;

typedef struct study_axis {
    axis_range range;
    study_file begin;
    const char *path;  /* NULL: a name of its own, or the newest there is */
    const char *shown; /* `path` as people call it */
} study_axis;

typedef struct study_swept {
    json_t *result; /* report/sweep.h; NULL: nothing was begun.  The caller releases it */
    char file[FILE_PATH_BYTES]; /* in which it can go on; "": none */
} study_swept;

/* Where one contender overtakes another along an axis.  A side that dropped out fails it in the
 * end. One batch at most. */
BE_CHECKED be_status study_sweep(const study_request *request, const study_axis *axis,
                                 const study_watch *watch, study_swept *out, be_error *err);

/* What each engine says of its devices: a record each, and sentences on engines that several
 * Pythons have.  The caller releases both, whatever the status. */
typedef struct study_devices {
    json_t *records, *pythons;
} study_devices;

typedef struct study_limits {
    bool refresh;   /* whatever was kept */
    int threads;    /* of the processor */
    double seconds; /* for each device; 0: the usual time */
} study_limits;

/* With `limits` also what each usable device of the native engine can do at most, measured or kept:
 * `limits` (measure/limits.h; null with `limits_reason` where that failed), `limits_cached`,
 * `limits_file`, and `sensors` (null without any). */
BE_CHECKED be_status study_find_devices(const study_limits *limits, const study_watch *watch,
                                        study_devices *out, be_error *err);

/* The native engine as it is held against the others. */
typedef struct study_native {
    be_device *device;
    int64_t steps;        /* whose losses are compared; 0: the usual number */
    be_schedule schedule; /* of the learning rate, but for total_steps, which are these steps */
} study_native;

typedef struct study_compared {
    json_t *records; /* a quantity of two engines each, with its error.  The caller releases them */
    bool broken;     /* an error exceeds its limit */
} study_compared;

/* One training of the first workload from each engine, step by step.  That an error exceeds its
 * limit is no failure of the study. */
BE_CHECKED be_status study_parity(const study_request *request, const study_native *native,
                                  const study_watch *watch, study_compared *out, be_error *err);

/* Write the tensors of the native engine's first step (safetensors). */
BE_CHECKED be_status study_dump(const study_request *request, const study_native *native,
                                const study_watch *watch, const char *path, be_error *err);

#endif
