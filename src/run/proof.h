/* Proof of device: whether a contender worked where it says, by evidence of several kinds: what its
 * runner tells of launches and busy time, the processor time that its process really used, and the
 * limits of the device that nothing real exceeds.
 *
 * Numbers and the runner's answer in, a verdict out: starts, asks and measures nothing. */
#ifndef RUN_PROOF_H
#define RUN_PROOF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define PROOF_IDLE_THREADS 0.05 /* who computes on the CPU uses more of it */
#define PROOF_ALL_THREADS 0.8   /* share of the processor's threads: "all" of them */
#define PROOF_OVER_LIMIT 1.1    /* of a measured limit: what is beyond it is impossible */
#define PROOF_BUSY_SHARE 0.5 /* least part of all busy time that the device asked for must have */

/* What is known of a contender.  Numbers that are not known are NAN or 0 or less. */
typedef struct proof_evidence {
    const char *name;    /* "torch cuda:0", for errors */
    const char *device;  /* the one asked for */
    bool is_cpu;         /* it is the processor, directly or behind OpenCL */
    const json_t *work;  /* of the answer to phases; NULL or empty: not told */
    double busy_threads; /* processor time / wall time in blocks, child processes too */
    int processors;      /* threads that the machine runs at a time */
    bool crowded;        /* others had so much of them that few were left for it */
    double step_s;       /* median */
    double flops_per_step, bytes_per_step;       /* of the model */
    double limit_flops_per_s, limit_bytes_per_s; /* of the device, measured */
} proof_evidence;

/* What the record keeps. */
typedef struct proof {
    int64_t launches; /* on the device asked for, over all steps asked about; -1: not told */
    double of_peak, of_bandwidth; /* share of the measured limit; NAN unknown */
} proof;

/* BE_OK with *out filled if nothing speaks against it; BE_FAILED with what was expected and found
 * (out is filled then too). */
BE_CHECKED be_status proof_check(const proof_evidence *e, proof *out, be_error *err);

#endif
