/* Records of other machines, from the files that bench, sweep and 'runs export' write. */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/store.h"

typedef struct import_count {
    int64_t added, known,
        runs; /* records that are new, or were there already; runs that were made */
} import_count;

/* Take the records of a file ("-": standard input), plain or gzip, a run for each machine and build
 * in it.  All are taken or none: a bad line is BE_BAD_DATA with its file and number. */
BE_CHECKED be_status import_file(store *s, const char *path, import_count *out, be_error *err);

/* That of a text in memory, which `name` names. */
BE_CHECKED be_status import_text(store *s, const char *name, const char *text, size_t length,
                                 import_count *out, be_error *err);

#endif
