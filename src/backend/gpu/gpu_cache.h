/* What was found out about kernels (their code, the best of their tiles) and is kept in the user's
 * cache folder: one file each, named by the hash of its key, written atomically.
 *
 * The key is all that the content depends on; it is stored beside it and compared as a whole.  A
 * file that is damaged or of another key counts as missing. */
#ifndef BACKEND_GPU_GPU_CACHE_H
#define BACKEND_GPU_GPU_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct gpu_cache_key {
    const char *folder, *ending; /* $XDG_CACHE_HOME/breakeven/FOLDER/HASH.ENDING */
    const char *text;
    size_t bytes; /* of the text */
} gpu_cache_key;

/* BE_IO if there is no such file, BE_BAD_DATA if it is not right.  Free *content with
 * memory_free. */
BE_CHECKED be_status gpu_cache_read(const gpu_cache_key *key, void **content, size_t *bytes,
                                    be_error *err);
BE_CHECKED be_status gpu_cache_write(const gpu_cache_key *key, const void *content, size_t bytes,
                                     be_error *err);

/* FNV-1a over more bytes; `hash` is GPU_HASH_START, or what an earlier call returned. */
#define GPU_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t gpu_hash(uint64_t hash, const void *bytes, size_t count);

#endif
