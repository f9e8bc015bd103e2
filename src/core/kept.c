/* See kept.h. */
#include "core/kept.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"

#define KEPT_LIMIT_BYTES ((size_t)64 << 20) /* of one file: nothing comes near */

typedef struct kept_head {
    char magic[8];
    uint64_t key_bytes, code_bytes;
    uint32_t key_sum, code_sum; /* CRC-32 */
} kept_head;

static const char kept_magic[8] = "BEKERN1\n";

static uint32_t checksum(const void *bytes, size_t count)
{
    return (uint32_t)crc32_z(0, bytes, count);
}

uint64_t kept_hash(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The key itself is compared after, so that a collision costs time only. */
static be_status kept_path(char out[FILE_PATH_BYTES], const kept_key *key, bool make_folder,
                           be_error *err)
{
    char place[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
    TRY(file_xdg(place, FILE_CACHE, err));
    TRY(file_format_path(folder, err, "%s/%s", place, key->folder));
    if (make_folder) TRY(file_make_folders(folder, err));
    return file_format_path(out, err, "%s/%016" PRIx64 ".%s", folder,
                            kept_hash(KEPT_HASH_START, key->text, key->bytes), key->ending);
}

static bool kept_valid(const unsigned char *file, size_t bytes, const kept_key *key)
{
    kept_head head;
    if (bytes < sizeof head) return false;
    memcpy(&head, file, sizeof head);
    size_t rest = bytes - sizeof head;
    if (memcmp(head.magic, kept_magic, sizeof kept_magic) != 0) return false;
    if (head.key_bytes != key->bytes || key->bytes > rest || head.code_bytes != rest - key->bytes)
        return false;
    const unsigned char *code = file + sizeof head + key->bytes;
    return head.code_bytes > 0 && memcmp(file + sizeof head, key->text, key->bytes) == 0 &&
           head.code_sum == checksum(code, rest - key->bytes);
}

be_status kept_read(const kept_key *key, void **code, size_t *bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    void *file = NULL;
    size_t file_bytes = 0;
    *code = NULL;
    *bytes = 0;
    TRY(kept_path(path, key, false, err));
    if (!file_exists(path)) FAIL(err, BE_IO, "%s is not there", path);
    TRY(file_read(&file, &file_bytes, path, KEPT_LIMIT_BYTES, err));
    if (!kept_valid(file, file_bytes, key)) {
        memory_free(file);
        FAIL(err, BE_BAD_DATA,
             "%s: expected what belongs to its key, found something else; it is made again", path);
    }
    size_t skip = sizeof(kept_head) + key->bytes;
    *bytes = file_bytes - skip;
    memmove(file, (char *)file + skip, *bytes);
    *code = file;
    return BE_OK;
}

bool kept_recall(const kept_key *key, void *out, size_t bytes)
{
    be_error unused;
    void *content = NULL;
    size_t size;
    if (kept_read(key, &content, &size, &unused) != BE_OK) return false;
    bool is_whole = size == bytes;
    if (is_whole) memcpy(out, content, bytes);
    memory_free(content);
    return is_whole;
}

be_status kept_write(const kept_key *key, const void *code, size_t bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    file_writer w;
    kept_head head = {.key_bytes = key->bytes,
                      .code_bytes = bytes,
                      .key_sum = checksum(key->text, key->bytes),
                      .code_sum = checksum(code, bytes)};
    memcpy(head.magic, kept_magic, sizeof kept_magic);
    TRY(kept_path(path, key, true, err));
    TRY(file_write_begin(&w, path, err));
    be_status status = file_write(&w, &head, sizeof head, err);
    if (status == BE_OK) status = file_write(&w, key->text, key->bytes, err);
    if (status == BE_OK) status = file_write(&w, code, bytes, err);
    if (status == BE_OK) return file_write_commit(&w, err);
    file_write_abort(&w);
    return status;
}
