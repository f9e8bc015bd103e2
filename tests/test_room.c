/* Memory that does not suffice is told with the batch that would fit. */
#include "support.h"

#include "core/room.h"

#define GIB ((double)(1 << 30))

static void what_fits_is_told(void **state)
{
    (void)state;
    be_error err;
    room_need need = {"gpt2", 64, 2 * GIB, 32 * GIB};
    ASSERT_OK(room_check(&need, (int64_t)(34 * GIB), &err));
    ASSERT_OK(room_check(&need, -1, &err));
    ASSERT_FAILS(room_check(&need, (int64_t)(10 * GIB), &err), BE_NO_MEMORY,
                 "gpt2 at batch 64: expected a step to take at most the 10.0 GiB of memory here, "
                 "found that it takes 34.0 GiB; use --batch 16 or less");
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
    room_need need = {"clip-l14", 1, 7 * GIB, GIB};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_told),
        cmocka_unit_test(no_batch_fits),
        cmocka_unit_test(this_machine_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
