/* Folders that belong to one process: a temporary one, and one that only one process may write to.
 *
 * Both are held by a lock on a file in them, which the system takes away with the process, however
 * it ends.  So a temporary folder whose process was killed is told from one in use, and is removed
 * by the next process that makes one; and a lock that a dead process left is no obstacle. */
#ifndef CORE_FOLDER_H
#define CORE_FOLDER_H

#include "core/file.h"

typedef struct folder_temporary {
    char path[FILE_PATH_BYTES]; /* "": there is none */
    int lock;                   /* the descriptor that holds it, or -1 */
} folder_temporary;

/* A new empty folder breakeven-XXXXXX in $TMPDIR or /tmp.  Removes what dead processes of this user
 * left there. */
BE_CHECKED be_status folder_temporary_new(folder_temporary *out, be_error *err);
void folder_temporary_remove(folder_temporary *f); /* with all in it; twice is fine */

typedef struct folder_lock {
    bool is_held, made; /* made: the folder was not there before */
    char folder[FILE_PATH_BYTES], file[FILE_PATH_BYTES];
    int fd;
} folder_lock;

/* Make the folder if it is missing, and hold FOLDER/NAME.lock.  BE_FAILED if another process does:
 * the text names it, and since when, calls it `who` ("training"), and ends with `advice`. */
BE_CHECKED be_status folder_lock_take(folder_lock *out, const char *folder, const char *name,
                                      const char *who, const char *advice, be_error *err);

/* Removes the lock's file, and the folder if it was made for it and is empty.  Twice is fine. */
void folder_lock_release(folder_lock *l);

#endif
