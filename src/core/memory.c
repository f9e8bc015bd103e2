/* Aligned host memory, growth of arrays, arenas. */
#include "core/memory.h"

#include <omp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/team.h"

#define ARENA_BLOCK_BYTES (64 * 1024)
#define HUGE_PAGE ((size_t)2 << 20)
#define CLEARED_BYTES ((size_t)32 << 20) /* by a thread at a time */

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
 * touch a page a row, more of them than a processor keeps the addresses of. */
static void *huge_alloc(size_t bytes)
{
    void *block = aligned_alloc(HUGE_PAGE, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
#if defined(MADV_HUGEPAGE)
    /* Where it is refused, the block lies on small pages: slower, and nothing else.  The end that
     * fills no page stays small, so that no memory is taken which nobody asked for. */
    if (block) (void)madvise(block, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return block;
}

/* The system clears a page when it is first touched, which takes longer than all else that is done
 * to the weights of a large model before its first step: so all threads touch a large block. */
static void clear(void *block, size_t bytes)
{
    int64_t parts = (int64_t)((bytes + CLEARED_BYTES - 1) / CLEARED_BYTES);
    int threads = parts > 1 ? team_possible(omp_get_max_threads()) : 1;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < parts; p++) {
        size_t from = (size_t)p * CLEARED_BYTES, rest = bytes - from;
        memset((char *)block + from, 0, rest < CLEARED_BYTES ? rest : CLEARED_BYTES);
    }
}

be_status memory_alloc(void **out, size_t bytes, const char *what, be_error *err)
{
    *out = NULL;
    if (bytes > SIZE_MAX - MEMORY_ALIGN)
        FAIL(err, BE_NO_MEMORY, "%s: a size of %zu bytes is beyond any address space", what, bytes);
    size_t rounded = (bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
    if (rounded == 0) rounded = MEMORY_ALIGN;
    void *block = memory_must_fail()     ? NULL
                  : rounded >= HUGE_PAGE ? huge_alloc(rounded)
                                         : aligned_alloc(MEMORY_ALIGN, rounded);
    if (!block)
        FAIL(err, BE_NO_MEMORY,
             "%s: the system has no %zu bytes (%.1f MiB) left; use a smaller batch or free memory",
             what, bytes, (double)bytes / 1048576.0);
    clear(block, rounded);
    *out = block;
    return BE_OK;
}

void memory_free(void *block)
{
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
