/* Means over the ranks of a group, for the ops on GPUs that need them: the driver's own work. */
#ifndef BACKEND_GPU_GPU_GROUP_H
#define BACKEND_GPU_GPU_GROUP_H

#include "backend/gpu/gpu.h"

typedef struct gpu_mean gpu_mean;

/* For prepare: meet the other ranks, for a mean of so many bytes.  *out is NULL for a group of one
 * (NULL), whose own a mean is; `implementation`: what adds up, for people.  BE_UNAVAILABLE where
 * the driver has nothing to do it by. */
be_status gpu_mean_new(const gpu_call *call, be_group *group, size_t bytes, gpu_mean **out,
                       const char **implementation, be_error *err);

/* For record: these floats become their mean over the ranks.  Of a node once.  All ranks start
 * their means in the same order. */
be_status gpu_record_mean(gpu_recorder *recorder, gpu_mean *mean, gpu_span span, be_error *err);

#endif
