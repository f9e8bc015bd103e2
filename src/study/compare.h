/* Two or more sets of records side by side: what is the same piece of work, by how much it differs,
 * what is missing, and which settings are not alike.  Nothing is measured. */
#ifndef STUDY_COMPARE_H
#define STUDY_COMPARE_H

#include <jansson.h>

#include "core/status.h"

#define COMPARE_SIDES_MAX 8

typedef struct compare_side {
    const char *name, *title; /* as it was asked for; what it was taken for */
    json_t *records;          /* of store/choose.h */
    double price;             /* money for an hour; NAN: not known */
} compare_side;

typedef struct compare_request {
    compare_side sides[COMPARE_SIDES_MAX];
    int side_count, baseline; /* the side that the others are held against */
    const char *workload;     /* rows of it alone; NULL: of all */
    int64_t epochs;           /* whose time is told; 0: none */
    double slower; /* a row that is SLOWER by more than this share fails; NAN: none does */
} compare_request;

/* *out is an object: sides (letter, name, title, price), baseline (a letter), epochs, rows,
 * differences (setting, rows, of how many, values by letter, and who they are of), means (by
 * letter: ratio, low, high, rows) and missing (by letter: rows that it lacks).
 *
 * A row: workload, mode, engine, device, precision, batch, the variant, and by letter: step_s, low,
 * high, threads, samples_per_s, samples_per_j and samples_per_price (null where there is no sensor
 * or no price), device_name, run, epochs_s, epochs_j, price; and ratio (of the time of a sample to
 * the baseline's), ratio_low, ratio_high, verdict.  A letter that lacks the row has none.  Of
 * several records of one row it is the fastest of the newest run.
 *
 * BE_USAGE where nothing can be compared; BE_SLOWER, with *out, where a row fails. */
BE_CHECKED be_status study_compare(const compare_request *request, json_t **out, be_error *err);

/* Those of the runs (store/choose.h) that have a speed, the first ones where there are too many;
 * *out is NULL where there are not two of them, or they have no work in common. */
BE_CHECKED be_status study_compare_runs(const json_t *runs, json_t **out, be_error *err);

#endif
