/* What the tests of the store share: a folder with the path of a database, and planted records. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "store/store.h"
#include "support.h"

typedef struct world {
    char *folder;
    char path[FILE_PATH_BYTES], file[FILE_PATH_BYTES]; /* of the database, and of records */
} world;

/* A filter that takes all runs. */
#define ALL .since_s = -1, .until_s = -1

/* Of cmocka: *state is a world. */
int store_set_up(void **state);
int store_tear_down(void **state);

/* Of 4 threads and 8 GiB. */
json_t *plant_environment(const char *cpu, const char *commit);
/* One that was measured, with one block. */
json_t *plant_record(const char *workload, const char *device, double step_s);

/* On "A Processor, 4 threads", of build abc123; its number. */
int64_t plant_run(store *s, const char *command, int64_t began_s);
/* Add a planted record of cuda:0; its id, 0 if it was there. */
int64_t put_record(store *s, int64_t run, const char *workload, double step_s);

/* Of store_read: `context` is a list of texts. */
be_status take_line(void *context, const char *line, int64_t run, be_error *err);
/* Of all runs where `run` is 0. */
json_t *lines_of(store *s, int64_t run);
size_t count_lines(store *s, int64_t run);

#endif
