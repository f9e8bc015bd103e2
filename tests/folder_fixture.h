/* A folder of its own for each test: folder_begin and folder_end are its setup and teardown. */
#ifndef TESTS_FOLDER_FIXTURE_H
#define TESTS_FOLDER_FIXTURE_H

#include "core/file.h"
#include "support.h"

static char *folder;

static inline int folder_begin(void **state)
{
    (void)state;
    folder = support_make_folder();
    return 0;
}

static inline int folder_end(void **state)
{
    (void)state;
    support_remove_folder(folder);
    return 0;
}

/* The path of a name in the folder; the last eight stay as they are. */
static inline const char *folder_path(const char *name)
{
    static char paths[8][FILE_PATH_BYTES];
    static int next;
    return support_path(paths[next++ % 8], FILE_PATH_BYTES, folder, name);
}

#endif
