/* The binary format of CIFAR-10: records of one label byte (0 … 9) and 3,072 bytes of a 32×32
 * picture, its red, green and blue planes in turn (www.cs.toronto.edu/~kriz/cifar.html); plain or
 * gzip, at most 10,000 records a file.  May not know where the files lie. */
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
void cifar_free(cifar_records *records);

#endif
