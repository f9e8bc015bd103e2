/* What a file really is that is not in the format which was expected: a web page, a pointer of Git
 * LFS, an archive of another kind.  By the first bytes, for error texts; reads nothing. */
#ifndef DATA_FOREIGN_H
#define DATA_FOREIGN_H

#include <stddef.h>

#include "core/status.h"

/* BE_BAD_DATA with what the file is and what to do, if its first bytes tell; else BE_OK. `expected`
 * is what it should be: "a gzip file". */
BE_CHECKED be_status foreign_check(const char *name, const void *bytes, size_t count,
                                   const char *expected, be_error *err);

#endif
