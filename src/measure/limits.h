/* What a device can do at most, as it was measured on this machine: the yardstick that a workload's
 * time is held against.
 *
 * A struct and its JSON, both ways.  Measures nothing, owns nothing.  What was not measured, or is
 * not there, is NAN, and null in JSON, never 0. */
#ifndef MEASURE_LIMITS_H
#define MEASURE_LIMITS_H

#include <jansson.h>
#include <stdint.h>

#include "core/status.h"

#define LIMITS_TRANSFERS 16

/* One copy of that many bytes, seconds from its start until it has arrived. */
typedef struct limits_transfer {
    int64_t bytes;
    double up_s, down_s; /* host to device, device to host */
} limits_transfer;

typedef struct limits {
    char device[24], device_name[192];
    int threads;       /* CPU: those it was measured with; 0 elsewhere */
    double flops_fp32; /* FLOP/s; a multiply-add counts as two */
    double flops_tf32, flops_bf16;
    double memory_bytes_per_s; /* read + written, far beyond the caches */
    double cache_bytes_per_s;  /* working set that stays in the last-level cache */
    double launch_s;           /* one more dependent tiny kernel/op in a step */
    double round_trip_s;       /* submit one tiny kernel and wait for it */
    int transfer_count;        /* 0 where host and device share memory */
    limits_transfer transfers[LIMITS_TRANSFERS]; /* by rising size */
    int64_t unix_s;                              /* when measured */
} limits;

/* Nothing known of a device. */
limits limits_unknown(void);

/* The member that is the peak of products in this precision ("fp32", "tf32", "bf16"): NAN where
 * nobody measured it, and never that of another precision. */
double *limits_peak(limits *l, const char *precision);

/* A new object with a member for each of the struct; `transfers` is a list of objects. */
BE_CHECKED be_status limits_to_json(const limits *l, json_t **out, be_error *err);

/* Every member must be there, and a number is positive or null: BE_BAD_DATA with the member and
 * what was found.  *out is limits_unknown() on an error. */
BE_CHECKED be_status limits_of_json(const json_t *json, limits *out, be_error *err);

#endif
