/* Checksums, through libnettle. */
#include "data/sha256.h"

#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <unistd.h>

#include "core/file.h"
#include "data/gzip.h"

#define PIECE_BYTES (64 * 1024)

static void finish(struct sha256_ctx *state, char text[SHA256_TEXT_BYTES])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(state, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) sprintf(text + 2 * i, "%02x", digest[i]);
}

void sha256_bytes(const void *bytes, size_t count, char text[SHA256_TEXT_BYTES])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, count, bytes);
    finish(&state, text);
}

be_status sha256_file(const char *path, char text[SHA256_TEXT_BYTES], be_error *err)
{
    int fd;
    int64_t size;
    size_t got = 0;
    uint8_t piece[PIECE_BYTES];
    struct sha256_ctx state;
    sha256_init(&state);
    TRY(file_open(&fd, &size, path, err));
    be_status status;
    do {
        status = file_read_some(fd, piece, sizeof piece, &got, path, err);
        if (status == BE_OK) sha256_update(&state, got, piece);
    } while (status == BE_OK && got > 0);
    close(fd);
    finish(&state, text);
    return status;
}

static be_status digest_reader(gzip_reader *r, int64_t limit_bytes, struct sha256_ctx *state,
                               int64_t *bytes, be_error *err)
{
    uint8_t piece[PIECE_BYTES];
    size_t got = 0;
    *bytes = 0;
    do {
        TRY(gzip_read_some(r, piece, sizeof piece, &got, err));
        sha256_update(state, got, piece);
        *bytes += (int64_t)got;
        if (*bytes > limit_bytes)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected at most %" PRId64
                 " bytes of data, found more; it is oversized, fetch it again",
                 gzip_name(r), limit_bytes);
    } while (got == sizeof piece);
    return gzip_end(r, err);
}

be_status sha256_unpacked(const char *path, int64_t limit_bytes, char text[SHA256_TEXT_BYTES],
                          int64_t *bytes, be_error *err)
{
    gzip_reader *r = NULL;
    struct sha256_ctx state;
    sha256_init(&state);
    TRY(gzip_open(&r, path, err));
    be_status status = digest_reader(r, limit_bytes, &state, bytes, err);
    gzip_close(r);
    finish(&state, text);
    return status;
}
