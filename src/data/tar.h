/* Reading tar archives (POSIX ustar), member by member from a stream.  May not write files. */
#ifndef DATA_TAR_H
#define DATA_TAR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"
#include "data/gzip.h"

typedef struct tar_member {
    char name[101]; /* without the folders before it */
    bool regular;   /* an ordinary file */
    int64_t bytes;  /* of its data */
    int64_t left;   /* of them not yet read, kept by tar_read */
} tar_member;

/* The next member; what is left of the last one is passed over.  *is_member is false at the end of
 * the archive.  Begin with a zeroed member. */
BE_CHECKED be_status tar_next(gzip_reader *r, tar_member *member, bool *is_member, be_error *err);

/* Up to `room` bytes of the member's data; *got is 0 at its end. */
BE_CHECKED be_status tar_read(gzip_reader *r, tar_member *member, void *out, size_t room,
                              size_t *got, be_error *err);

#endif
