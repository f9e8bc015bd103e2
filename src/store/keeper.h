/* What a command keeps while it measures: each record as it comes, in one run.
 *
 * That a store cannot be written is no fault of a measurement: it is told once, and the command
 * goes on. */
#ifndef STORE_KEEPER_H
#define STORE_KEEPER_H

#include "store/store.h"

typedef struct keeper {
    const char *command; /* NULL: nothing is kept */
    store *store;        /* opened with the first record */
    int64_t run;
    json_t *kept; /* the records, to know those that a study completes */
    int64_t *ids; /* of the records, in the same order; 0: the store had it already */
    size_t room;
    be_error reason; /* why nothing is kept any more */
} keeper;

/* Keep a record; `environment` tells the machine and the build if the record does not (NULL).  The
 * reason, as a sentence, if that failed for the first time; else NULL. */
const char *keeper_add(keeper *k, json_t *record, const json_t *environment);

/* Write anew what was completed since it was added, and let the store go. */
const char *keeper_end(keeper *k);

#endif
