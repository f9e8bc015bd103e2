/* Kept references: safetensors files with the key and a hash of the tensors as metadata. */
#include "run/gate_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "data/safetensors.h"

#define HASH_BYTES 17 /* 16 digits and the end */

/* ---------------------------------------------------------------- hashes */

uint64_t gate_store_hash(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    uint64_t word = 0;
    for (; count >= sizeof word; at += sizeof word, count -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 29;
    }
    for (; count; at++, count--) hash = (hash ^ *at) * UINT64_C(0x100000001b3);
    return hash;
}

be_status gate_store_build(uint64_t *out, be_error *err)
{
    char path[FILE_PATH_BYTES];
    const void *bytes = NULL;
    size_t count = 0;
    TRY(file_own_program(path, err));
    TRY(file_map(&bytes, &count, path, err));
    *out = gate_store_hash(GATE_STORE_HASH, bytes, count);
    file_unmap(bytes, count);
    return BE_OK;
}

static void hash_text(uint64_t hash, char out[HASH_BYTES])
{
    snprintf(out, HASH_BYTES, "%016" PRIx64, hash);
}

/* Of names, shapes and values. */
static void trace_hash(const trace *t, char out[HASH_BYTES])
{
    uint64_t hash = GATE_STORE_HASH;
    for (int i = 0; i < t->count; i++) {
        const trace_tensor *tensor = &t->tensors[i];
        hash = gate_store_hash(hash, tensor->name, strlen(tensor->name) + 1);
        hash = gate_store_hash(hash, tensor->shape, (size_t)tensor->rank * sizeof(int64_t));
        hash = gate_store_hash(hash, tensor->values, (size_t)tensor->count * sizeof(double));
    }
    hash_text(hash, out);
}

/* ---------------------------------------------------------------- files */

static be_status store_folder(char out[FILE_PATH_BYTES], be_error *err)
{
    char place[FILE_PATH_BYTES];
    TRY(file_xdg(place, FILE_CACHE, err));
    return file_format_path(out, err, "%s/reference", place);
}

static be_status key_text(const json_t *key, char **out, be_error *err)
{
    return json_print(out, key, JSON_COMPACT | JSON_SORT_KEYS, "the name of a file", err);
}

/* "…/breakeven/reference/cnn-fashion-0123456789abcdef.safetensors" */
static be_status store_path(char out[FILE_PATH_BYTES], const json_t *key, const char *text,
                            be_error *err)
{
    char folder[FILE_PATH_BYTES], hash[HASH_BYTES];
    const char *name = json_string_value(json_object_get(key, "workload"));
    MUST(name);
    TRY(store_folder(folder, err));
    hash_text(gate_store_hash(GATE_STORE_HASH, text, strlen(text)), hash);
    return file_format_path(out, err, "%s/%s-%s.safetensors", folder, name, hash);
}

static be_status take_trace(trace *out, const safetensors *file, const char *key, be_error *err)
{
    char hash[HASH_BYTES];
    const char *kept_key = safetensors_metadata(file, "key"),
               *kept_hash = safetensors_metadata(file, "hash");
    if (!kept_key || !kept_hash || strcmp(kept_key, key) != 0)
        FAIL(err, BE_UNAVAILABLE, "a kept reference: expected that of %s, found that of %s", key,
             kept_key ? kept_key : "nothing");
    TRY(trace_of_safetensors(out, file, err));
    trace_hash(out, hash);
    if (strcmp(hash, kept_hash) == 0) return BE_OK;
    trace_free(out);
    FAIL(err, BE_UNAVAILABLE, "a kept reference: expected the hash %s, found %s", kept_hash, hash);
}

static be_status load_file(trace *out, const json_t *key, const char *text, be_error *err)
{
    char path[FILE_PATH_BYTES];
    safetensors *file = NULL;
    TRY(store_path(path, key, text, err));
    TRY(safetensors_open(&file, path, err));
    be_status status = take_trace(out, file, text, err);
    safetensors_close(file);
    /* Used just now: the last to be removed.  Where that cannot be written it goes earlier. */
    if (status == BE_OK) (void)utimensat(AT_FDCWD, path, NULL, 0);
    return status;
}

be_status gate_store_load(trace *out, const json_t *key, be_error *err)
{
    char *text = NULL;
    *out = (trace){0};
    TRY(key_text(key, &text, err));
    be_status status = load_file(out, key, text, err);
    free(text);
    return status == BE_OK || status == BE_NO_MEMORY ? status : BE_UNAVAILABLE;
}

static be_status save_file(const trace *t, const json_t *key, const char *text, be_error *err)
{
    char path[FILE_PATH_BYTES], folder[FILE_PATH_BYTES], hash[HASH_BYTES];
    TRY(store_folder(folder, err));
    TRY(store_path(path, key, text, err));
    TRY(file_make_folders(folder, err));
    trace_hash(t, hash);
    const safetensors_string metadata[] = {{"key", text}, {"hash", hash}};
    TRY(trace_save_with(t, path, true, metadata, 2, err));
    return gate_store_trim(GATE_STORE_BYTES, err);
}

be_status gate_store_save(const trace *t, const json_t *key, be_error *err)
{
    char *text = NULL;
    TRY(key_text(key, &text, err));
    be_status status = save_file(t, key, text, err);
    free(text);
    return status;
}

/* ---------------------------------------------------------------- the bound */

typedef struct kept_file {
    char name[256];
    struct timespec used;
    int64_t bytes;
} kept_file;

static int by_use(const void *one, const void *other)
{
    const kept_file *a = one, *b = other;
    if (a->used.tv_sec != b->used.tv_sec) return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

static be_status list_files(DIR *folder, void **files, size_t *count, be_error *err)
{
    size_t capacity = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat about;
        if (fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(about.st_mode))
            continue;
        TRY(memory_grow(files, &capacity, *count + 1, sizeof(kept_file), err));
        kept_file *file = (kept_file *)*files + (*count)++;
        *file = (kept_file){.used = about.st_mtim, .bytes = about.st_size};
        snprintf(file->name, sizeof file->name, "%s", entry->d_name);
    }
    return BE_OK;
}

be_status gate_store_trim(int64_t most_bytes, be_error *err)
{
    char path[FILE_PATH_BYTES];
    void *memory = NULL;
    size_t count = 0;
    int64_t bytes = 0;
    TRY(store_folder(path, err));
    DIR *folder = opendir(path);
    if (!folder) return BE_OK;
    be_status status = list_files(folder, &memory, &count, err);
    kept_file *files = memory;
    for (size_t i = 0; i < count; i++) bytes += files[i].bytes;
    if (count) qsort(files, count, sizeof *files, by_use);
    for (size_t i = 0; status == BE_OK && i < count && bytes > most_bytes; i++)
        if (unlinkat(dirfd(folder), files[i].name, 0) == 0) bytes -= files[i].bytes;
    memory_free_array(memory);
    closedir(folder);
    return status;
}
