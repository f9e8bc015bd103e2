/* The results of this user, kept: a database of what was measured here and of what was imported.
 *
 * SQLite, for it keeps what was written whatever is killed, lets several programs write, and can be
 * read by others ('sqlite3'); in WAL, so that who reads never waits for who writes.  What a write
 * gave BE_OK for survives the death of the program (of the system, all but the last writes).
 * A run is never rewritten, but for a record whose study still goes on. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/file.h"
#include "core/status.h"

typedef struct store store;

/* "$XDG_DATA_HOME/breakeven/results.db" */
BE_CHECKED be_status store_path(char out[FILE_PATH_BYTES], be_error *err);

/* BE_IO, with what to do, where no run can be kept: the database, or the folder that it would lie
 * in, cannot be written. */
BE_CHECKED be_status store_can_keep(be_error *err);

/* For writing; it is made, with its folder, where it is missing.  NULL: the user's own. */
BE_CHECKED be_status store_open(store **out, const char *path, be_error *err);

/* For reading alone; one that is missing reads as empty, and is not made. */
BE_CHECKED be_status store_open_to_read(store **out, const char *path, be_error *err);

void store_close(store *s);

/* ---------------------------------------------------------------- writing */

/* What a run is of.  Unknown texts are NULL. */
typedef struct store_run {
    const char *command, *source, *machine, *commit;
    int64_t began_s; /* of the Unix clock; negative: not known */
} store_run;

BE_CHECKED be_status store_add_run(store *s, const store_run *run, int64_t *id, be_error *err);

/* Add a record to a run; *id is 0 where the store has it already. */
BE_CHECKED be_status store_add_record(store *s, int64_t run, const json_t *record, int64_t *id,
                                      be_error *err);

/* A record as it is kept: its line, without blanks between its parts, and by what it is looked up.
 * Unknown texts are NULL; a record without a kind has "". */
typedef struct store_record {
    const char *line;
    size_t length;
    const char *kind, *workload, *engine, *device;
} store_record;

store_record store_record_of(const json_t *record, const char *line, size_t length);

/* The same of one whose line is at hand. */
BE_CHECKED be_status store_add_line(store *s, int64_t run, const store_record *record, int64_t *id,
                                    be_error *err);

/* Put a record that its study has completed in the place of what was added of it. */
BE_CHECKED be_status store_complete_record(store *s, int64_t id, const json_t *record,
                                           be_error *err);

BE_CHECKED be_status store_add_note(store *s, int64_t run, const char *text, int64_t unix_s,
                                    be_error *err);

/* The run, its records and its notes. */
BE_CHECKED be_status store_remove_run(store *s, int64_t run, be_error *err);

/* Remove a run if it has no record; *was_empty says whether. */
BE_CHECKED be_status store_drop_empty(store *s, int64_t run, bool *was_empty, be_error *err);

/* What is written between the two is there as a whole or not at all. */
BE_CHECKED be_status store_begin(store *s, be_error *err);
/* With an error on its way all is taken back, and the error stays. */
BE_CHECKED be_status store_end(store *s, be_status status, be_error *err);
void store_take_back(store *s);

/* The processor, its threads and the memory as a text; "" where no model is known.  Numbers that
 * are not positive are not known. */
const char *store_machine_text(const char *model, double threads, double bytes, char out[160]);

/* That of the environment of a record.  The commit of its build; "" where it is not known. */
const char *store_machine_of(const json_t *environment, char out[160]);
const char *store_commit_of(const json_t *environment);

/* ---------------------------------------------------------------- reading */

/* "2026-11-30": the second in which the day begins, in UTC; false where it is no day. */
bool store_day(const char *text, int64_t *unix_s);

/* What runs to look at; texts are NULL and times negative where all will do. */
typedef struct store_filter {
    const char *workload, *engine, *device; /* of a record of the run */
    const char *machine;                    /* a part of it, in any case */
    const char *commit;                     /* the beginning of it */
    int64_t since_s, until_s;               /* began at the earliest, and before */
    int64_t run;                            /* 0: any */
    int64_t limit;                          /* the newest ones, this many; 0: all */
} store_filter;

/* Append the runs, the newest first: run, time, command, source, workloads, engines, devices,
 * machine, commit, records, note (the last one).  *rest is how many more there are. */
BE_CHECKED be_status store_list(store *s, const store_filter *filter, json_t *runs, int64_t *rest,
                                be_error *err);

/* Give every line of the runs that the filter takes, in the order in which they were written; a
 * status that is not BE_OK ends it. */
typedef be_status store_take_line(void *context, const char *line, int64_t run, be_error *err);
BE_CHECKED be_status store_read(store *s, const store_filter *filter, store_take_line *take,
                                void *context, be_error *err);

/* Append the notes of a run: time and text. */
BE_CHECKED be_status store_notes(store *s, int64_t run, json_t *notes, be_error *err);

/* BE_USAGE where there is no such run. */
BE_CHECKED be_status store_check_run(store *s, int64_t run, be_error *err);

#endif
