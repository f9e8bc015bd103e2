/* Reading CIFAR-10's files. */
#include "data/cifar.h"

#include <inttypes.h>
#include <string.h>

#include "core/memory.h"
#include "data/foreign.h"
#include "data/pickle.h"

#define PIECE_RECORDS 16

static be_status append(cifar_records *records, const uint8_t *image, int32_t label, be_error *err)
{
    void *images = records->images, *labels = records->labels;
    size_t count = (size_t)records->count + 1;
    be_status status = memory_grow(&images, &records->image_room, count, CIFAR_IMAGE_BYTES, err);
    records->images = images;
    if (status == BE_OK)
        status = memory_grow(&labels, &records->label_room, count, sizeof *records->labels, err);
    records->labels = labels;
    if (status != BE_OK) return status;
    memcpy(records->images + (count - 1) * CIFAR_IMAGE_BYTES, image, CIFAR_IMAGE_BYTES);
    records->labels[count - 1] = label;
    records->count++;
    return BE_OK;
}

be_status cifar_join(cifar_records *records, const cifar_records *other, int64_t limit,
                     be_error *err)
{
    for (int64_t i = 0; i < other->count && (limit == 0 || records->count < limit); i++)
        TRY(append(records, other->images + i * CIFAR_IMAGE_BYTES, other->labels[i], err));
    return BE_OK;
}

typedef struct appending {
    gzip_reader *r;
    int64_t limit;
    cifar_records *records;
} appending;

static be_status append_picture(const appending *a, int64_t index, int32_t label,
                                const uint8_t *image, be_error *err)
{
    cifar_records *records = a->records;
    if (label < 0 || label >= CIFAR_CLASSES)
        FAIL(err, BE_BAD_DATA,
             "%s: record %" PRId64 ": expected a label from 0 to %d, found %d; check that it is a "
             "CIFAR-10 file, or fetch it again",
             gzip_name(a->r), index, CIFAR_CLASSES - 1, label);
    if (a->limit > 0 && records->count >= a->limit) return BE_OK;
    return append(records, image, label, err);
}

static be_status too_many(const gzip_reader *r, be_error *err)
{
    FAIL(err, BE_BAD_DATA,
         "%s: expected at most %d records of %d bytes, found more; it is oversized or not a "
         "CIFAR-10 file, fetch it again",
         gzip_name(r), CIFAR_FILE_RECORDS, CIFAR_RECORD_BYTES);
}

static be_status append_pickled(const appending *a, const pickle_batch *batch, be_error *err)
{
    if (batch->row_bytes != CIFAR_IMAGE_BYTES || batch->rows != batch->label_count ||
        batch->rows == 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected pictures of %d bytes and as many labels, found %" PRId64 " of %" PRId64
             " bytes and %" PRId64 " labels; check that it is a CIFAR-10 file, or fetch it again",
             gzip_name(a->r), CIFAR_IMAGE_BYTES, batch->rows, batch->row_bytes, batch->label_count);
    if (batch->rows > CIFAR_FILE_RECORDS) return too_many(a->r, err);
    for (int64_t i = 0; i < batch->rows; i++)
        TRY(append_picture(a, i, batch->labels[i], batch->data + i * CIFAR_IMAGE_BYTES, err));
    return BE_OK;
}

/* The whole file, of which the first bytes were read: a pickle has to be in memory at once. */
static be_status read_whole(gzip_reader *r, const unsigned char *first, size_t first_bytes,
                            void **out, size_t *bytes, be_error *err)
{
    size_t room = 0, got = first_bytes;
    TRY(memory_grow(out, &room, first_bytes, 1, err));
    memcpy(*out, first, first_bytes);
    *bytes = first_bytes;
    while (got > 0) {
        if (*bytes > CIFAR_FILE_BYTES_MAX) return too_many(r, err);
        TRY(memory_grow(out, &room, *bytes + PIECE_RECORDS * CIFAR_RECORD_BYTES, 1, err));
        TRY(gzip_read_some(r, (char *)*out + *bytes, room - *bytes, &got, err));
        *bytes += got;
    }
    return gzip_end(r, err);
}

static be_status append_pickle(const appending *a, const unsigned char *first, size_t first_bytes,
                               be_error *err)
{
    void *memory = NULL;
    size_t bytes = 0;
    pickle_batch batch = {0};
    be_status status = read_whole(a->r, first, first_bytes, &memory, &bytes, err);
    if (status == BE_OK) status = pickle_read_batch(memory, bytes, gzip_name(a->r), &batch, err);
    if (status == BE_OK) status = append_pickled(a, &batch, err);
    memory_free_array(batch.labels);
    memory_free_array(memory);
    return status;
}

be_status cifar_append(gzip_reader *r, int64_t limit, cifar_records *records, be_error *err)
{
    unsigned char piece[PIECE_RECORDS * CIFAR_RECORD_BYTES];
    const appending a = {r, limit, records};
    size_t got = 0;
    int64_t index = 0;
    do {
        TRY(gzip_read_some(r, piece, sizeof piece, &got, err));
        if (index == 0 && pickle_begins(piece, got)) return append_pickle(&a, piece, got, err);
        if (index == 0) TRY(foreign_check(gzip_name(r), piece, got, "a file of CIFAR-10", err));
        if (index + (int64_t)(got / CIFAR_RECORD_BYTES) > CIFAR_FILE_RECORDS)
            return too_many(r, err);
        for (size_t at = 0; at + CIFAR_RECORD_BYTES <= got; at += CIFAR_RECORD_BYTES)
            TRY(append_picture(&a, index++, piece[at], piece + at + 1, err));
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
