/* What runners are given: a workload's data and its initial weights as files in a temporary folder,
 * and the job that names them.
 *
 * Owns the folder until material_free, and removes it with all that runners left in it. */
#ifndef RUN_MATERIAL_H
#define RUN_MATERIAL_H

#include "core/folder.h"
#include "data/table.h"
#include "protocol/protocol.h"
#include "train/weights.h"
#include "workloads/workload.h"

typedef struct material {
    folder_temporary folder;
    char data[FILE_PATH_BYTES], weights[FILE_PATH_BYTES];
    int64_t count;                 /* of samples in the data file */
    char note[WEIGHTS_NOTE_BYTES]; /* what was done to read options.from, or "" */
} material;

typedef struct material_options {
    const workload *workload;
    const data_table *set; /* not needed afterwards */
    uint64_t seed;         /* of the weights and of the order */
    int64_t batch;         /* of an operation alone, whose operands are weights; 0: they are written
                              by material_set_batch */
    const char *from; /* a file of weights, as train --weights takes it; NULL: drawn by the seed */
    int64_t samples;  /* only the first ones in the order of training, in that order; 0: all */
    bool in_order; /* the set is in the order of training as it lies, as material_gather gives it */
} material_options;

/* A user's own model has no files but its weights, which the first runner of it writes. */
BE_CHECKED be_status material_new(material *out, const material_options *options, be_error *err);
void material_free(material *m); /* twice is fine */

/* Write the operands of an operation alone anew, for this batch. */
BE_CHECKED be_status material_set_batch(material *m, const material_options *options, int64_t batch,
                                        be_error *err);

/* A job with the workload's defaults, fp32 and engine dropout; its strings belong to the material
 * and the workload.  Device, threads and batch are the caller's to set. */
protocol_job material_job(const material *m, const material_options *options);

/* The first samples in the order of training, at most set->count of them.  Free with table_free. */
BE_CHECKED be_status material_gather(const material_options *options, int64_t count,
                                     data_table *out, be_error *err);

#endif
