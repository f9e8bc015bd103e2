/* Reading CIFAR-10's binary files. */
#include "data/cifar.h"

#include <inttypes.h>
#include <string.h>

#include "core/memory.h"

#define PIECE_RECORDS 16

static be_status append_record(gzip_reader *r, const unsigned char *record, int64_t index,
                               int64_t limit, cifar_records *records, be_error *err)
{
    if (record[0] >= CIFAR_CLASSES)
        FAIL(err, BE_BAD_DATA,
             "%s: record %" PRId64 ": expected a label from 0 to %d, found %d; check that it is a "
             "CIFAR-10 file, or fetch it again",
             gzip_name(r), index, CIFAR_CLASSES - 1, record[0]);
    if (limit > 0 && records->count >= limit) return BE_OK;
    void *images = records->images, *labels = records->labels;
    size_t count = (size_t)records->count + 1;
    be_status status = memory_grow(&images, &records->image_room, count, CIFAR_IMAGE_BYTES, err);
    records->images = images;
    if (status == BE_OK)
        status = memory_grow(&labels, &records->label_room, count, sizeof *records->labels, err);
    records->labels = labels;
    if (status != BE_OK) return status;
    memcpy(records->images + (count - 1) * CIFAR_IMAGE_BYTES, record + 1, CIFAR_IMAGE_BYTES);
    records->labels[count - 1] = record[0];
    records->count++;
    return BE_OK;
}

be_status cifar_append(gzip_reader *r, int64_t limit, cifar_records *records, be_error *err)
{
    unsigned char piece[PIECE_RECORDS * CIFAR_RECORD_BYTES];
    size_t got = 0;
    int64_t index = 0;
    do {
        TRY(gzip_read_some(r, piece, sizeof piece, &got, err));
        if (index + (int64_t)(got / CIFAR_RECORD_BYTES) > CIFAR_FILE_RECORDS)
            FAIL(
                err, BE_BAD_DATA,
                "%s: expected at most %d records of %d bytes, found more; it is oversized or not a "
                "CIFAR-10 file, fetch it again",
                gzip_name(r), CIFAR_FILE_RECORDS, CIFAR_RECORD_BYTES);
        for (size_t at = 0; at + CIFAR_RECORD_BYTES <= got; at += CIFAR_RECORD_BYTES)
            TRY(append_record(r, piece + at, index++, limit, records, err));
        if (got % CIFAR_RECORD_BYTES)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected whole records of %d bytes, found %zu bytes after record %" PRId64
                 "; the file is truncated or not a CIFAR-10 file, fetch it again",
                 gzip_name(r), CIFAR_RECORD_BYTES, got % CIFAR_RECORD_BYTES, index - 1);
    } while (got == sizeof piece);
    if (index == 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected records of %d bytes, found an empty file; fetch it again", gzip_name(r),
             CIFAR_RECORD_BYTES);
    return gzip_end(r, err);
}

void cifar_free(cifar_records *records)
{
    memory_free(records->images);
    memory_free(records->labels);
    *records = (cifar_records){0};
}
