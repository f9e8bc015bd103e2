/* The file of a sweep: a header and one record a line, each written as soon as it is measured.
 *
 * Owns the open file, which stays locked: two sweeps cannot write one file.  A last line that was
 * cut by a kill is taken away when the file is opened again.  What is read back is checked
 * (run/record_read.h). */
#ifndef RUN_SWEEP_LOG_H
#define RUN_SWEEP_LOG_H

#include <jansson.h>
#include <stdbool.h>

#include "core/file.h"
#include "core/status.h"

typedef struct sweep_log {
    int fd;      /* -1: not open, nothing is kept */
    bool stream; /* a pipe or device: nothing can be read back */
    char path[FILE_PATH_BYTES];
} sweep_log;

/* Begin a file at `path`, whose folder must exist; at a name of its own in the folder of sweeps
 * ($XDG_STATE_HOME/breakeven/sweeps), which is made if missing, if `path` is NULL:
 * NAME-TIME-PROCESS.jsonl. BE_USAGE if the file has content already.  After a failure the log is
 * not open, and takes no records. */
BE_CHECKED be_status sweep_log_create(sweep_log *log, const char *path, const char *name,
                                      const json_t *header, be_error *err);

/* Is there something for sweep_log_open to go on with? */
bool sweep_log_exists(const char *path, const char *name);

/* What an earlier sweep left; both are the caller's to release. */
typedef struct sweep_log_content {
    json_t *header;
    json_t *records; /* a list */
    bool damaged;    /* its last line was cut */
} sweep_log_content;

/* Open the file of an earlier sweep, at `path` or, if that is NULL, the newest of this name in the
 * folder of sweeps.  BE_USAGE if there is none, BE_BAD_DATA for a file that is no sweep's; *out is
 * to be released then too. */
BE_CHECKED be_status sweep_log_open(sweep_log *log, const char *path, const char *name,
                                    sweep_log_content *out, be_error *err);

/* One line more; none where the log is not open. */
BE_CHECKED be_status sweep_log_append(sweep_log *log, const json_t *record, be_error *err);

void sweep_log_close(sweep_log *log); /* twice is fine */

#endif
