/* Plain or gzip bytes from a file or from memory, through zlib. */
#include "data/gzip.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"
#include "data/foreign.h"

#define INPUT_BYTES (128 * 1024)
#define DEFLATE_RATIO_MAX 1032 /* 258 bytes from two bits */

struct gzip_reader {
    const char *name;
    int fd;                    /* -1: from memory */
    const unsigned char *next; /* input not yet used */
    size_t left;
    bool input_ended; /* nothing comes after `left` */
    bool packed;      /* gzip, not plain */
    bool in_member;   /* the stream stands inside a gzip member */
    int64_t source_bytes, given_bytes;
    z_stream stream;
    bool stream_open;
    unsigned char *input; /* INPUT_BYTES, of a file only */
};

/* Have input in `left` unless the source is at its end. */
static be_status fill(gzip_reader *r, be_error *err)
{
    if (r->left > 0 || r->input_ended) return BE_OK;
    if (r->fd >= 0) {
        TRY(file_read_some(r->fd, r->input, INPUT_BYTES, &r->left, r->name, err));
        r->next = r->input;
    }
    r->input_ended = r->left == 0;
    return BE_OK;
}

be_status gzip_check_foreign(const gzip_reader *r, const char *expected, be_error *err)
{
    return r->packed ? BE_OK : foreign_check(r->name, r->next, r->left, expected, err);
}

static be_status start(gzip_reader *r, be_error *err)
{
    size_t length = strlen(r->name);
    TRY(fill(r, err));
    r->packed = r->left >= 2 && r->next[0] == 0x1f && r->next[1] == 0x8b;
    if (!r->packed && length > 3 && strcmp(r->name + length - 3, ".gz") == 0)
        return gzip_check_foreign(r, "a gzip file", err);
    if (!r->packed) return BE_OK;
    r->in_member = true;
    if (inflateInit2(&r->stream, 16 + MAX_WBITS) != Z_OK)
        FAIL(err, BE_NO_MEMORY, "%s: no memory left to decompress it; free some", r->name);
    r->stream_open = true;
    return BE_OK;
}

static be_status new_reader(gzip_reader **out, const char *name, be_error *err)
{
    void *memory = NULL;
    size_t length = strlen(name);
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(gzip_reader) + length + 1, "a file's reader", err));
    gzip_reader *r = memory;
    r->name = memcpy(r + 1, name, length + 1);
    r->fd = -1;
    *out = r;
    return BE_OK;
}

static be_status start_or_close(gzip_reader **r, be_status status, be_error *err)
{
    if (status == BE_OK) status = start(*r, err);
    if (status != BE_OK) {
        gzip_close(*r);
        *r = NULL;
    }
    return status;
}

be_status gzip_open(gzip_reader **out, const char *path, be_error *err)
{
    void *memory = NULL;
    TRY(new_reader(out, path, err));
    be_status status = memory_alloc(&memory, INPUT_BYTES, "a file's buffer", err);
    (*out)->input = memory;
    if (status == BE_OK) status = file_open(&(*out)->fd, &(*out)->source_bytes, path, err);
    return start_or_close(out, status, err);
}

be_status gzip_open_memory(gzip_reader **out, const void *bytes, size_t count, const char *name,
                           be_error *err)
{
    TRY(new_reader(out, name, err));
    (*out)->next = count ? bytes : (const void *)""; /* never NULL, for sums of pointers */
    (*out)->left = count;
    (*out)->source_bytes = (int64_t)count;
    return start_or_close(out, BE_OK, err);
}

void gzip_close(gzip_reader *r)
{
    if (!r) return;
    if (r->stream_open) inflateEnd(&r->stream);
    if (r->fd >= 0) close(r->fd);
    memory_free(r->input);
    memory_free(r);
}

const char *gzip_name(const gzip_reader *r)
{
    return r->name;
}

int64_t gzip_most_bytes(const gzip_reader *r)
{
    if (!r->packed) return r->source_bytes;
    int64_t limit;
    return __builtin_mul_overflow(r->source_bytes, DEFLATE_RATIO_MAX, &limit) ? INT64_MAX : limit;
}

static be_status explain(const gzip_reader *r, int result, be_error *err)
{
    if (result == Z_MEM_ERROR)
        FAIL(err, BE_NO_MEMORY, "%s: no memory left to decompress it; free some", r->name);
    if (result == Z_BUF_ERROR)
        FAIL(err, BE_BAD_DATA,
             "%s: expected the end of the gzip stream, found the end of the file after %" PRId64
             " decompressed bytes; the file is truncated, fetch it again",
             r->name, r->given_bytes);
    FAIL(err, BE_BAD_DATA,
         "%s: the gzip stream is damaged after %" PRId64
         " decompressed bytes (%s); fetch the file again",
         r->name, r->given_bytes, r->stream.msg ? r->stream.msg : "wrong data");
}

/* One call of inflate.  *got may be 0 where only input was used. */
static be_status inflate_once(gzip_reader *r, unsigned char *out, size_t room, size_t *got,
                              be_error *err)
{
    TRY(fill(r, err));
    r->stream.next_in = (z_const Bytef *)(uintptr_t)r->next;
    r->stream.avail_in = r->left > INPUT_BYTES ? INPUT_BYTES : (uInt)r->left;
    r->stream.next_out = out;
    r->stream.avail_out = room > INPUT_BYTES * 64 ? INPUT_BYTES * 64 : (uInt)room;
    uInt offered_in = r->stream.avail_in, offered_out = r->stream.avail_out;
    int result = inflate(&r->stream, Z_NO_FLUSH);
    size_t taken_in = offered_in - r->stream.avail_in;
    *got = offered_out - r->stream.avail_out;
    r->next += taken_in;
    r->left -= taken_in;
    r->given_bytes += (int64_t)*got;
    if (result == Z_STREAM_END) {
        r->in_member = false;
        return BE_OK;
    }
    return result == Z_OK ? BE_OK : explain(r, result, err);
}

/* Between members: go on if another one begins. */
static be_status next_member(gzip_reader *r, be_error *err)
{
    TRY(fill(r, err));
    if (r->left == 0 || r->next[0] != 0x1f) return BE_OK;
    r->in_member = true;
    MUST(inflateReset(&r->stream) == Z_OK);
    return BE_OK;
}

static be_status read_plain(gzip_reader *r, unsigned char *out, size_t room, size_t *got,
                            be_error *err)
{
    TRY(fill(r, err));
    *got = room < r->left ? room : r->left;
    if (*got) memcpy(out, r->next, *got);
    r->next += *got;
    r->left -= *got;
    r->given_bytes += (int64_t)*got;
    return BE_OK;
}

be_status gzip_read_some(gzip_reader *r, void *out, size_t room, size_t *got, be_error *err)
{
    *got = 0;
    while (*got < room) {
        size_t piece = 0;
        unsigned char *to = (unsigned char *)out + *got;
        if (!r->packed) {
            TRY(read_plain(r, to, room - *got, &piece, err));
            if (piece == 0) return BE_OK;
        } else {
            if (!r->in_member) TRY(next_member(r, err));
            if (!r->in_member) return BE_OK;
            TRY(inflate_once(r, to, room - *got, &piece, err));
        }
        *got += piece;
    }
    return BE_OK;
}

be_status gzip_read(gzip_reader *r, void *out, size_t bytes, const char *what, be_error *err)
{
    size_t got = 0;
    TRY(gzip_read_some(r, out, bytes, &got, err));
    if (got == bytes) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s: expected %s (%zu bytes), found the end of the data after %zu of them; the file is "
         "truncated, fetch it again",
         r->name, what, bytes, got);
}

be_status gzip_end(gzip_reader *r, be_error *err)
{
    unsigned char more;
    size_t got = 0;
    TRY(gzip_read_some(r, &more, 1, &got, err));
    if (got)
        FAIL(
            err, BE_BAD_DATA,
            "%s: expected the end of the data after %" PRId64
            " bytes, found more; the file is oversized or not what its header says, fetch it again",
            r->name, r->given_bytes - 1);
    TRY(fill(r, err));
    if (r->left)
        FAIL(
            err, BE_BAD_DATA,
            "%s: expected nothing after the gzip stream, found other bytes; the file has something "
            "appended, fetch it again",
            r->name);
    return BE_OK;
}
