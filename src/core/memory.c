/* Aligned host memory, growth of arrays, arenas. */
#include "core/memory.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#define ARENA_BLOCK_BYTES (64 * 1024)
#define HUGE_PAGE ((size_t)2 << 20)
#define MAPPED_BYTES ((size_t)32 << 20) /* from here on a block is the system's own */

static _Thread_local size_t memory_count, memory_failing;

static int memory_must_fail(void)
{
    memory_count++;
    return memory_failing && memory_count == memory_failing;
}

size_t memory_fail_at(size_t n)
{
    size_t count = memory_count;
    memory_count = 0;
    memory_failing = n;
    return count;
}

/* Large blocks lie on huge pages where the system has them for the asking: the tiles of a product
 * touch a page a row, more of them than a processor keeps the addresses of.  Where it is refused,
 * the block lies on small pages: slower, and nothing else.  The end that fills no page stays small,
 * so that no memory is taken which nobody asked for. */
static void want_huge_pages(void *block, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    (void)madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)block, (void)bytes;
#endif
}

/* ---------------------------------------------------------------- the largest blocks */

/* They come from the system itself, which clears a page when it is first touched.  Nothing else has
 * to: of what a large model takes most is first touched in a step, and clearing it before would
 * keep its first step waiting for seconds.  AddressSanitizer watches its own blocks alone. */
#if (defined(__linux__) || defined(__APPLE__)) && !defined(__SANITIZE_ADDRESS__)
#define HAS_MAPPED 1
#endif

#ifdef HAS_MAPPED
/* Lies in front of its block. */
typedef struct mapped_block {
    struct mapped_block *next;
    void *begin;
    size_t bytes; /* of the whole mapping */
} mapped_block;

static pthread_mutex_t mapped_lock = PTHREAD_MUTEX_INITIALIZER;
static mapped_block *mapped_blocks;

static mapped_block *head_of(void *block)
{
    return (mapped_block *)block - 1;
}

static void *mapped_alloc(size_t bytes)
{
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE) return NULL;
    size_t whole = bytes + 2 * HUGE_PAGE;
    void *begin = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) return NULL;
    /* The first border of a huge page with room for the head in front of it. */
    uintptr_t after = (uintptr_t)begin + sizeof(mapped_block) + HUGE_PAGE - 1;
    void *block = (char *)begin + (after / HUGE_PAGE * HUGE_PAGE - (uintptr_t)begin);
    want_huge_pages(block, bytes);
    pthread_mutex_lock(&mapped_lock);
    *head_of(block) = (mapped_block){mapped_blocks, begin, whole};
    mapped_blocks = head_of(block);
    pthread_mutex_unlock(&mapped_lock);
    return block;
}

/* Was it such a block? */
static bool mapped_free(void *block)
{
    if ((uintptr_t)block % HUGE_PAGE) return false;
    pthread_mutex_lock(&mapped_lock);
    mapped_block **at = &mapped_blocks;
    while (*at && *at != head_of(block)) at = &(*at)->next;
    mapped_block *found = *at;
    if (found) *at = found->next;
    pthread_mutex_unlock(&mapped_lock);
    if (found) munmap(found->begin, found->bytes);
    return found != NULL;
}
#endif

static void *block_alloc(size_t bytes)
{
#ifdef HAS_MAPPED
    if (bytes >= MAPPED_BYTES) return mapped_alloc(bytes);
#endif
    bool is_huge = bytes >= HUGE_PAGE;
    size_t align = is_huge ? HUGE_PAGE : MEMORY_ALIGN;
    void *block = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (!block) return NULL;
    if (is_huge) want_huge_pages(block, bytes);
    return memset(block, 0, bytes);
}

be_status memory_alloc(void **out, size_t bytes, const char *what, be_error *err)
{
    *out = NULL;
    if (bytes > SIZE_MAX - MEMORY_ALIGN)
        FAIL(err, BE_NO_MEMORY, "%s: a size of %zu bytes is beyond any address space", what, bytes);
    size_t rounded = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    if (rounded == 0) rounded = MEMORY_ALIGN;
    void *block = memory_must_fail() ? NULL : block_alloc(rounded);
    if (!block)
        FAIL(err, BE_NO_MEMORY,
             "%s: the system has no %zu bytes (%.1f MiB) left; use a smaller batch or free memory",
             what, bytes, (double)bytes / 1048576.0);
    *out = block;
    return BE_OK;
}

void memory_free(void *block)
{
#ifdef HAS_MAPPED
    if (block && mapped_free(block)) return;
#endif
    free(block);
}

be_status memory_grow(void **array, size_t *capacity, size_t count, size_t item_bytes,
                      be_error *err)
{
    if (count <= *capacity) return BE_OK;
    size_t room = *capacity ? *capacity : 16;
    while (room < count && room <= SIZE_MAX / 2) room *= 2;
    bool beyond = room < count || room > SIZE_MAX / item_bytes;
    void *grown = beyond || memory_must_fail() ? NULL : realloc(*array, room * item_bytes);
    if (!grown)
        FAIL(err, BE_NO_MEMORY, "a list of %zu items: the system has no memory left; free some",
             room);
    *array = grown;
    *capacity = room;
    return BE_OK;
}

void memory_free_array(void *array)
{
    free(array);
}

typedef struct arena_block {
    struct arena_block *next;
    size_t used, bytes;
    _Alignas(16) unsigned char data[];
} arena_block;

struct arena {
    arena_block *blocks;
};

be_status arena_new(arena **out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(arena), "arena", err));
    *out = memory;
    return BE_OK;
}

void arena_free(arena *a)
{
    if (!a) return;
    for (arena_block *block = a->blocks, *next; block; block = next) {
        next = block->next;
        memory_free(block);
    }
    memory_free(a);
}

be_status arena_alloc(arena *a, void **out, size_t bytes, be_error *err)
{
    *out = NULL;
    if (bytes > SIZE_MAX - ARENA_BLOCK_BYTES)
        FAIL(err, BE_NO_MEMORY, "arena: a size of %zu bytes is beyond any address space", bytes);
    size_t rounded = (bytes + 15) / 16 * 16;
    arena_block *block = a->blocks;
    if (!block || block->bytes - block->used < rounded) {
        size_t data_bytes = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
        void *memory = NULL;
        TRY(memory_alloc(&memory, sizeof(arena_block) + data_bytes, "arena", err));
        block = memory;
        block->bytes = data_bytes;
        block->next = a->blocks;
        a->blocks = block;
    }
    *out = block->data + block->used;
    block->used += rounded;
    return BE_OK;
}

be_status arena_printf(arena *a, const char **out, be_error *err, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    void *text = NULL;
    be_status status = arena_alloc(a, &text, (size_t)length + 1, err);
    if (status == BE_OK) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    *out = text;
    return status;
}
