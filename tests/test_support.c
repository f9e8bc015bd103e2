/* Tests of what the tests share: the folder, the error texts, the loop of failing allocations. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/memory.h"

static void folder_is_made_and_removed(void **state)
{
    (void)state;
    struct stat status;
    char path[4096], copy[4096];
    char *folder = support_make_folder();
    snprintf(copy, sizeof copy, "%s", folder);
    support_write_file(support_path(path, sizeof path, folder, "file"), "abc", 3);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 3);
    support_remove_folder(folder);
    assert_int_equal(stat(copy, &status), -1);
}

static be_status refuse(be_error *err)
{
    FAIL(err, BE_USAGE, "expected 3 apples, found 2");
}

static void error_texts_are_compared(void **state)
{
    (void)state;
    be_error err = {0};
    ASSERT_FAILS(refuse(&err), BE_USAGE, "expected 3", "found 2");
    ASSERT_OK(BE_OK);
}

/* Three allocations, of which the second is taken back when the third fails. */
static be_status allocate_three(void *context, be_error *err)
{
    void *block[3] = {NULL, NULL, NULL};
    be_status status = BE_OK;
    ++*(int *)context;
    for (int i = 0; i < 3 && status == BE_OK; i++)
        status = memory_alloc(&block[i], 100, "a test", err);
    for (int i = 0; i < 3; i++) memory_free(block[i]);
    return status;
}

static void every_allocation_is_made_to_fail(void **state)
{
    (void)state;
    int attempts = 0;
    assert_int_equal(support_fail_each_allocation(allocate_three, &attempts, 10), 3);
    assert_int_equal(attempts, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_is_made_and_removed),
        cmocka_unit_test(error_texts_are_compared),
        cmocka_unit_test(every_allocation_is_made_to_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
