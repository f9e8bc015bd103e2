/* Memory that does not suffice is told with the batch that would fit; large blocks have large
 * pages. */
#include "support.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/room.h"

#define GIB ((double)(1 << 30))

static void what_fits_is_told(void **state)
{
    (void)state;
    be_error err;
    room_need need = {"gpt2", 64, 2 * GIB, 32 * GIB, 0};
    ASSERT_OK(room_check(&need, (int64_t)(34 * GIB), &err));
    ASSERT_OK(room_check(&need, -1, &err));
    ASSERT_FAILS(room_check(&need, (int64_t)(10 * GIB), &err), BE_NO_MEMORY,
                 "gpt2 at batch 64: expected a step to take at most the 10.0 GiB of memory here, "
                 "found that it takes 34.0 GiB; use --batch 16 or less");
    need.turns = 1;
    ASSERT_FAILS(room_check(&need, (int64_t)(10 * GIB), &err), BE_NO_MEMORY,
                 "use --batch 16 or less, or train it in turns by --accumulate 4");
    /* Turns are cut once more, and into equal parts. */
    need.turns = 3, need.batch = 15;
    ASSERT_FAILS(room_check(&need, (int64_t)(34 * GIB - 1), &err), BE_NO_MEMORY,
                 "by --accumulate 9");
    need.turns = 1;
    /* With that batch it does fit, and with one more it does not. */
    need.batch = 16, need.batch_bytes = 8 * GIB;
    ASSERT_OK(room_check(&need, (int64_t)(10 * GIB), &err));
    need.batch = 17, need.batch_bytes = 8.5 * GIB;
    ASSERT_FAILS(room_check(&need, (int64_t)(10 * GIB), &err), BE_NO_MEMORY, "--batch 16 or less");
}

static void no_batch_fits(void **state)
{
    (void)state;
    be_error err;
    room_need need = {"clip-l14", 1, 7 * GIB, GIB, 0};
    ASSERT_FAILS(room_check(&need, (int64_t)(6 * GIB), &err), BE_NO_MEMORY,
                 "found that it takes 8.0 GiB, 7.0 GiB of them at any batch; choose a smaller "
                 "variant, or a machine with more memory");
    ASSERT_FAILS(room_check(&need, (int64_t)(7.5 * GIB), &err), BE_NO_MEMORY, "at any batch");
}

static void this_machine_has_memory(void **state)
{
    (void)state;
    assert_true(room_here() == -1 || room_here() > 1 << 20);
}

/* Whether the kernel was asked for large pages where `block` lies. */
static bool is_advised(const void *block)
{
    char line[512];
    bool here = false, advised = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        uintptr_t low, high;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &low, &high) == 2)
            here = (uintptr_t)block >= low && (uintptr_t)block < high;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            advised = strstr(line, " hg") != NULL;
    }
    fclose(file);
    return advised;
}

static void large_blocks_have_large_pages(void **state)
{
    (void)state;
    be_error err;
    void *large = NULL, *small = NULL;
    size_t bytes = ((size_t)9 << 20) + 3;
    ASSERT_OK(memory_alloc(&large, bytes, "a large block", &err));
    ASSERT_OK(memory_alloc(&small, 1000, "a small one", &err));
    for (size_t i = 0; i < bytes; i++) assert_int_equal(((const char *)large)[i], 0);
    bool has = access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0;
    if (has) {
        assert_true(is_advised(large));
        assert_false(is_advised(small));
    }
    memory_free(large);
    memory_free(small);
    if (!has) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_told),
        cmocka_unit_test(no_batch_fits),
        cmocka_unit_test(this_machine_has_memory),
        cmocka_unit_test(large_blocks_have_large_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
