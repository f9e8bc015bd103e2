/* Host memory: aligned allocation with an injectable fault, and arenas.
 *
 * Every allocation of the engine goes through memory_alloc, so a test can make the n-th one fail.
 * An arena hands out zeroed blocks and frees them all at once; host objects live in arenas. */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stddef.h>

#include "core/status.h"

#define MEMORY_ALIGN 64 /* a cache line, and the widest vector */

/* Zeroed block aligned to MEMORY_ALIGN, or BE_NO_MEMORY with the size in the text.  `what` names
 * the block in the error.  Free with memory_free. */
BE_CHECKED be_status memory_alloc(void **out, size_t bytes, const char *what, be_error *err);
void memory_free(void *block);

/* Grow an array to at least `count` items of `item_bytes`; it starts as NULL with capacity 0 and is
 * freed by memory_free_array. */
BE_CHECKED be_status memory_grow(void **array, size_t *capacity, size_t count, size_t item_bytes,
                                 be_error *err);

void memory_free_array(void *array);

/* Test hook: the n-th allocation from now (1 = the next) fails, and all later ones succeed again.
 * 0 turns it off.  Returns how many allocations there were since the last call. */
size_t memory_fail_at(size_t n);

typedef struct arena arena;

BE_CHECKED be_status arena_new(arena **out, be_error *err);
void arena_free(arena *a);

/* Zeroed, aligned to 16 bytes, alive until arena_free. */
BE_CHECKED be_status arena_alloc(arena *a, void **out, size_t bytes, be_error *err);
BE_CHECKED be_status arena_printf(arena *a, const char **out, be_error *err, const char *format,
                                  ...) __attribute__((format(printf, 4, 5)));

#endif
