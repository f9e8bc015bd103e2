/* SHA-256 of memory and of files, as they lie or unpacked, in hexadecimal.  May not know what they
 * hold. */
#ifndef DATA_SHA256_H
#define DATA_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define SHA256_TEXT_BYTES 65 /* 64 digits and the end */

void sha256_bytes(const void *bytes, size_t count, char text[SHA256_TEXT_BYTES]);

/* The bytes as they lie. */
BE_CHECKED be_status sha256_file(const char *path, char text[SHA256_TEXT_BYTES], be_error *err);

/* The bytes after decompression, if it is a gzip file, and their number.  More than `limit_bytes`
 * is BE_BAD_DATA, found without decompressing the rest. */
BE_CHECKED be_status sha256_unpacked(const char *path, int64_t limit_bytes,
                                     char text[SHA256_TEXT_BYTES], int64_t *bytes, be_error *err);

#endif
