/* See gpu_cache.h. */
#include "backend/gpu/gpu_cache.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"

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

uint64_t gpu_hash(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The key itself is compared after, so that a collision costs time only. */
static be_status cache_path(char out[FILE_PATH_BYTES], const gpu_cache_key *key, bool make_folder,
                            be_error *err)
{
    char place[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
    TRY(file_xdg(place, FILE_CACHE, err));
    TRY(file_format_path(folder, err, "%s/%s", place, key->folder));
    if (make_folder) TRY(file_make_folders(folder, err));
    return file_format_path(out, err, "%s/%016" PRIx64 ".%s", folder,
                            gpu_hash(GPU_HASH_START, key->text, key->bytes), key->ending);
}

static bool cache_valid(const unsigned char *file, size_t bytes, const gpu_cache_key *key)
{
    cache_head head;
    if (bytes < sizeof head) return false;
    memcpy(&head, file, sizeof head);
    size_t rest = bytes - sizeof head;
    if (memcmp(head.magic, cache_magic, sizeof cache_magic) != 0) return false;
    if (head.key_bytes != key->bytes || key->bytes > rest || head.code_bytes != rest - key->bytes)
        return false;
    const unsigned char *code = file + sizeof head + key->bytes;
    return head.code_bytes > 0 && memcmp(file + sizeof head, key->text, key->bytes) == 0 &&
           head.code_sum == checksum(code, rest - key->bytes);
}

be_status gpu_cache_read(const gpu_cache_key *key, void **code, size_t *bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    void *file = NULL;
    size_t file_bytes = 0;
    *code = NULL;
    *bytes = 0;
    TRY(cache_path(path, key, false, err));
    if (!file_exists(path)) FAIL(err, BE_IO, "%s is not there", path);
    TRY(file_read(&file, &file_bytes, path, CACHE_LIMIT_BYTES, err));
    if (!cache_valid(file, file_bytes, key)) {
        memory_free(file);
        FAIL(err, BE_BAD_DATA,
             "%s: expected what belongs to this kernel, found something else; it is made again",
             path);
    }
    size_t skip = sizeof(cache_head) + key->bytes;
    *bytes = file_bytes - skip;
    memmove(file, (char *)file + skip, *bytes);
    *code = file;
    return BE_OK;
}

be_status gpu_cache_write(const gpu_cache_key *key, const void *code, size_t bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    file_writer w;
    cache_head head = {.key_bytes = key->bytes,
                       .code_bytes = bytes,
                       .key_sum = checksum(key->text, key->bytes),
                       .code_sum = checksum(code, bytes)};
    memcpy(head.magic, cache_magic, sizeof cache_magic);
    TRY(cache_path(path, key, true, err));
    TRY(file_write_begin(&w, path, err));
    be_status status = file_write(&w, &head, sizeof head, err);
    if (status == BE_OK) status = file_write(&w, key->text, key->bytes, err);
    if (status == BE_OK) status = file_write(&w, code, bytes, err);
    if (status == BE_OK) return file_write_commit(&w, err);
    file_write_abort(&w);
    return status;
}
