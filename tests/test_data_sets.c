/* data/dataset.h, shapes.h, order.h: which files are taken, what stands in, what is refused. */
#include "support.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "data/cifar.h"
#include "data/dataset.h"
#include "data/order.h"
#include "data/shapes.h"

static char *folder;
static char *kept_data, *kept_xdg;
static be_error err;

static int begin(void **state)
{
    (void)state;
    folder = support_make_folder();
    kept_data = getenv("BREAKEVEN_DATA") ? strdup(getenv("BREAKEVEN_DATA")) : NULL;
    kept_xdg = getenv("XDG_DATA_HOME") ? strdup(getenv("XDG_DATA_HOME")) : NULL;
    unsetenv("BREAKEVEN_DATA");
    setenv("XDG_DATA_HOME", folder, 1);
    return 0;
}

static void put_back(const char *name, char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
    free(value);
}

static int end(void **state)
{
    (void)state;
    put_back("BREAKEVEN_DATA", kept_data);
    put_back("XDG_DATA_HOME", kept_xdg);
    support_remove_folder(folder);
    return 0;
}

static const char *path_of(const char *name)
{
    static char paths[8][FILE_PATH_BYTES];
    static int next;
    return support_path(paths[next++ % 8], FILE_PATH_BYTES, folder, name);
}

static void put_extent(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* Write `count` pictures of size × size and `label_count` labels as IDX files; labels are i % 10,
 * but `odd_label` in place 1. */
static void put_idx(const char *where, const char *split, uint32_t count, uint32_t label_count,
                    uint32_t size, int odd_label)
{
    char name[100];
    unsigned char *bytes = calloc(1, 16 + count * size * size);
    put_extent(bytes, 0x803);
    put_extent(bytes + 4, count);
    put_extent(bytes + 8, size);
    put_extent(bytes + 12, size);
    for (uint32_t i = 0; i < count; i++) bytes[16 + i * size * size] = (unsigned char)i;
    ASSERT_OK(file_make_folders(path_of(where), &err));
    snprintf(name, sizeof name, "%s/%s-images-idx3-ubyte", where, split);
    support_write_file(path_of(name), bytes, 16 + count * size * size);
    free(bytes);
    bytes = calloc(1, 8 + label_count);
    put_extent(bytes, 0x801);
    put_extent(bytes + 4, label_count);
    for (uint32_t i = 0; i < label_count; i++) bytes[8 + i] = (unsigned char)(i % 10);
    if (label_count > 1) bytes[9] = (unsigned char)odd_label;
    snprintf(name, sizeof name, "%s/%s-labels-idx1-ubyte", where, split);
    support_write_file(path_of(name), bytes, 8 + label_count);
    free(bytes);
}

static void test_idx_set(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    put_idx("fashion-mnist", "train", 30, 30, 28, 7);
    ASSERT_OK(dataset_open(DATASET_FASHION_MNIST, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->kind, DATASET_FASHION_MNIST);
    assert_string_equal(d->name, "fashion-mnist");
    assert_non_null(strstr(d->source, "Fashion-MNIST, "));
    assert_non_null(strstr(d->source, path_of("fashion-mnist")));
    assert_false(d->generated);
    assert_null(d->note);
    assert_int_equal(d->count, 30);
    assert_int_equal(dataset_image_bytes(d), 784);
    assert_int_equal(d->classes, 10);
    assert_true(d->mean[0] == 0.2860f && d->std[0] == 0.3530f);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(d->labels[i], i == 1 ? 7 : i % 10);
        assert_int_equal(d->images[i * 784], i);
    }
    dataset_close(d);
    options.limit = 20;
    ASSERT_OK(dataset_open(DATASET_FASHION_MNIST, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->count, 20);
    dataset_close(d);
}

static void expect_from(dataset_kind kind, const char *where)
{
    be_dataset *d = NULL;
    ASSERT_OK(dataset_open(kind, SPLIT_TRAIN, NULL, &d, &err));
    assert_false(d->generated);
    assert_string_equal(strstr(d->source, ", ") + 2, path_of(where));
    dataset_close(d);
}

/* Last comes the XDG folder, before it $BREAKEVEN_DATA; in each the set's folder, then itself. */
static void test_where_it_looks(void **state)
{
    (void)state;
    put_idx("breakeven", "train", 5, 5, 28, 1);
    expect_from(DATASET_MNIST, "breakeven");
    put_idx("breakeven/mnist", "train", 5, 5, 28, 1);
    expect_from(DATASET_MNIST, "breakeven/mnist");
    setenv("BREAKEVEN_DATA", path_of("other"), 1);
    expect_from(DATASET_MNIST, "breakeven/mnist");
    put_idx("other", "train", 5, 5, 28, 1);
    expect_from(DATASET_MNIST, "other");
    put_idx("other/mnist", "train", 5, 5, 28, 1);
    expect_from(DATASET_MNIST, "other/mnist");
}

static void test_stand_in_says_so(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.seed = 5, .limit = 100};
    ASSERT_OK(dataset_open(DATASET_FASHION_MNIST, SPLIT_TRAIN, &options, &d, &err));
    assert_true(d->generated);
    assert_int_equal(d->kind, DATASET_SHAPES);
    assert_string_equal(d->name, "shapes");
    assert_string_equal(d->source, "generated shapes, seed 5");
    assert_non_null(strstr(d->note, "Fashion-MNIST is not in "));
    assert_non_null(strstr(d->note, "breakeven data get fashion-mnist"));
    assert_int_equal(d->count, 100);
    dataset_close(d);
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TEST, &options, &d, &err));
    assert_string_equal(d->name, "shapes-colour");
    assert_int_equal(dataset_image_bytes(d), 3072);
    dataset_close(d);
    /* Asked for: no note, though the set is there. */
    put_idx("breakeven", "train", 5, 5, 28, 1);
    options.synthetic = true;
    ASSERT_OK(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, &err));
    assert_true(d->generated);
    assert_null(d->note);
    dataset_close(d);
}

static void test_asked_folder_must_have_it(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.data_dir = folder};
    ASSERT_FAILS(dataset_open(DATASET_FASHION_MNIST, SPLIT_TRAIN, &options, &d, &err), BE_IO,
                 "expected the files of Fashion-MNIST in", folder, "found none",
                 "breakeven data get fashion-mnist");
    assert_null(d);
}

/* A damaged or incomplete set is an error, never a reason for the stand-in. */
static void test_damage_is_no_reason_for_a_stand_in(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    put_idx("breakeven/mnist", "train", 30, 30, 28, 7);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TEST, NULL, &d, &err), BE_IO,
                 "expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz", "found neither");
    support_write_file(path_of("breakeven/mnist/train-labels-idx1-ubyte"), "", 0);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "breakeven/mnist/train-labels-idx1-ubyte", "truncated");
    ASSERT_OK(file_remove(path_of("breakeven/mnist/train-labels-idx1-ubyte"), &err));
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_IO,
                 "expected train-labels-idx1-ubyte", "found neither");
    assert_null(d);
}

static void test_files_that_do_not_fit(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    put_idx("breakeven", "train", 30, 31, 28, 1);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "expected as many pictures as there are labels (31), found 30");
    put_idx("breakeven", "train", 30, 30, 28, 10);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "train-labels-idx1-ubyte: item 1: expected a label from 0 to 9, found 10");
    put_idx("breakeven", "train", 30, 30, 27, 1);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "expected pictures of 28×28, found 27×27");
    /* The same bytes as 56 pictures, of which one side is right. */
    put_idx("breakeven", "train", 28, 28, 28, 1);
    unsigned char header[16] = {0, 0, 8, 3, 0, 0, 0, 56, 0, 0, 0, 28, 0, 0, 0, 14};
    static const char *const found[] = {"found 28×14", "found 14×28"};
    for (int i = 0; i < 2; i++) {
        header[11] = i ? 14 : 28;
        header[15] = i ? 28 : 14;
        FILE *file = fopen(path_of("breakeven/train-images-idx3-ubyte"), "r+b");
        assert_true(file && fwrite(header, 16, 1, file) == 1 && fclose(file) == 0);
        ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                     "expected pictures of 28×28", found[i]);
    }
    put_idx("breakeven", "train", 0, 0, 28, 1);
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "expected pictures, found none");
    dataset_options options = {.limit = -1};
    ASSERT_FAILS(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "expected a limit of pictures from 1 (or 0: all), found -1");
}

static void put_cifar(const char *name, int records, int first)
{
    size_t count = (size_t)records * CIFAR_RECORD_BYTES;
    unsigned char *bytes = calloc(1, count);
    for (int i = 0; i < records; i++)
        bytes[i * CIFAR_RECORD_BYTES] = (unsigned char)((i + first) % 10);
    ASSERT_OK(file_make_folders(path_of("breakeven/cifar-10"), &err));
    support_write_file(path_of(name), bytes, count);
    free(bytes);
}

static void test_cifar_takes_the_files_there_are(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    put_cifar("breakeven/cifar-10/data_batch_2.bin", 12, 2);
    put_cifar("breakeven/cifar-10/data_batch_4.bin.gz", 5, 4); /* plain in spite of its name */
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, NULL, &d, &err));
    assert_int_equal(d->count, 17);
    assert_int_equal(d->labels[0], 2);
    assert_int_equal(d->labels[12], 4);
    assert_true(d->std[2] == 0.2616f);
    dataset_close(d);
    dataset_options options = {.limit = 13};
    ASSERT_OK(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, &err));
    assert_int_equal(d->count, 13);
    dataset_close(d);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TEST, NULL, &d, &err), BE_IO,
                 "expected test_batch.bin or test_batch.bin.gz", "found neither");
    put_cifar("breakeven/cifar-10/data_batch_1.bin", 12, 10);
    support_write_file(path_of("breakeven/cifar-10/data_batch_5.bin"), "xx", 2);
    ASSERT_FAILS(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, NULL, &d, &err), BE_BAD_DATA,
                 "data_batch_5.bin", "expected whole records");
}

static void test_names(void **state)
{
    (void)state;
    dataset_kind kind;
    for (int i = 0; i < DATASET_KINDS; i++) {
        ASSERT_OK(catalog_find(catalog_get((dataset_kind)i)->name, &kind, &err));
        assert_int_equal(kind, i);
    }
    ASSERT_FAILS(catalog_find("emnist", &kind, &err), BE_USAGE,
                 "mnist, fashion-mnist, cifar-10, shapes, shapes-colour", "found \"emnist\"");
}

static uint64_t hash(const void *bytes, size_t count)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < count; i++) h = (h ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    return h;
}

/* The same bytes from every compiler and machine: these were computed once. */
static void test_shapes_are_the_same_everywhere(void **state)
{
    (void)state;
    static uint8_t images[200 * 3072];
    int32_t labels[200];
    shapes_draw(&(shapes_form){.seed = 1, .channels = 1, .size = 28}, 200, images, labels);
    assert_int_equal(hash(images, 200 * 784), 0xa44846e400c5774d);
    assert_int_equal(hash(labels, sizeof labels), 0x7dacde8effcfef37);
    shapes_draw(&(shapes_form){.seed = 1, .channels = 3, .size = 32}, 200, images, labels);
    assert_int_equal(hash(images, 200 * 3072), 0x5f638e877300715e);
}

static void test_shapes_do_not_depend_on_order(void **state)
{
    (void)state;
    static uint8_t all[100 * 784], one[784];
    int32_t labels[100], label;
    int threads = omp_get_max_threads();
    shapes_form form = {.seed = 3, .channels = 1, .size = 28, .first = 7};
    omp_set_num_threads(2);
    shapes_draw(&form, 100, all, labels);
    omp_set_num_threads(threads);
    form.first = 7 + 42;
    shapes_draw(&form, 1, one, &label);
    assert_memory_equal(one, all + 42 * 784, 784);
    assert_int_equal(label, labels[42]);
    form.seed = 4;
    shapes_draw(&form, 1, one, &label);
    assert_memory_not_equal(one, all + 42 * 784, 784);
}

/* The constants in the catalog are those of the pictures; the classes come equally often. */
static void expect_statistics(dataset_kind kind)
{
    be_dataset *d = NULL;
    dataset_options options = {.seed = 1, .limit = 5000};
    int counts[SHAPES_CLASSES] = {0};
    ASSERT_OK(dataset_open(kind, SPLIT_TRAIN, &options, &d, &err));
    int64_t plane = (int64_t)d->height * d->width;
    for (int c = 0; c < d->channels; c++) {
        double sum = 0, squares = 0, n = (double)(d->count * plane);
        for (int64_t i = 0; i < d->count * plane; i++) {
            double x = d->images[(i / plane * d->channels + c) * plane + i % plane] / 255.0;
            sum += x;
            squares += x * x;
        }
        double mean = sum / n, std = sqrt(squares / n - mean * mean);
        assert_true(fabs(mean - d->mean[c]) < 0.01);
        assert_true(fabs(std - d->std[c]) < 0.01);
    }
    for (int64_t i = 0; i < d->count; i++) counts[d->labels[i]]++;
    for (int i = 0; i < SHAPES_CLASSES; i++) assert_in_range(counts[i], 400, 600);
    dataset_close(d);
}

static void test_shapes_statistics(void **state)
{
    (void)state;
    expect_statistics(DATASET_SHAPES);
    expect_statistics(DATASET_SHAPES_COLOUR);
    assert_string_equal(shapes_class_name(0), "ring");
}

static void test_splits_differ(void **state)
{
    (void)state;
    be_dataset *train = NULL, *test = NULL;
    dataset_options options = {.seed = 1, .limit = 100};
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &options, &train, &err));
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TEST, &options, &test, &err));
    assert_memory_not_equal(train->images, test->images, 784);
    dataset_close(train);
    dataset_close(test);
}

static void test_order(void **state)
{
    (void)state;
    int32_t expected[10], indices[5 * 3];
    order_run run = {.seed = 9, .count = 10, .batch = 3, .first_step = 0, .steps = 5};
    ASSERT_OK(order_fill(&run, indices, &err));
    rng_permutation((rng_key){9, RNG_ORDER, 0}, expected, 10);
    assert_memory_equal(indices, expected, 9 * sizeof *indices); /* the tenth is left out */
    rng_permutation((rng_key){9, RNG_ORDER, 1}, expected, 10);
    assert_memory_equal(indices + 9, expected, 6 * sizeof *indices);
    /* Starting in the middle gives the same. */
    int32_t later[2 * 3];
    run.first_step = 2;
    run.steps = 2;
    ASSERT_OK(order_fill(&run, later, &err));
    assert_memory_equal(later, indices + 6, sizeof later);
    run.batch = 11;
    ASSERT_FAILS(order_fill(&run, indices, &err), BE_USAGE,
                 "expected a batch from 1 to the 10 samples of the set, found 11");
    run.batch = 0;
    ASSERT_FAILS(order_fill(&run, indices, &err), BE_USAGE, "found 0");
}

static be_status open_both(void *context, be_error *error)
{
    be_dataset *d = NULL;
    dataset_options options = {.limit = 10};
    order_run run = {.count = 10, .batch = 10, .steps = 1};
    (void)context;
    TRY(dataset_open(DATASET_MNIST, SPLIT_TRAIN, &options, &d, error));
    dataset_close(d);
    TRY(dataset_open(DATASET_CIFAR10, SPLIT_TRAIN, &options, &d, error));
    dataset_close(d);
    TRY(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &options, &d, error));
    dataset_close(d);
    int32_t indices[10];
    return order_fill(&run, indices, error);
}

static void test_no_memory(void **state)
{
    (void)state;
    put_idx("breakeven/mnist", "train", 30, 30, 28, 7);
    put_cifar("breakeven/cifar-10/data_batch_2.bin", 12, 2);
    assert_true(support_fail_each_allocation(open_both, NULL, 60) >= 20);
}

/* The real sets, where they stand beside the checkout. */
static void test_real_sets(void **state)
{
    (void)state;
    static const struct {
        dataset_kind kind;
        int64_t train;
        int32_t first[5];
    } sets[] = {{DATASET_MNIST, 60000, {5, 0, 4, 1, 9}},
                {DATASET_FASHION_MNIST, 60000, {9, 0, 0, 3, 0}},
                {DATASET_CIFAR10, 10000, {-1}}};
    if (!kept_data) skip();
    for (int i = 0; i < 3; i++) {
        be_dataset *d = NULL;
        dataset_options options = {.data_dir = kept_data};
        ASSERT_OK(dataset_open(sets[i].kind, SPLIT_TRAIN, &options, &d, &err));
        assert_int_equal(d->count, sets[i].train);
        if (sets[i].first[0] >= 0) assert_memory_equal(d->labels, sets[i].first, 20);
        double sum = 0, plane = d->height * d->width;
        for (int64_t k = 0; k < d->count; k += 7)
            for (int p = 0; p < d->height * d->width; p++)
                sum += d->images[k * dataset_image_bytes(d) + p] / 255.0;
        double mean = sum / plane / (double)((d->count + 6) / 7);
        assert_true(fabs(mean - d->mean[0]) < 0.005);
        dataset_close(d);
    }
}

/* MNIST and Fashion-MNIST have the same file names. */
static void test_a_set_in_the_folder_of_another(void **state)
{
    (void)state;
    char path[FILE_PATH_BYTES];
    be_dataset *d = NULL;
    if (!kept_data) skip();
    snprintf(path, sizeof path, "%s/mnist", kept_data);
    dataset_options options = {.data_dir = path};
    ASSERT_FAILS(dataset_open(DATASET_FASHION_MNIST, SPLIT_TRAIN, &options, &d, &err), BE_BAD_DATA,
                 "expected the labels of Fashion-MNIST, found those of MNIST", "right folder");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_idx_set),
        TEST(test_where_it_looks),
        TEST(test_stand_in_says_so),
        TEST(test_asked_folder_must_have_it),
        TEST(test_damage_is_no_reason_for_a_stand_in),
        TEST(test_files_that_do_not_fit),
        TEST(test_cifar_takes_the_files_there_are),
        TEST(test_names),
        TEST(test_shapes_are_the_same_everywhere),
        TEST(test_shapes_do_not_depend_on_order),
        TEST(test_shapes_statistics),
        TEST(test_splits_differ),
        TEST(test_order),
        TEST(test_no_memory),
        TEST(test_real_sets),
        TEST(test_a_set_in_the_folder_of_another),
    };
    return cmocka_run_group_tests_name("data_sets", tests, NULL, NULL);
}
