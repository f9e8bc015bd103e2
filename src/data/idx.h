/* The IDX format of MNIST and its kin: 4 bytes of magic {0, 0, type, rank}, `rank` big-endian
 * 32-bit extents, then the items, the last dimension fastest (yann.lecun.com/exdb/mnist).  Only
 * unsigned bytes (type 8) are read; plain or gzip.  May not know what the items mean. */
#ifndef DATA_IDX_H
#define DATA_IDX_H

#include <stdint.h>

#include "core/status.h"
#include "data/gzip.h"

#define IDX_RANK_MAX 4

typedef struct idx_array {
    int rank;
    int64_t shape[IDX_RANK_MAX]; /* shape[0]: items kept */
    int64_t file_count;          /* items in the file, >= shape[0] */
    uint8_t *bytes;              /* free with memory_free */
} idx_array;

/* Read a file of this rank.  Of its items (the first dimension) at most `limit` are kept (0: all);
 * the whole file is read and checked all the same: magic, extents, size, gzip checksum, end.
 * Nothing is allocated that the file cannot fill. */
BE_CHECKED be_status idx_read(gzip_reader *r, int rank, int64_t limit, idx_array *out,
                              be_error *err);

#endif
