/* A record of bench as a struct, and the one decoder of its JSON.
 *
 * What run/record.h writes is read here and nowhere else: every member by one table, with its type
 * and range.  A text belongs to the JSON, which the struct refers to and does not own.  Unknown
 * numbers are NAN, unknown counts -1, unknown texts "". */
#ifndef RUN_RECORD_DECODE_H
#define RUN_RECORD_DECODE_H

#include <jansson.h>
#include <stdint.h>

#include "core/status.h"
#include "measure/stats.h"

/* Where a record stands, for error texts: "FILE, line 3, contender 2". */
typedef struct record_place {
    const char *file;
    const char *unit; /* "line" or "record" */
    size_t number;    /* from 1 */
    size_t contender; /* of a sweep's point, from 1; 0: it is a record of its own */
} record_place;

/* As far as measurements of two machines are told apart. */
typedef struct record_machine {
    const char *cpu;
    int64_t threads, memory_bytes;
} record_machine;

typedef struct record_measured {
    const json_t *json;
    const char *workload, *mode, *precision, *data_on, *engine, *device, *device_name;
    const char *status_word, *error, *data;
    const json_t *program; /* asked.program; NULL: unknown */
    int64_t schema, threads, asked_threads, batch, width, size, data_count, peak_rss_bytes,
        device_memory_bytes;
    stats_interval step_s; /* NAN unless the status is OK */
    double samples_per_s, start_s, prepare_s, first_step_s, energy_per_step_j;
    be_status status;
    record_machine machine;
    record_place place;
} record_measured;

/* Check and read one record.  `environment` stands in for a missing one of its own (a sweep's file
 * has it once); NULL: there is none.  BE_BAD_DATA names file, line and member, what was expected
 * and what was found. */
BE_CHECKED be_status record_decode(const json_t *json, const json_t *environment,
                                   const record_place *place, record_measured *out, be_error *err);

/* "FILE, line 3, contender 2" */
const char *record_place_text(const record_place *place, char out[300]);

#endif
