/* What was found out once (the code of kernels, the best of their tiles, the vocabulary of a text)
 * and is kept in the user's cache folder: one file each, named by the hash of its key, written
 * atomically.
 *
 * The key is all that the content depends on; it is stored beside it and compared as a whole.  A
 * file that is damaged or of another key counts as missing. */
#ifndef CORE_KEPT_H
#define CORE_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct kept_key {
    const char *folder, *ending; /* $XDG_CACHE_HOME/breakeven/FOLDER/HASH.ENDING */
    const char *text;
    size_t bytes; /* of the text */
} kept_key;

/* BE_IO if there is no such file, BE_BAD_DATA if it is not right.  Free *content with
 * memory_free. */
BE_CHECKED be_status kept_read(const kept_key *key, void **content, size_t *bytes, be_error *err);
/* Into out, if there is content of that many bytes. */
bool kept_recall(const kept_key *key, void *out, size_t bytes);
BE_CHECKED be_status kept_write(const kept_key *key, const void *content, size_t bytes,
                                be_error *err);

/* FNV-1a over more bytes; `hash` is KEPT_HASH_START, or what an earlier call returned. */
#define KEPT_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t kept_hash(uint64_t hash, const void *bytes, size_t count);

#endif
