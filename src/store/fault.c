/* See fault.h. */
#include "store/fault.h"

#include <string.h>

be_status store_fault(sqlite3 *db, int code, const char *action, const char *path, be_error *err)
{
    int system = db ? sqlite3_system_errno(db) : 0;
    switch (code & 0xFF) { /* without what extends a code */
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        FAIL(err, BE_BAD_DATA,
             "%s: expected a sound database, found a damaged one; move it away, and what is whole "
             "comes back by 'sqlite3 FILE .recover'",
             path);
    case SQLITE_FULL:
        FAIL(err, BE_IO, "%s: expected room for it, found the disk full; free some", path);
    case SQLITE_READONLY:
        FAIL(err, BE_IO,
             "%s: expected to be allowed to write it, found it read-only; change its permissions, "
             "or set XDG_DATA_HOME to another folder",
             path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        FAIL(err, BE_IO,
             "%s: expected it to be free within %d seconds, found another program writing all the "
             "time; end that one, or try again",
             path, STORE_WAIT_MS / 1000);
    case SQLITE_NOMEM:
        FAIL(err, BE_NO_MEMORY, "%s: no memory left for it; free some", path);
    default:
        FAIL(err, BE_IO, "cannot %s %s: %s; check that its folder can be written and has room",
             action, path,
             system ? strerror(system)
             : db   ? sqlite3_errmsg(db)
                    : sqlite3_errstr(code));
    }
}
