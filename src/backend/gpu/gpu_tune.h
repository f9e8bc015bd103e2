/* The search for the fastest of the ways in which an op may be done on a device (gpu_choose), by
 * trying the model's best few there, and keeping what was found in the user's cache folder.
 *
 * A choice that was kept is taken ever after, so two runs on a device give the same bits as long as
 * the folder stays.  For the same reason a choice for which no time was left is kept too: it is the
 * best so far, and is searched again only with a longer limit; and where nothing can be kept, the
 * model chooses. */
#ifndef BACKEND_GPU_GPU_TUNE_H
#define BACKEND_GPU_GPU_TUNE_H

#include "backend/gpu/gpu.h"

/* BREAKEVEN_TUNE_SECONDS, or `usual` where it is not set; 0: no search. */
BE_CHECKED be_status gpu_tune_seconds(double usual, double *out, be_error *err);

/* The limit of a plan in seconds: that, or the driver's own. */
BE_CHECKED be_status gpu_tune_limit(const gpu_driver *driver, double *out, be_error *err);

/* The search for one plan: what it was told, and what it did. */
typedef struct gpu_tune_count {
    bool dry_run;            /* the folder is read, and nothing is tried */
    bool stopped;            /* nothing can be kept, so nothing is tried any more */
    int to_come;             /* choices that are not done: the time left is shared among them */
    int searched, kept, cut; /* searched now, known from before, cut short for want of time */
    int64_t ns;              /* that it took */
} gpu_tune_count;

/* Set base->wanted.  `base` is a call before prepare, `prepared` the same one after it, with all
 * ways 0. */
BE_CHECKED be_status gpu_tune(gpu_device *device, const gpu_kernel *kernel, gpu_call *base,
                              const gpu_call *prepared, gpu_tune_count *count, be_error *err);

#endif
