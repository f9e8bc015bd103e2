/* The members of a record of bench: one table, by which it is written, read and looked up.
 *
 * A text belongs to whom the struct was filled from, the JSON or the measurement, and is not owned.
 * Unknown numbers are NAN, unknown counts -1, unknown texts `record_unknown`. */
#ifndef RUN_RECORD_FIELDS_H
#define RUN_RECORD_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/json_scan.h"
#include "core/status.h"
#include "workloads/workload.h"

#define RECORD_SCHEMA 1

/* "", and known by its address: a text that is known and empty is another one. */
extern const char record_unknown[1];

/* Where a record stands, for error texts: "FILE, line 3, contender 2". */
typedef struct record_place {
    const char *file;
    const char *unit; /* "line" or "record" */
    size_t number;    /* from 1 */
    size_t contender; /* of a sweep's point, from 1; 0: it is a record of its own */
} record_place;

/* The members have the names that they have in JSON, so that a path in JSON is a designator in C
 * (report/members.h). */

/* Of the machine, as far as measurements are told apart by it or pages show it. */
typedef struct record_environment {
    const json_t *json, *warnings; /* `json`: all of it; NULL: null */
    const char *system;
    struct {
        const char *model;
        int64_t threads, cores;
    } cpu;
    struct {
        const char *version, *commit;
    } build;
    int64_t memory_bytes;
} record_environment;

typedef struct record_step {
    double median, low, high; /* the bounds of its 95 % interval */
    double minimum, p05, p25, p75, p95, maximum, spread;
    int64_t count;
} record_step;

/* What was asked for. */
typedef struct record_asked {
    const char *engine, *device, *precision, *data_on, *mode;
    const char *precisions; /* that it was measured beside: "fp32,bf16"; NULL: its own alone */
    int64_t threads, batch;
    struct {
        const char *name;
        double lr, momentum, weight_decay, beta1, beta2, epsilon;
    } optimizer;
    const json_t *program;
} record_asked;

/* Against whom, by how much, and what that says. */
typedef struct record_versus {
    bool is_known;
    const char *engine, *device, *verdict, *reason;
    int64_t threads, batch;
    double ratio, low, high;
} record_versus;

/* How far from the reference its computing was. */
typedef struct record_parity {
    bool is_known;
    const char *tensor;
    double error, band;
    int64_t steps, batch;
    int64_t unproven; /* gradients that rounding moves too far to prove anything, and the first */
    const char *unproven_tensor;
} record_parity;

/* Where it worked, by its own word and by what the system and the limits say. */
typedef struct record_proof {
    const json_t *work;
    int64_t work_steps;
    double busy_threads, of_peak, of_bandwidth;
} record_proof;

/* What the readings of the reference kernel say. */
typedef struct record_reference {
    bool is_known;
    double best, median, worst;
} record_reference;

typedef struct record_measured {
    int64_t schema, time, threads, batch, accumulate, seed, params, launches, block_steps,
        throttled_blocks, peak_rss_bytes, device_memory_bytes;
    const char *kind, *workload, *engine, *engine_version, *device, *device_name, *implementation,
        *processors, *precision, *data_on, *mode, *data, *error, *stop_reason, *energy_sensor, *log,
        *launch_order, /* how a step's launches follow one another, where that was found out */
        *unit,         /* of the rate units_per_s */
        *title,        /* of a user's own model, as its file says; NULL: none */
        *yardstick;    /* the workload of the ladder that was trained beside it; NULL: the model */
    bool computes_nothing;
    be_status status;
#define X(id, member, ...) int64_t member; /* -1: the workload has none; a width is at least 1 */
    WORKLOAD_VARIANT_LIST(X)
#undef X
    record_step step_s; /* NAN unless the status is OK */
    double flops_per_step, bytes_per_step, samples_per_s, units_per_s, flops_per_s, start_s,
        prepare_s, first_step_s, first_loss, last_loss, busy_threads, energy_per_step_j, waited_s,
        burst_step_s, sustained_step_s, other_load, steal;
    record_reference reference_s;
    record_parity parity;
    record_proof proof;
    record_asked asked;
    record_versus versus;
    record_environment environment;
    const json_t *blocks, *warnings, *warned, *libraries; /* NULL: null */
    /* What a study adds. */
    int64_t data_count, epochs;
    const char *data_source, *side, *setting;
    const json_t *phases_s;
    /* Not of the JSON: what it was read from. */
    const json_t *json;
    record_place place;
} record_measured;

/* The value of a dimension. */
int64_t *record_variant_at(record_measured *record, workload_dimension dimension);

/* The dimensions of a training of r->workload: -1 where it has its own, but for its width, which is
 * told always. */
void record_take_variant(record_measured *r, const workload_variant *variant);

/* Its rate in what its workload counts, of its samples per second. */
void record_take_rate(record_measured *r, const workload_variant *variant);

/* A record of which nothing is known. */
void record_clear(record_measured *out);

/* The record as JSON, its members in the order of the table.  The caller owns *out.  BE_NO_MEMORY
 * is the only error. */
BE_CHECKED be_status record_encode(const record_measured *record, json_t **out, be_error *err);

/* Every member by its type and range, into a record of which nothing but its place is known.
 * `environment` stands in for a missing one; NULL: there is none.  BE_BAD_DATA as record_decode
 * (run/record_decode.h) says. */
BE_CHECKED be_status record_read_fields(const json_t *json, const json_t *environment,
                                        record_measured *out, be_error *err);

/* Where the member of a path stands in the table. */
#define RECORD_INDEX_ROOM 512
typedef struct record_index {
    uint16_t place[RECORD_INDEX_ROOM]; /* from 1; 0: none */
    size_t known;                      /* members that must have a value */
} record_index;

void record_index_make(record_index *out);

/* Take one value of a text that is scanned (core/json_scan.h) as record_read_fields would take it
 * with the record's own environment; false where it would refuse it.  *with_value counts the
 * members that must have a value. */
bool record_take_scanned(const record_index *index, const json_path *path, const json_scalar *value,
                         record_measured *out, size_t *with_value);

/* "FILE, line 3, member "batch": expected …, found …" */
be_status record_refuse(const record_measured *r, const char *path, const char *expected,
                        const json_t *value, be_error *err);

/* "FILE, line 3, contender 2" */
const char *record_place_text(const record_place *place, char out[300]);

/* Whether the path leads to a member that a record has, or to a part of one. */
bool record_has_path(const char *path);

#endif
