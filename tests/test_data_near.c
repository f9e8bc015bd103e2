/* Files that are nearly what is expected: what can be read safely is read, of the rest it is said
 * what it is.  data/catalog.h, pickle.h, foreign.h. */
#include "folder_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/foreign.h"
#include "data/pickle.h"

static be_error err;

/* ---------------------------------------------------------------- names */

static void put_idx(const char *images, const char *labels)
{
    unsigned char bytes[16 + 3 * 784] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28, 77};
    unsigned char numbers[11] = {0, 0, 8, 1, 0, 0, 0, 3, 4, 5, 6};
    support_write_file(folder_path(images), bytes, sizeof bytes);
    support_write_file(folder_path(labels), numbers, sizeof numbers);
}

static void expect_idx(void)
{
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    ASSERT_OK(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->count, 3);
    assert_int_equal(d->images[0], 77);
    assert_int_equal(d->labels[2], 6);
    assert_null(d->note);
    dataset_close(d);
}

/* As Kaggle, 7-Zip and Windows name them. */
static void test_names_that_differ_a_little(void **state)
{
    (void)state;
    static const char *const names[][3] = {
        {"mnist", "mnist/train-images.idx3-ubyte", "mnist/train-labels.idx1-ubyte"},
        {"MNIST", "MNIST/TRAIN-IMAGES-IDX3-UBYTE", "MNIST/TRAIN-LABELS-IDX1-UBYTE.GZ"},
        {"Mnist", "Mnist/train_images_idx3_ubyte", "Mnist/train-labels.idx1-ubyte.gz"},
        {"MNIST/RAW", "MNIST/RAW/train-images-idx3-ubyte", "MNIST/RAW/train-labels-idx1-ubyte"},
    };
    for (int i = 0; i < 4; i++) {
        ASSERT_OK(file_make_folders(folder_path(names[i][0]), &err));
        put_idx(names[i][1], names[i][2]);
        expect_idx();
        ASSERT_OK(file_remove(folder_path(names[i][1]), &err));
        ASSERT_OK(file_remove(folder_path(names[i][2]), &err));
    }
}

static void test_a_folder_for_each_file(void **state)
{
    (void)state;
    ASSERT_OK(file_make_folders(folder_path("mnist/train-images-idx3-ubyte"), &err));
    ASSERT_OK(file_make_folders(folder_path("mnist/train-labels-idx1-ubyte"), &err));
    put_idx("mnist/train-images-idx3-ubyte/train-images-idx3-ubyte",
            "mnist/train-labels-idx1-ubyte/train-labels.idx1-ubyte");
    expect_idx();
}

/* The publisher's own name comes first. */
static void test_the_exact_name_comes_first(void **state)
{
    (void)state;
    put_idx("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
    support_write_file(folder_path("TRAIN-IMAGES-IDX3-UBYTE"), "other", 5);
    support_write_file(folder_path("train-labels.idx1-ubyte"), "other", 5);
    expect_idx();
}

/* ---------------------------------------------------------------- pickles */

typedef struct blob {
    unsigned char *bytes;
    size_t count, room;
} blob;

static void put(blob *b, const void *bytes, size_t count)
{
    /* By the half: a sanitizer copies all of it each time. */
    if (b->count + count > b->room) {
        b->room = (b->count + count) * 3 / 2;
        b->bytes = realloc(b->bytes, b->room);
    }
    memcpy(b->bytes + b->count, bytes, count);
    b->count += count;
}

static void put_text(blob *b, const char *text)
{
    unsigned char head[2] = {'U', (unsigned char)strlen(text)};
    put(b, head, 2);
    put(b, text, strlen(text));
}

static void put_number(blob *b, unsigned number)
{
    unsigned char two[3] = {'M', (unsigned char)number, (unsigned char)(number >> 8)};
    unsigned char one[2] = {'K', (unsigned char)number};
    put(b, number < 256 ? one : two, number < 256 ? 2 : 3);
}

#define PUT(b, literal) put(b, literal, sizeof literal - 1)

static void put_array(blob *b, unsigned rows, unsigned row_bytes, const void *data)
{
    unsigned size = rows * row_bytes;
    unsigned char length[4];
    for (int i = 0; i < 4; i++) length[i] = (unsigned char)(size >> 8 * i);
    PUT(b,
        "cnumpy.core.multiarray\n_reconstruct\nq\7cnumpy\nndarray\nq\10K\0\205q\tU\1b\207Rq\n(K\1");
    put_number(b, rows);
    put_number(b, row_bytes);
    PUT(b, "\206cnumpy\ndtype\nq\14U\2u1K\0K\1\207Rq\r(K\3U\1|"
           "NNNJ\377\377\377\377J\377\377\377\377K\0tb"
           "\211T");
    put(b, length, 4);
    put(b, data, size);
    PUT(b, "tb");
}

/* A batch as Python 2 wrote those of CIFAR-10: labels i % 10, the bytes of picture i all i. */
static blob batch_of(unsigned rows, unsigned row_bytes)
{
    blob b = {0};
    unsigned char *data = malloc((size_t)rows * row_bytes);
    for (unsigned i = 0; i < rows; i++) memset(data + i * row_bytes, (int)i, row_bytes);
    PUT(&b, "\200\2}q\1(");
    put_text(&b, "batch_label");
    put_text(&b, "training batch 1 of 5");
    put_text(&b, "labels");
    PUT(&b, "]q\3(");
    for (unsigned i = 0; i < rows; i++) {
        if (i && i % 1000 == 0) PUT(&b, "e("); /* as Python's pickler does */
        put_number(&b, i % 10);
    }
    PUT(&b, "e");
    put_text(&b, "data");
    put_array(&b, rows, row_bytes, data);
    put_text(&b, "filenames");
    PUT(&b, "]r\0\1\0\0(");
    for (unsigned i = 0; i < rows; i++) {
        if (i && i % 1000 == 0) PUT(&b, "e(");
        put_text(&b, "a_cat.png");
    }
    PUT(&b, "eu.");
    free(data);
    return b;
}

static void put_batch(const char *name, unsigned rows)
{
    blob b = batch_of(rows, CIFAR_IMAGE_BYTES);
    support_write_file(folder_path(name), b.bytes, b.count);
    free(b.bytes);
}

static void test_a_batch_of_python(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    ASSERT_OK(file_make_folders(folder_path("cifar-10-batches-py"), &err));
    put_batch("cifar-10-batches-py/data_batch_1", 12);
    put_batch("cifar-10-batches-py/data_batch_2", 300);
    put_batch("cifar-10-batches-py/test_batch", 3);
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->count, 312);
    for (int i = 0; i < 312; i++) {
        int in_file = i < 12 ? i : i - 12;
        assert_int_equal(d->labels[i], in_file % 10);
        assert_int_equal(d->images[i * 3072L], (unsigned char)in_file);
        assert_int_equal(d->images[i * 3072L + 3071], (unsigned char)in_file);
    }
    assert_non_null(strstr(d->note, "has 2 of the 5 files of CIFAR-10"));
    assert_non_null(strstr(d->note, "data_batch_3.bin is not among them"));
    dataset_close(d);
    options.limit = 2;
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TEST, &options, &d, &err));
    assert_int_equal(d->count, 2);
    assert_null(d->note);
    dataset_close(d);
}

static be_status read_pickle(const blob *b)
{
    pickle_batch batch;
    be_status status = pickle_read_batch(b->bytes, b->count, "F", &batch, &err);
    memory_free_array(batch.labels);
    return status;
}

/* What would be code is not run, and what is no batch is not taken for one. */
static void test_pickles_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *text;
    } cases[] = {
#define CASE(bytes, text) {bytes, sizeof bytes - 1, text}
        CASE("\200\2cposix\nsystem\nU\4true\205R.", "F: byte 3: expected the pickle of a batch of "
                                                    "CIFAR-10, found the name of something"),
        CASE("\200\2cnumpy\nload\nU\1x\205R.", "the name of something in Python"),
        CASE("\200\2(S'true'\nios\nsystem\n.", "found the opcode 0x53"),
        CASE("\200\2}.", "found no dict with whole numbers"),
        CASE("\200\2}}.", "found no dict with whole numbers"),
        CASE("\200\2}.x", "found more behind its end"),
        CASE("\200\2K", "found the end of the file"),
        CASE("\200\2U\4abc", "found the end of the file"),
        CASE("\200\2T\377\377\377\377.", "found the end of the file"),
        CASE("\200\2h\0.", "found what was not remembered"),
        CASE("\200\2r\377\377\377\377.", "found nothing to remember"),
        CASE("\200\2e", "an opcode without its mark"),
        CASE("\200\2(K\1u", "pairs for what is no dict"),
        CASE("\200\2R", "an opcode without its value"),
        CASE("\200\2cnumpy\ndtype\nU\2f4\205R.", "an array of something else than bytes"),
        CASE("\200\2cnumpy\nndarray\nU\2f4\205R.", "found a call"),
        CASE("\200\2NNb", "a state that is no tuple"),
        CASE("\200\2NN\205b", "a state for something unknown"),
        CASE("\200\2]]]]]]]]].", "more than 8 lists"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* A copy of its size, so that a sanitizer sees each byte that is read beyond. */
        blob b = {malloc(cases[i].count), cases[i].count, cases[i].count};
        memcpy(b.bytes, cases[i].bytes, b.count);
        ASSERT_FAILS(read_pickle(&b), BE_BAD_DATA, cases[i].text, "nothing in it is run");
        free(b.bytes);
    }
}

static void test_every_cut_and_flip_of_a_batch(void **state)
{
    (void)state;
    blob b = batch_of(11, 4);
    ASSERT_OK(read_pickle(&b));
    for (size_t cut = 0; cut < b.count; cut++) {
        blob part = {malloc(cut + 1), cut, cut + 1};
        memcpy(part.bytes, b.bytes, cut);
        ASSERT_FAILS(read_pickle(&part), BE_BAD_DATA, "F: byte ");
        free(part.bytes);
    }
    for (size_t i = 0; i < b.count * 8; i++) {
        b.bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        be_status status = read_pickle(&b);
        assert_true(status == BE_OK || status == BE_BAD_DATA);
        b.bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    free(b.bytes);
}

static void test_batches_of_another_form(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    blob b = batch_of(5, 784);
    support_write_file(folder_path("data_batch_1"), b.bytes, b.count);
    free(b.bytes);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "data_batch_1: expected pictures of 3072 bytes and as many labels, found 5 of 784 "
                 "bytes and 5 labels");
    put_batch("data_batch_1", CIFAR_FILE_RECORDS + 1);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "expected at most 10000 records");
}

static be_status open_batch(void *context, be_error *error)
{
    be_dataset *d = NULL;
    (void)context;
    TRY(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &(dataset_options){.data_dir = folder}, &d,
                     error));
    dataset_close(d);
    return BE_OK;
}

static void test_no_memory(void **state)
{
    (void)state;
    put_batch("data_batch_1", 20);
    assert_true(support_fail_each_allocation(open_batch, NULL, 60) >= 10);
}

/* ---------------------------------------------------------------- archives */

static void put_member(gzFile file, const char *name, const blob *b)
{
    unsigned char block[512] = {0}, sum[8];
    unsigned total = 8 * ' ';
    snprintf((char *)block, 100, "%s", name);
    snprintf((char *)block + 124, 12, "%011lo", (unsigned long)b->count);
    block[156] = '0';
    for (int i = 0; i < 512; i++) total += block[i];
    snprintf((char *)sum, sizeof sum, "%06o", total);
    memcpy(block + 148, sum, 8);
    gzwrite(file, block, 512);
    gzwrite(file, b->bytes, (unsigned)b->count);
    memset(block, 0, sizeof block);
    gzwrite(file, block, (unsigned)((512 - b->count % 512) % 512));
}

/* The publisher's archive as it was downloaded, its members in another order. */
static void test_an_archive_that_was_not_unpacked(void **state)
{
    (void)state;
    static const int order[] = {4, 1, 5, 2, 3};
    static const unsigned char end_of_archive[1024];
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    gzFile file = gzopen(folder_path("cifar-10-python.tar.gz"), "wb");
    for (int i = 0; i < 5; i++) {
        char name[100];
        blob b = batch_of((unsigned)order[i], CIFAR_IMAGE_BYTES);
        snprintf(name, sizeof name, "cifar-10-batches-py/data_batch_%d", order[i]);
        put_member(file, name, &b);
        free(b.bytes);
    }
    gzwrite(file, end_of_archive, sizeof end_of_archive);
    gzclose(file);
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->count, 15);
    static const int labels[] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4};
    assert_memory_equal(d->labels, labels, sizeof labels);
    assert_null(d->note);
    dataset_close(d);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TEST, &options, &d, &err), BE_BAD_DATA,
                 "cifar-10-python.tar.gz: expected test_batch.bin or test_batch in it");
}

/* ---------------------------------------------------------------- other kinds of files */

static void test_what_a_file_really_is(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *found, *advice;
    } cases[] = {
        {"<!DOCTYPE html>", "found a web page", "needs a login"},
        {" \n<html lang=en>", "found a web page", "the download failed"},
        {"\357\273\277<HTML>", "found a web page", ""},
        {"<?xml version", "found an XML document", ""},
        {"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS", "git lfs pull"},
        {"PK\003\004xx", "found a zip archive", "safetensors.torch.save_file"},
        {"\200\002}q", "found a Python pickle", "can hold code and is not loaded"},
        {"\211HDF\r\n", "found an HDF5 file", ""},
        {"PAR1....", "found a Parquet file", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ASSERT_FAILS(
            foreign_check("F", cases[i].bytes, strlen(cases[i].bytes), "a gzip file", &err),
            BE_BAD_DATA, "F: expected a gzip file, found ", cases[i].found, cases[i].advice);
    ASSERT_OK(foreign_check("F", "\0\0\010\003", 4, "an IDX file", &err));
    ASSERT_OK(foreign_check("F", "", 0, "an IDX file", &err));
    ASSERT_OK(foreign_check("F", "<", 1, "an IDX file", &err));
}

static void test_a_web_page_for_a_file(void **state)
{
    (void)state;
    static const char page[] = "<!DOCTYPE html>\n<html><body>Sign in to go on</body></html>\n";
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    support_write_file(folder_path("train-labels-idx1-ubyte.gz"), page, sizeof page);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "train-labels-idx1-ubyte.gz: expected a gzip file, found a web page",
                 "the download failed or needs a login, fetch the file again");
    support_write_file(folder_path("train-labels-idx1-ubyte"), page, sizeof page);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "train-labels-idx1-ubyte: expected an IDX file, found a web page");
    support_write_file(folder_path("data_batch_1.bin"), page, sizeof page);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "data_batch_1.bin: expected a file of CIFAR-10, found a web page");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_begin, folder_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names_that_differ_a_little),
        TEST(test_a_folder_for_each_file),
        TEST(test_the_exact_name_comes_first),
        TEST(test_a_batch_of_python),
        TEST(test_pickles_that_are_refused),
        TEST(test_every_cut_and_flip_of_a_batch),
        TEST(test_batches_of_another_form),
        TEST(test_no_memory),
        TEST(test_an_archive_that_was_not_unpacked),
        TEST(test_what_a_file_really_is),
        TEST(test_a_web_page_for_a_file),
    };
    return cmocka_run_group_tests_name("data_near", tests, NULL, NULL);
}
