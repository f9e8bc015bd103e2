/* The record of one contender's measurement, as `bench --format jsonl` writes it.
 *
 * A record says what was asked (`asked`) and what was really used (the members at the top), keeps
 * every raw block, and holds null for what is not known, never 0.  Builds JSON, writes nothing. */
#ifndef RUN_RECORD_H
#define RUN_RECORD_H

#include <jansson.h>
#include <stdint.h>

#include "run/conductor.h"
#include "run/record_fields.h"

/* What the conductor does not know. */
typedef struct record_facts {
    int64_t unix_s;         /* time of the measurement */
    double flops_per_step;  /* NAN if unknown */
    double bytes_per_step;  /* NAN if unknown */
    const char *data;       /* name of the data set; NULL if unknown */
    const char *precisions; /* that were measured side by side: "fp32,bf16"; NULL: one */
    json_t *environment;    /* of environment_to_json, borrowed; NULL becomes null */
} record_facts;

/* The record of contender i of a report.  Contenders are those of conductor_run.  The caller owns
 * *out.  BE_NO_MEMORY is the only error. */
BE_CHECKED be_status record_build(const conductor_contender *contenders,
                                  const conductor_report *report, int i, const record_facts *facts,
                                  json_t **out, be_error *err);

#endif
