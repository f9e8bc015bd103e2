/* Opening a store, and what its readers and writers share. */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/text.h"
#include "store/schema.h"
#include "store/store_own.h"

be_status store_path(char out[FILE_PATH_BYTES], be_error *err)
{
    char place[FILE_PATH_BYTES];
    TRY(file_xdg(place, FILE_DATA, err));
    return file_format_path(out, err, "%s/results.db", place);
}

be_status store_can_keep(be_error *err)
{
    char path[FILE_PATH_BYTES];
    struct stat info = {0};
    bool shortened = false;
    TRY(store_path(path, err));
    /* The nearest of its folders that is there: the others would be made in it. */
    for (char *end; stat(path, &info) != 0 && (end = strrchr(path, '/')) != path; *end = 0)
        shortened = true;
    if (access(path, W_OK) == 0 && (!shortened || S_ISDIR(info.st_mode))) return BE_OK;
    FAIL(err, BE_IO,
         "results are not kept: expected to write in %s, found that it cannot be written; change "
         "its permissions, or name another folder in XDG_DATA_HOME",
         path);
}

/* ---------------------------------------------------------------- statements */

store_query store_ask(store *s, const char *action, const char *text)
{
    store_query q = {.s = s, .action = action};
    q.code = sqlite3_prepare_v2(s->db, text, -1, &q.statement, NULL);
    return q;
}

static void bind_done(store_query *q, int code)
{
    if (q->code == SQLITE_OK) q->code = code;
}

void store_bind_text(store_query *q, const char *text)
{
    bind_done(q, sqlite3_bind_text(q->statement, ++q->bound, text, -1, SQLITE_TRANSIENT));
}

void store_bind_number(store_query *q, int64_t number)
{
    bind_done(q, sqlite3_bind_int64(q->statement, ++q->bound, number));
}

void store_bind_known(store_query *q, int64_t number)
{
    if (number < 0)
        bind_done(q, sqlite3_bind_null(q->statement, ++q->bound));
    else
        store_bind_number(q, number);
}

be_status store_step(store_query *q, bool *row, be_error *err)
{
    if (q->code == SQLITE_OK) q->code = sqlite3_step(q->statement);
    *row = q->code == SQLITE_ROW;
    if (*row) q->code = SQLITE_OK;
    if (*row || q->code == SQLITE_DONE) return BE_OK;
    return store_fault(q->s->db, q->code, q->action, q->s->path, err);
}

void store_finish(store_query *q)
{
    sqlite3_finalize(q->statement);
    q->statement = NULL;
}

be_status store_do(store_query *q, be_error *err)
{
    bool row = true;
    be_status status = BE_OK;
    while (status == BE_OK && row) status = store_step(q, &row, err);
    store_finish(q);
    return status;
}

/* ---------------------------------------------------------------- opening */

static be_status run_text(store *s, const char *action, const char *text, be_error *err)
{
    int code = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? BE_OK : store_fault(s->db, code, action, s->path, err);
}

static be_status open_database(store *s, const char *name, int flags, be_error *err)
{
    int code = sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_URI, NULL);
    if (code != SQLITE_OK) return store_fault(s->db, code, "open", s->path, err);
    sqlite3_busy_timeout(s->db, STORE_WAIT_MS);
    return BE_OK;
}

/* The journal is a log beside the database; where a file system cannot share memory, SQLite keeps
 * to its older journal, which is as safe.  It is synchronised when the log is folded in, not at
 * every record: a kill loses nothing by that, and no measurement waits for a disk. */
static be_status set_up_writing(store *s, be_error *err)
{
    int version = 0;
    TRY(schema_check(s->db, s->path, &version, err));
    int code = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    /* Another program is making it so at this moment. */
    if (code != SQLITE_OK && (code & 0xFF) != SQLITE_BUSY)
        return store_fault(s->db, code, "write", s->path, err);
    TRY(run_text(s, "write",
                 "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                 "PRAGMA cache_size = -65536",
                 err));
    return version == schema_version ? BE_OK : schema_migrate(s->db, s->path, err);
}

static be_status new_store(store **out, const char *path, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(store), "the store of results", err));
    store *s = memory;
    be_status status = path ? file_format_path(s->path, err, "%s", path) : store_path(s->path, err);
    if (status != BE_OK)
        memory_free(s);
    else
        *out = s;
    return status;
}

static be_status make_folder_of(const char *path, be_error *err)
{
    char folder[FILE_PATH_BYTES];
    TRY(file_format_path(folder, err, "%s", path));
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder) return BE_OK;
    *slash = 0;
    return file_make_folders(folder, err);
}

be_status store_open(store **out, const char *path, be_error *err)
{
    TRY(new_store(out, path, err));
    store *s = *out;
    be_status status = make_folder_of(s->path, err);
    if (status == BE_OK)
        status = open_database(s, s->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
    if (status == BE_OK) status = set_up_writing(s, err);
    if (status == BE_OK) return BE_OK;
    store_close(s);
    *out = NULL;
    return status;
}

/* An older database is read as it is only if it is of this version: its migration needs writing. */
static be_status check_version(store *s, be_error *err)
{
    int version = 0;
    TRY(schema_check(s->db, s->path, &version, err));
    if (version == schema_version) return BE_OK;
    sqlite3_close_v2(s->db);
    s->db = NULL;
    TRY(open_database(s, s->path, SQLITE_OPEN_READWRITE, err));
    return set_up_writing(s, err);
}

/* A full disk has no room for what readers of a log share; who is alone with it needs none. */
static be_status open_alone(store *s, be_error *err)
{
    sqlite3_close_v2(s->db);
    s->db = NULL;
    TRY(open_database(s, s->path, SQLITE_OPEN_READWRITE, err));
    TRY(run_text(s, "read", "PRAGMA locking_mode = EXCLUSIVE", err));
    return check_version(s, err);
}

/* A folder that cannot be written has no place for what readers of a log share; nobody writes
 * there, so it is read as it lies. */
static be_status open_existing(store *s, be_error *err)
{
    char name[FILE_PATH_BYTES * 3 + 40];
    text_buffer b = TEXT_BUFFER(name);
    int version = 0;
    be_error first = {0};
    be_status status = open_database(s, s->path, SQLITE_OPEN_READWRITE, &first);
    if (status == BE_OK) status = check_version(s, &first);
    if (status == BE_OK) return BE_OK;
    if (s->db && sqlite3_system_errno(s->db) == ENOSPC) return open_alone(s, err);
    *err = first;
    if (access(s->path, R_OK) != 0 || access(s->path, W_OK) == 0) return status;
    sqlite3_close_v2(s->db);
    s->db = NULL;
    text_add(&b, "file:");
    for (const char *p = s->path; *p; p++)
        text_add(&b, strchr("?#%", *p) ? "%%%02X" : "%c", (unsigned char)*p);
    text_add(&b, "?immutable=1");
    TRY(open_database(s, name, SQLITE_OPEN_READONLY, err));
    TRY(schema_check(s->db, s->path, &version, err));
    if (version == schema_version) return BE_OK;
    *err = first;
    return status;
}

be_status store_open_to_read(store **out, const char *path, be_error *err)
{
    TRY(new_store(out, path, err));
    store *s = *out;
    be_status status;
    if (access(s->path, F_OK) != 0) {
        status = open_database(s, ":memory:", SQLITE_OPEN_READWRITE, err);
        if (status == BE_OK) status = schema_migrate(s->db, s->path, err);
    } else {
        status = open_existing(s, err);
    }
    if (status == BE_OK) return BE_OK;
    store_close(s);
    *out = NULL;
    return status;
}

void store_close(store *s)
{
    if (!s) return;
    sqlite3_finalize(s->insert);
    sqlite3_close_v2(s->db);
    memory_free(s);
}

be_status store_begin(store *s, be_error *err)
{
    return run_text(s, "write", "BEGIN IMMEDIATE", err);
}

be_status store_end(store *s, be_status status, be_error *err)
{
    if (status == BE_OK) status = run_text(s, "write", "COMMIT", err);
    if (status != BE_OK) store_take_back(s);
    return status;
}

void store_take_back(store *s)
{
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}
