/* A store from within. */
#ifndef STORE_OWN_H
#define STORE_OWN_H

#include <sqlite3.h>

#include "store/fault.h"
#include "store/store.h"

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert; /* of a record: prepared once */
    char path[FILE_PATH_BYTES];
};

/* A statement whose parameters are bound one after the other, each by its type.  The first fault is
 * kept and told by store_step. */
typedef struct store_query {
    store *s;
    sqlite3_stmt *statement;
    const char *action; /* for an error: "read" or "write" */
    int bound, code;
} store_query;

store_query store_ask(store *s, const char *action, const char *text);
void store_bind_text(store_query *q, const char *text); /* NULL where it is NULL */
void store_bind_number(store_query *q, int64_t number);
void store_bind_known(store_query *q, int64_t number); /* NULL where it is negative */

/* *row: there is another row, whose columns sqlite3_column_… give. */
BE_CHECKED be_status store_step(store_query *q, bool *row, be_error *err);

/* All rows, none of which is wanted, and the end of it. */
BE_CHECKED be_status store_do(store_query *q, be_error *err);
void store_finish(store_query *q);

#endif
