/* data/inspect.h: what is said of the files of a set. */
#include "folder_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "data/cifar.h"
#include "data/inspect.h"

static be_error err;

static void test_inspect(void **state)
{
    (void)state;
    static inspect_report report;
    unsigned char record[2 * CIFAR_RECORD_BYTES] = {0};
    const catalog_set *set = catalog_get(DATASET_CIFAR10);
    ASSERT_OK(inspect_list(set, folder, &report, &err));
    assert_false(report.place.is_there);
    assert_int_equal(report.files[0].state, INSPECT_MISSING);
    ASSERT_OK(inspect_verify(set, folder, &report, &err));
    assert_false(report.good);
    support_write_file(folder_path("data_batch_2.bin"), record, sizeof record);
    support_write_file(folder_path("test_batch.bin"), record, CIFAR_RECORD_BYTES);
    ASSERT_OK(inspect_list(set, folder, &report, &err));
    assert_true(report.place.is_there);
    assert_int_equal(report.files[1].state, INSPECT_THERE);
    assert_int_equal(report.files[1].bytes, sizeof record);
    ASSERT_OK(inspect_verify(set, folder, &report, &err));
    /* One of five batches loads, and is not the set. */
    assert_false(report.good || report.splits[SPLIT_TRAIN].good);
    assert_true(inspect_is_incomplete(&report));
    assert_non_null(strstr(report.splits[SPLIT_TRAIN].problem.text,
                           "expected the 50000 training pictures of CIFAR-10, found 2"));
    assert_string_equal(inspect_state_name(report.files[1].state), "other");
    assert_int_equal(report.splits[SPLIT_TRAIN].count, 2);
    assert_int_equal(report.splits[SPLIT_TEST].count, 1);
    record[0] = 10;
    support_write_file(folder_path("data_batch_2.bin"), record, sizeof record);
    ASSERT_OK(inspect_verify(set, folder, &report, &err));
    assert_false(report.good || report.splits[SPLIT_TRAIN].good);
    assert_non_null(strstr(report.splits[SPLIT_TRAIN].problem.text, "expected a label"));
    support_write_file(folder_path("test_batch.bin"), "\x1f\x8b\x08", 3);
    ASSERT_OK(inspect_verify(set, folder, &report, &err));
    assert_int_equal(report.files[5].state, INSPECT_DAMAGED);
    assert_non_null(strstr(report.files[5].problem.text, "truncated"));
    ASSERT_OK(inspect_verify(catalog_get(DATASET_SHAPES), folder, &report, &err));
    assert_true(report.good);
}

static void put_idx(const char *name, unsigned rank, unsigned count)
{
    size_t header = 4 + 4 * rank, items = rank == 3 ? count * 784 : count;
    unsigned char *bytes = calloc(1, header + items);
    bytes[2] = 8;
    bytes[3] = (unsigned char)rank;
    bytes[6] = (unsigned char)(count >> 8);
    bytes[7] = (unsigned char)count;
    if (rank == 3) bytes[11] = bytes[15] = 28;
    support_write_file(folder_path(name), bytes, header + items);
    free(bytes);
}

/* One picture more than the publisher has: it would train, but it is not the set. */
static void test_inspect_finds_too_much(void **state)
{
    (void)state;
    static inspect_report report;
    put_idx("train-images-idx3-ubyte", 3, 60000);
    put_idx("train-labels-idx1-ubyte", 1, 60000);
    put_idx("t10k-images-idx3-ubyte", 3, 10000);
    put_idx("t10k-labels-idx1-ubyte", 1, 10000);
    ASSERT_OK(inspect_verify(catalog_get(DATASET_MNIST), folder, &report, &err));
    assert_true(report.good);
    put_idx("t10k-images-idx3-ubyte", 3, 10001);
    put_idx("t10k-labels-idx1-ubyte", 1, 10001);
    ASSERT_OK(inspect_verify(catalog_get(DATASET_MNIST), folder, &report, &err));
    assert_int_equal(report.splits[SPLIT_TEST].count, 10001);
    assert_int_equal(report.files[3].state, INSPECT_DAMAGED);
    assert_non_null(strstr(report.files[3].problem.text, "at most 10008 bytes"));
    assert_false(report.good);
}

/* Each file is readable and belongs to the others, but most pictures are not there. */
static void test_inspect_finds_too_little(void **state)
{
    (void)state;
    static inspect_report report;
    put_idx("train-images-idx3-ubyte", 3, 2);
    put_idx("train-labels-idx1-ubyte", 1, 2);
    put_idx("t10k-images-idx3-ubyte", 3, 10000);
    put_idx("t10k-labels-idx1-ubyte", 1, 10000);
    ASSERT_OK(inspect_verify(catalog_get(DATASET_MNIST), folder, &report, &err));
    assert_true(report.splits[SPLIT_TEST].good);
    assert_false(report.good || inspect_is_incomplete(&report));
    assert_non_null(strstr(report.splits[SPLIT_TRAIN].problem.text,
                           "expected the 60000 training pictures of MNIST, found 2"));
}

static void test_inspect_real_sets(void **state)
{
    (void)state;
    static inspect_report report;
    const char *data = getenv("BREAKEVEN_DATA");
    if (!data) skip();
    for (int kind = DATASET_MNIST; kind <= DATASET_FASHION_MNIST; kind++) {
        ASSERT_OK(inspect_verify(catalog_get((dataset_kind)kind), data, &report, &err));
        assert_true(report.good);
        for (int i = 0; i < 4; i++) assert_int_equal(report.files[i].state, INSPECT_PUBLISHED);
        assert_int_equal(report.splits[SPLIT_TRAIN].count, 60000);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_begin, folder_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_inspect),
        TEST(test_inspect_finds_too_much),
        TEST(test_inspect_finds_too_little),
        TEST(test_inspect_real_sets),
    };
    return cmocka_run_group_tests_name("data_inspect", tests, NULL, NULL);
}
