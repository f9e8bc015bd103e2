/* How long a library's work takes on a device, for the searches among its algorithms: a graph of
 * several calls behind one another, as in a step, since alone the host would be slower than a small
 * one. */
#ifndef BACKEND_CUDA_CUDA_TIMING_H
#define BACKEND_CUDA_CUDA_TIMING_H

#include "backend/cuda/cuda_driver.h"

/* Of all searches of a device that is opened, so that a start is bounded; BREAKEVEN_TUNE_SECONDS
 * sets another limit. */
#define CUDA_TIMING_SECONDS 10.0
/* The library's favourite is left only for less than this of its time. */
#define CUDA_TIMING_GAIN 0.97
#define CUDA_TIMING_UNUSABLE INT64_MAX

/* Hand call i of a graph to the driver's stream. */
typedef be_status (*cuda_timing_start)(const void *what, int i, be_error *err);

/* The fastest of some runs, less than CUDA_TIMING_UNUSABLE, or that if one fails. */
int64_t cuda_timing_run(const cuda_driver *driver, cuda_timing_start start, const void *what);

/* The place of the fastest of these times, −1 if the first, the favourite's, is none. */
int cuda_timing_fastest(const int64_t *ns, int count);

#endif
