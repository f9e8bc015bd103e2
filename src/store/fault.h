/* SQLite's faults in this program's words. */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include <sqlite3.h>

#include "core/status.h"

#define STORE_WAIT_MS 10000 /* for another program that writes */

/* The status and the sentence of a result code that is no success: "PATH: expected …, found …".
 * `action` is "open", "read" or "write"; db may be NULL. */
be_status store_fault(sqlite3 *db, int code, const char *action, const char *path, be_error *err);

#endif
