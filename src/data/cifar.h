/* The two formats of CIFAR-10, plain or gzip, at most 10,000 pictures a file, told apart by their
 * first byte (www.cs.toronto.edu/~kriz/cifar.html).  Binary: records of one label byte (0 … 9) and
 * 3,072 bytes of a 32×32 picture, its red, green and blue planes in turn.  Python's: a pickle with
 * the same (data/pickle.h).  May not know where the files lie. */
#ifndef DATA_CIFAR_H
#define DATA_CIFAR_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "data/gzip.h"

#define CIFAR_IMAGE_BYTES 3072
#define CIFAR_RECORD_BYTES (1 + CIFAR_IMAGE_BYTES)
#define CIFAR_FILE_RECORDS 10000
#define CIFAR_CLASSES 10
#define CIFAR_FILE_BYTES_MAX (32 << 20) /* a batch as a pickle has 31,035,999 bytes at most */

typedef struct cifar_records {
    int64_t count;
    uint8_t *images; /* count × 3 × 32 × 32; free both with memory_free */
    int32_t *labels; /* count */
    size_t image_room, label_room;
} cifar_records;

/* Append a file's records until there are `limit` in all (0: no limit); the rest of the file is
 * checked all the same.  On an error the records so far stay, to be freed. */
BE_CHECKED be_status cifar_append(gzip_reader *r, int64_t limit, cifar_records *records,
                                  be_error *err);
/* Append the other's records until there are `limit` in all (0: no limit). */
BE_CHECKED be_status cifar_join(cifar_records *records, const cifar_records *other, int64_t limit,
                                be_error *err);
void cifar_free(cifar_records *records);

#endif
