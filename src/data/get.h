/* Fetching a data set from its publisher (`breakeven data get`).
 *
 * What is already there and right is left alone; what is fetched is checked before it is put in its
 * place.  May not print. */
#ifndef DATA_GET_H
#define DATA_GET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "data/catalog.h"

typedef struct get_progress {
    const char *file; /* being fetched */
    int index, count; /* of the files to fetch; index from 0 */
    int64_t bytes, total_bytes;
} get_progress;

typedef struct get_options {
    const char *folder;   /* of the set; NULL: as catalog_home says */
    const char *data_dir; /* of all sets, for catalog_home; may be NULL */
    const char *mirror;   /* files come from MIRROR/NAME/FILE; NULL: $BREAKEVEN_MIRROR, or else the
                             publisher */
    int stall_seconds;    /* 0: as in data/download.h */
    bool (*progress)(void *context, const get_progress *progress); /* false stops; may be NULL */
    void *context;
} get_options;

typedef struct get_result {
    char folder[FILE_PATH_BYTES];
    int fetched; /* files put in place */
    int kept;    /* files that were there and right */
} get_result;

/* Fetch what is missing of a set.  A generated set is BE_USAGE.  *result is valid on BE_OK. */
BE_CHECKED be_status get_data_set(const catalog_set *set, const get_options *options,
                                  get_result *result, be_error *err);

#endif
