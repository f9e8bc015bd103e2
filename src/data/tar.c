/* Reading ustar archives. */
#include "data/tar.h"

#include <inttypes.h>
#include <string.h>

#define BLOCK_BYTES 512
#define MEMBER_BYTES_MAX ((int64_t)1 << 40)

/* The fields of a header block that are used: offset and length. */
enum {
    NAME_AT = 0,
    NAME_BYTES = 100,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    SUM_AT = 148,
    SUM_BYTES = 8,
    TYPE_AT = 156,
};

/* A number in octal digits, ended by a space or zero; -1: anything else. */
static int64_t read_octal(const unsigned char *field, int bytes)
{
    int64_t value = 0;
    int i = 0;
    while (i < bytes && field[i] == ' ') i++;
    for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++) value = value * 8 + field[i] - '0';
    return i < bytes && field[i] != ' ' && field[i] != 0 ? -1 : value;
}

/* The sum of the header's bytes, its own field counting as spaces. */
static int64_t add_up(const unsigned char block[BLOCK_BYTES])
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK_BYTES; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : block[i];
    return sum;
}

static be_status read_header(const gzip_reader *r, const unsigned char block[BLOCK_BYTES],
                             tar_member *member, be_error *err)
{
    int64_t size = read_octal(block + SIZE_AT, SIZE_BYTES);
    if (read_octal(block + SUM_AT, SUM_BYTES) != add_up(block) || size < 0 ||
        size > MEMBER_BYTES_MAX)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a tar header with the right checksum, found something else; fetch the "
             "archive again",
             gzip_name(r));
    char path[NAME_BYTES + 1] = "";
    memcpy(path, block + NAME_AT, NAME_BYTES);
    const char *slash = strrchr(path, '/');
    *member = (tar_member){.bytes = size, .left = size};
    member->regular = block[TYPE_AT] == '0' || block[TYPE_AT] == 0;
    strcpy(member->name, slash ? slash + 1 : path);
    return BE_OK;
}

static int64_t padding(int64_t bytes)
{
    return (BLOCK_BYTES - bytes % BLOCK_BYTES) % BLOCK_BYTES;
}

static be_status skip(gzip_reader *r, int64_t bytes, be_error *err)
{
    unsigned char nothing[16 * BLOCK_BYTES];
    while (bytes > 0) {
        size_t piece = bytes < (int64_t)sizeof nothing ? (size_t)bytes : sizeof nothing;
        TRY(gzip_read(r, nothing, piece, "the data of a member", err));
        bytes -= (int64_t)piece;
    }
    return BE_OK;
}

be_status tar_next(gzip_reader *r, tar_member *member, bool *is_member, be_error *err)
{
    unsigned char block[BLOCK_BYTES];
    static const unsigned char zeros[BLOCK_BYTES];
    *is_member = false;
    TRY(skip(r, member->left + padding(member->bytes), err));
    TRY(gzip_read(r, block, sizeof block, "a tar header", err));
    if (memcmp(block, zeros, sizeof block) == 0) return BE_OK;
    *is_member = true;
    return read_header(r, block, member, err);
}

be_status tar_read(gzip_reader *r, tar_member *member, void *out, size_t room, size_t *got,
                   be_error *err)
{
    *got = (int64_t)room < member->left ? room : (size_t)member->left;
    TRY(gzip_read(r, out, *got, "the data of a member", err));
    member->left -= (int64_t)*got;
    return BE_OK;
}
