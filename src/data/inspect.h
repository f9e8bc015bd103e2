/* What is on this machine of a data set, and whether it is right (`breakeven data list`, `verify`).
 * May not print. */
#ifndef DATA_INSPECT_H
#define DATA_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "data/catalog.h"

typedef enum inspect_state {
    INSPECT_MISSING,
    INSPECT_THERE,     /* not looked into: list */
    INSPECT_PUBLISHED, /* the publisher's bytes, by SHA-256 */
    INSPECT_OTHER,     /* readable, other bytes than the publisher's, or none are known */
    INSPECT_DAMAGED,   /* `problem` says how */
} inspect_state;

/* "missing", "there", … */
const char *inspect_state_name(inspect_state state);

typedef struct inspect_file {
    const catalog_file *file;
    inspect_state state;
    int64_t bytes; /* on disk */
    char path[FILE_PATH_BYTES];
    be_error problem;
} inspect_file;

typedef struct inspect_split {
    bool good;        /* it loads with as many pictures as the publisher's has */
    int64_t count;    /* pictures */
    be_error problem; /* where it does not */
} inspect_split;

typedef struct inspect_report {
    const catalog_set *set;
    catalog_place place; /* found: false if no file is there */
    inspect_file files[CATALOG_FILES_MAX];
    char archive[FILE_PATH_BYTES]; /* that holds all of them; "": there is none */
    int64_t archive_bytes;
    inspect_split splits[2]; /* by dataset_split; of verify only */
    bool good; /* verify: both splits load with all their pictures, and no file is damaged */
} inspect_report;

/* Is a file missing, and no archive there that holds it? */
bool inspect_is_incomplete(const inspect_report *report);

/* Which files are there.  A generated set is always there and has none. */
BE_CHECKED be_status inspect_list(const catalog_set *set, const char *data_dir, inspect_report *out,
                                  be_error *err);

/* Read every file there is: checksums, and both splits as a training would load them.  What is
 * wrong with the files is in the report, not in the status. */
BE_CHECKED be_status inspect_verify(const catalog_set *set, const char *data_dir,
                                    inspect_report *out, be_error *err);

#endif
