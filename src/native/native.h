/* The native engine as a runner's session: a workload prepared from the files that the protocol
 * names, ready to run, compare, evaluate, export.
 *
 * Owns device, mapped files and plan until native_close.  Knows the protocol's members, not its
 * lines. */
#ifndef NATIVE_NATIVE_H
#define NATIVE_NATIVE_H

#include "data/safetensors.h"
#include "protocol/protocol.h"
#include "workloads/workload.h"

typedef struct native_session {
    const workload *workload;
    struct workload varied; /* what `workload` points to if it is not of the ladder */
    be_device *device;
    safetensors *file;
    data_table data; /* in the file */
    const int32_t *order;
    int64_t order_count;
    workload_options options;
    be_optimizer optimizer;
    workload_model model;
    be_plan *plan;
    bool train, data_on_host;
    int turns; /* in which a batch is computed, at least 1 */
    be_precision precision;
    const char *weights_path; /* borrowed from the job; NULL: the model's own start */
} native_session;

/* The job's strings must outlive the session.  `device` gives isa and library; its threads are the
 * job's.  On an error nothing is left to close. */
BE_CHECKED be_status native_open(native_session *s, const protocol_job *job,
                                 const be_device_options *device, be_error *err);
void native_close(native_session *s); /* twice is fine */

/* Steps from where the last run ended; `losses` (may be NULL) gets one per step.  *loss is that of
 * the last step, NAN when inferring. */
BE_CHECKED be_status native_run(native_session *s, int64_t steps, int64_t *wall_ns, float *losses,
                                double *loss, be_error *err);

/* Write a trace of `steps` steps from the start; the session is as it was prepared afterwards. */
BE_CHECKED be_status native_parity(native_session *s, int64_t steps, const char *path,
                                   be_error *err);

typedef struct native_evaluation {
    int64_t count, correct;
    double loss; /* mean over all samples */
} native_evaluation;

/* All samples of another data file, with the weights as they are now. */
BE_CHECKED be_status native_evaluate(native_session *s, const char *path, native_evaluation *out,
                                     be_error *err);

#endif
