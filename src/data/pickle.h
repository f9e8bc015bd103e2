/* Reads one form of Python pickle: that of a batch of CIFAR-10's Python version, a dict with a list
 * of whole numbers, "labels", and an array of bytes, "data" (docs.python.org/3/library/pickletools
 * has the opcodes; protocol 2).
 *
 * Runs nothing and imports nothing: the three names of NumPy that such a file mentions are known
 * here, every other one is refused.  May not know what labels and bytes mean. */
#ifndef DATA_PICKLE_H
#define DATA_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct pickle_batch {
    int64_t rows, row_bytes;
    const uint8_t *data; /* rows × row_bytes, in the bytes that were read */
    int64_t label_count;
    int32_t *labels; /* free with memory_free_array */
} pickle_batch;

/* Does a file that begins like this hold a pickle? */
static inline bool pickle_begins(const uint8_t *bytes, size_t count)
{
    return count >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
}

/* `name` stands for the file in error texts.  Anything but the form above is BE_BAD_DATA. */
BE_CHECKED be_status pickle_read_batch(const uint8_t *bytes, size_t size, const char *name,
                                       pickle_batch *out, be_error *err);

#endif
