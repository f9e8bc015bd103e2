/* A reader of bytes from a file or from memory, plain or gzip (RFC 1952), told apart by content.
 *
 * Hands out no more than it is asked for, so that a file that would inflate to terabytes costs
 * nothing: the format above knows how much it wants, and gzip_end says whether the stream ends
 * there, with the right checksum and nothing behind it.  May not know what the bytes mean. */
#ifndef DATA_GZIP_H
#define DATA_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct gzip_reader gzip_reader;

/* A file whose name ends in .gz and that is a web page or the like is BE_BAD_DATA. */
BE_CHECKED be_status gzip_open(gzip_reader **out, const char *path, be_error *err);

/* The same from memory that outlives the reader; `name` stands for the path in error texts. */
BE_CHECKED be_status gzip_open_memory(gzip_reader **out, const void *bytes, size_t count,
                                      const char *name, be_error *err);
void gzip_close(gzip_reader *r); /* NULL is fine */

const char *gzip_name(const gzip_reader *r); /* path or name */

/* An upper bound of the bytes that the whole source can hold once inflated: its size if plain, else
 * 1032 times its size (the limit of the deflate format). */
int64_t gzip_most_bytes(const gzip_reader *r);

/* BE_BAD_DATA if the source begins as a file of another kind does (data/foreign.h): `expected` is
 * what it should be.  Before anything is read; of a source that is gzip nothing is told. */
BE_CHECKED be_status gzip_check_foreign(const gzip_reader *r, const char *expected, be_error *err);

/* Up to `room` bytes; *got < room at the end only.  A damaged stream or one cut short is
 * BE_BAD_DATA. */
BE_CHECKED be_status gzip_read_some(gzip_reader *r, void *out, size_t room, size_t *got,
                                    be_error *err);

/* Exactly `bytes`, or BE_BAD_DATA: `what` was expected, the source ended before it. */
BE_CHECKED be_status gzip_read(gzip_reader *r, void *out, size_t bytes, const char *what,
                               be_error *err);

/* Nothing may follow: neither more data nor bytes behind the last gzip member. */
BE_CHECKED be_status gzip_end(gzip_reader *r, be_error *err);

#endif
