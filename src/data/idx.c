/* Reading IDX files of unsigned bytes. */
#include "data/idx.h"

#include <inttypes.h>

#include "core/memory.h"

#define IDX_UNSIGNED_BYTE 8
#define DISCARD_BYTES (64 * 1024)

static uint32_t big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Magic and extents; *bytes is what they promise. */
static be_status read_header(gzip_reader *r, int rank, idx_array *out, int64_t *bytes,
                             be_error *err)
{
    unsigned char header[4 + 4 * IDX_RANK_MAX];
    MUST(rank >= 1 && rank <= IDX_RANK_MAX);
    TRY(gzip_check_foreign(r, "an IDX file", err));
    TRY(gzip_read(r, header, 4, "the magic number of an IDX file", err));
    uint32_t magic = big_endian(header), expected = IDX_UNSIGNED_BYTE << 8 | (uint32_t)rank;
    if (magic != expected)
        FAIL(err, BE_BAD_DATA,
             "%s: expected the IDX magic number 0x%08x (unsigned bytes, %d dimensions), found "
             "0x%08x; check that it is the right file, or fetch it again",
             gzip_name(r), expected, rank, magic);
    TRY(gzip_read(r, header + 4, 4 * (size_t)rank, "the extents of an IDX file", err));
    out->rank = rank;
    *bytes = 1;
    bool overflow = false;
    for (int i = 0; i < rank; i++) {
        out->shape[i] = big_endian(header + 4 + 4 * i);
        overflow |= __builtin_mul_overflow(*bytes, out->shape[i], bytes);
    }
    int64_t limit = gzip_most_bytes(r) - 4 - 4 * rank;
    if (overflow || *bytes > limit)
        FAIL(err, BE_BAD_DATA,
             "%s: its header promises %" PRId64 " items of %s%" PRId64
             " bytes in all, but the file can hold %" PRId64
             " at most; it is truncated or damaged, fetch it again",
             gzip_name(r), out->shape[0], overflow ? "more than " : "",
             overflow ? INT64_MAX : *bytes, limit < 0 ? 0 : limit);
    return BE_OK;
}

static be_status discard(gzip_reader *r, int64_t bytes, be_error *err)
{
    unsigned char nothing[DISCARD_BYTES];
    while (bytes > 0) {
        size_t piece = bytes < DISCARD_BYTES ? (size_t)bytes : DISCARD_BYTES;
        TRY(gzip_read(r, nothing, piece, "more items", err));
        bytes -= (int64_t)piece;
    }
    return BE_OK;
}

be_status idx_read(gzip_reader *r, int rank, int64_t limit, idx_array *out, be_error *err)
{
    int64_t bytes = 0;
    void *memory = NULL;
    *out = (idx_array){0};
    TRY(read_header(r, rank, out, &bytes, err));
    out->file_count = out->shape[0];
    int64_t size = bytes;
    if (limit > 0 && limit < out->file_count) {
        out->shape[0] = limit;
        size = bytes / out->file_count * limit;
    }
    TRY(memory_alloc(&memory, (size_t)size, gzip_name(r), err));
    be_status status = gzip_read(r, memory, (size_t)size, "the items of its header", err);
    if (status == BE_OK) status = discard(r, bytes - size, err);
    if (status == BE_OK) status = gzip_end(r, err);
    if (status == BE_OK)
        out->bytes = memory;
    else
        memory_free(memory);
    return status;
}
