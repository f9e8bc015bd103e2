/* See schema.h. */
#include "store/schema.h"

#include <stdbool.h>
#include <stdio.h>

#include "store/fault.h"

/* Entry i leads from version i to version i + 1.
 *
 * A run is what one command measured, or what one file brought of one machine and build.  A record
 * is one line of JSON, kept as it was written; the columns beside it are for looking it up.  Its
 * digest, the SHA-256 of the line, makes a second import of it no second record.  Notes stand
 * beside a run, which is never rewritten. */
static const char *const migrations[] = {
    "CREATE TABLE run ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  began INTEGER,"         /* seconds of the Unix clock; NULL: not known */
    "  command TEXT NOT NULL," /* bench, sweep, explain, advise, train, import */
    "  source TEXT,"           /* the file of an import */
    "  machine TEXT,"
    "  commit_id TEXT);"
    "CREATE TABLE record ("
    "  id INTEGER PRIMARY KEY,"
    "  run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    "  kind TEXT NOT NULL,"
    "  workload TEXT, engine TEXT, device TEXT,"
    "  digest BLOB NOT NULL UNIQUE,"
    "  line TEXT NOT NULL);"
    "CREATE INDEX record_of_run ON record(run, workload, engine, device);"
    "CREATE TABLE note ("
    "  id INTEGER PRIMARY KEY,"
    "  run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    "  at INTEGER NOT NULL,"
    "  text TEXT NOT NULL);"
    "CREATE INDEX note_of_run ON note(run);",
};

#define VERSIONS ((int)(sizeof migrations / sizeof *migrations))

const int schema_version = VERSIONS;

static be_status read_number(sqlite3 *db, const char *path, const char *query, int *out,
                             be_error *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, query, -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *out = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? BE_OK : store_fault(db, code, "read", path, err);
}

be_status schema_check(sqlite3 *db, const char *path, int *version, be_error *err)
{
    int application = 0, tables = 0;
    TRY(read_number(db, path, "PRAGMA application_id", &application, err));
    TRY(read_number(db, path, "PRAGMA user_version", version, err));
    TRY(read_number(db, path, "SELECT count(*) FROM sqlite_master", &tables, err));
    bool empty = !application && !*version && !tables;
    if (!empty && application != SCHEMA_APPLICATION)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a database of breakeven's results, found one of another program; move "
             "it away, or set XDG_DATA_HOME to another folder",
             path);
    if (*version > VERSIONS)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a database of version %d at most, found version %d of a newer "
             "breakeven; use that one, or set XDG_DATA_HOME to another folder",
             path, VERSIONS, *version);
    if (*version < 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a database of version 0 to %d, found version %d: it is damaged; move it "
             "away, or set XDG_DATA_HOME to another folder",
             path, VERSIONS, *version);
    return BE_OK;
}

static be_status run_text(sqlite3 *db, const char *path, const char *text, be_error *err)
{
    int code = sqlite3_exec(db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? BE_OK : store_fault(db, code, "write", path, err);
}

/* Within a transaction: another program may have done it meanwhile. */
static be_status migrate(sqlite3 *db, const char *path, be_error *err)
{
    char number[100];
    int version = 0;
    TRY(schema_check(db, path, &version, err));
    if (version == VERSIONS) return BE_OK;
    for (; version < VERSIONS; version++) TRY(run_text(db, path, migrations[version], err));
    snprintf(number, sizeof number, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             SCHEMA_APPLICATION, VERSIONS);
    return run_text(db, path, number, err);
}

be_status schema_migrate(sqlite3 *db, const char *path, be_error *err)
{
    TRY(run_text(db, path, "BEGIN IMMEDIATE", err));
    be_status status = migrate(db, path, err);
    if (status == BE_OK) status = run_text(db, path, "COMMIT", err);
    if (status != BE_OK) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
