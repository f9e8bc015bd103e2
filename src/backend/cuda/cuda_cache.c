/* Compiled kernels on disk: one file each, named by the hash of its key, written atomically. */
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "backend/cuda/cuda_driver.h"

#define CACHE_LIMIT_BYTES ((size_t)64 << 20) /* of one file: no kernel comes near */

typedef struct cache_head {
    char magic[8];
    uint64_t key_bytes, code_bytes;
    uint32_t key_sum, code_sum; /* CRC-32 */
} cache_head;

static const char cache_magic[8] = "BEKERN1\n";

static uint32_t checksum(const void *bytes, size_t count)
{
    return (uint32_t)crc32_z(0, bytes, count);
}

/* FNV-1a; the key itself is compared after, so that a collision costs time only. */
static be_status cache_path(char out[FILE_PATH_BYTES], const char *key, size_t key_bytes,
                            bool make_folder, be_error *err)
{
    char place[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key_bytes; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    TRY(file_xdg(place, FILE_CACHE, err));
    TRY(file_format_path(folder, err, "%s/kernels", place));
    if (make_folder) TRY(file_make_folders(folder, err));
    return file_format_path(out, err, "%s/%016" PRIx64 ".cuda", folder, hash);
}

static bool cache_valid(const unsigned char *file, size_t bytes, const char *key, size_t key_bytes)
{
    cache_head head;
    if (bytes < sizeof head) return false;
    memcpy(&head, file, sizeof head);
    size_t rest = bytes - sizeof head;
    if (memcmp(head.magic, cache_magic, sizeof cache_magic) != 0) return false;
    if (head.key_bytes != key_bytes || key_bytes > rest || head.code_bytes != rest - key_bytes)
        return false;
    const unsigned char *code = file + sizeof head + key_bytes;
    return head.code_bytes > 0 && memcmp(file + sizeof head, key, key_bytes) == 0 &&
           head.code_sum == checksum(code, rest - key_bytes);
}

be_status cache_read(const char *key, size_t key_bytes, void **code, size_t *bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    void *file = NULL;
    size_t file_bytes = 0;
    *code = NULL;
    *bytes = 0;
    TRY(cache_path(path, key, key_bytes, false, err));
    if (!file_exists(path)) FAIL(err, BE_IO, "%s is not there", path);
    TRY(file_read(&file, &file_bytes, path, CACHE_LIMIT_BYTES, err));
    if (!cache_valid(file, file_bytes, key, key_bytes)) {
        memory_free(file);
        FAIL(err, BE_BAD_DATA,
             "%s: expected the code of this kernel, found something else; it is "
             "compiled again",
             path);
    }
    size_t skip = sizeof(cache_head) + key_bytes;
    *bytes = file_bytes - skip;
    memmove(file, (char *)file + skip, *bytes);
    *code = file;
    return BE_OK;
}

be_status cache_write(const char *key, size_t key_bytes, const void *code, size_t bytes,
                      be_error *err)
{
    char path[FILE_PATH_BYTES];
    file_writer w;
    cache_head head = {.key_bytes = key_bytes,
                       .code_bytes = bytes,
                       .key_sum = checksum(key, key_bytes),
                       .code_sum = checksum(code, bytes)};
    memcpy(head.magic, cache_magic, sizeof cache_magic);
    TRY(cache_path(path, key, key_bytes, true, err));
    TRY(file_write_begin(&w, path, err));
    be_status status = file_write(&w, &head, sizeof head, err);
    if (status == BE_OK) status = file_write(&w, key, key_bytes, err);
    if (status == BE_OK) status = file_write(&w, code, bytes, err);
    if (status == BE_OK) return file_write_commit(&w, err);
    file_write_abort(&w);
    return status;
}
