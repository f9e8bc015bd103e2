/* What lies in the database of results, by version, and how an older one becomes a newer one.
 *
 * The version stands in SQLite's user_version.  To change the schema, add a migration to the end of
 * the list; those before it are never changed, for databases of theirs exist. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <sqlite3.h>

#include "core/status.h"

/* In SQLite's application_id, so that another program's database is not taken for one: "BrkE". */
#define SCHEMA_APPLICATION 0x42726b45

/* The newest version, which is that of this program. */
extern const int schema_version;

/* The version of an open database, 0 for an empty one.  BE_BAD_DATA for a database of another
 * program and for a newer version; `path` is for the error text. */
BE_CHECKED be_status schema_check(sqlite3 *db, const char *path, int *version, be_error *err);

/* Make it the newest version, all at once or not at all. */
BE_CHECKED be_status schema_migrate(sqlite3 *db, const char *path, be_error *err);

#endif
