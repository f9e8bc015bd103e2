/* Fuzzes the opening of a database of results: one of an older version is brought up, a damaged one
 * is told, and what can be read of either is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/choose.h"
#include "store/schema.h"
#include "store/store_own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/fuzz-database-XXXXXX", path[80];

static void remove_files(void)
{
    static const char *const kinds[] = {"", "-wal", "-shm", "-journal"};
    char name[100];
    for (int k = 0; k < 4; k++) {
        snprintf(name, sizeof name, "%s%s", path, kinds[k]);
        unlink(name);
    }
}

static void remove_folder(void)
{
    remove_files();
    rmdir(folder);
}

static void use(store *s)
{
    be_error err = {0};
    int version = 0;
    int64_t left = 0;
    store_filter all = {.since_s = -1, .until_s = -1};
    json_t *list = json_array(), *runs = json_array();
    MUST(schema_check(s->db, path, &version, &err) == BE_OK && version == schema_version);
    be_status listed = store_list(s, &all, list, &left, &err);
    MUST(listed == BE_OK || err.text[0]);
    be_status collected = choose_collect(s, &all, runs, &err);
    MUST(collected == BE_OK || err.text[0]);
    be_status noted = store_add_note(s, 1, "a note", 1, &err);
    MUST(noted == BE_OK || err.text[0]);
    json_decref(list);
    json_decref(runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    be_error err = {0};
    store *s = NULL;
    if (!path[0]) {
        MUST(mkdtemp(folder));
        atexit(remove_folder);
        snprintf(path, sizeof path, "%s/results.db", folder);
    }
    MUST(file_write_whole(path, data, size, &err) == BE_OK);
    be_status status = store_open(&s, path, &err);
    MUST(status == BE_OK || err.text[0]);
    if (status == BE_OK) use(s);
    store_close(s);
    remove_files();
    return 0;
}
