/* data/safetensors.h: the layout on disk, and every way in which a file can be wrong. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/memory.h"
#include "data/safetensors.h"

static char *folder;
static char path[FILE_PATH_BYTES];
static be_error err;

static int begin(void **state)
{
    (void)state;
    folder = support_make_folder();
    support_path(path, sizeof path, folder, "t.safetensors");
    err = (be_error){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    file_inject((file_faults){0});
    support_remove_folder(folder);
    return 0;
}

static const uint8_t bytes3[3] = {1, 2, 3};
static const float floats[6] = {0, 1, 2, 3, 4, 5};
static const int64_t longs[2] = {-1, INT64_MAX};

static const safetensors_tensor three[] = {
    {.name = "conv1.weight", .dtype = SAFETENSORS_F32, .rank = 2, .shape = {2, 3}, .data = floats},
    {.name = "mask", .dtype = SAFETENSORS_U8, .rank = 1, .shape = {3}, .data = bytes3},
    {.name = "target", .dtype = SAFETENSORS_I64, .rank = 1, .shape = {2}, .data = longs},
};
static const safetensors_string notes[] = {{"model", "cnn-\"quoted\""}, {"step", "7"}};
static const safetensors_layout layout = {three, 3, notes, 2};

static void expect_three(void)
{
    safetensors *file = NULL;
    const void *data = NULL;
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_count(file), 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(safetensors_at(file, i)->name, three[i].name);
        ASSERT_OK(safetensors_expect(file, &three[i], &data, &err));
        assert_int_equal((uintptr_t)data % safetensors_dtype_bytes(three[i].dtype), 0);
        assert_memory_equal(data, three[i].data, safetensors_at(file, i)->bytes);
    }
    assert_int_equal(safetensors_at(file, 0)->bytes, 24);
    assert_int_equal(safetensors_at(file, 0)->count, 6);
    assert_string_equal(safetensors_metadata(file, "model"), "cnn-\"quoted\"");
    assert_string_equal(safetensors_metadata(file, "step"), "7");
    assert_null(safetensors_metadata(file, "none"));
    assert_null(safetensors_find(file, "none"));
    safetensors_close(file);
}

static void test_save_and_open(void **state)
{
    (void)state;
    ASSERT_OK(safetensors_save(path, &layout, &err));
    expect_three();
}

/* The format as its authors give it, byte by byte. */
static void test_layout_on_disk(void **state)
{
    (void)state;
    void *memory = NULL;
    size_t count = 0;
    ASSERT_OK(safetensors_save(path, &layout, &err));
    ASSERT_OK(file_read(&memory, &count, path, 10000, &err));
    const unsigned char *bytes = memory;
    size_t header = bytes[0] | (size_t)bytes[1] << 8;
    for (int i = 2; i < 8; i++) assert_int_equal(bytes[i], 0);
    assert_int_equal(header % 8, 0);
    assert_int_equal(count, 8 + header + 16 + 24 + 3);
    assert_int_equal(bytes[8], '{');
    const unsigned char *data = bytes + 8 + header;
    assert_memory_equal(data, longs, 16); /* widest items first */
    assert_memory_equal(data + 16, floats, 24);
    assert_memory_equal(data + 40, bytes3, 3);
    const char *text =
        "{\"__metadata__\":{\"model\":\"cnn-\\\"quoted\\\"\",\"step\":\"7\"},"
        "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
        "\"mask\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[40,43]},"
        "\"target\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]}}";
    assert_memory_equal(bytes + 8, text, strlen(text));
    for (size_t i = 8 + strlen(text); i < 8 + header; i++) assert_int_equal(bytes[i], ' ');
    memory_free(memory);
}

static void test_streamed_in_pieces(void **state)
{
    (void)state;
    safetensors_writer *w = NULL;
    const safetensors_layout sorted = {(safetensors_tensor[]){three[2], three[0], three[1]}, 3,
                                       notes, 2};
    ASSERT_OK(safetensors_write_begin(&w, path, &sorted, &err));
    ASSERT_OK(safetensors_write(w, longs, 16, &err));
    for (int i = 0; i < 6; i++) ASSERT_OK(safetensors_write(w, &floats[i], 4, &err));
    assert_false(file_exists(path));
    ASSERT_OK(safetensors_write(w, bytes3, 3, &err));
    ASSERT_OK(safetensors_write_commit(w, &err));
    safetensors *file = NULL;
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_memory_equal(safetensors_find(file, "conv1.weight")->data, floats, 24);
    safetensors_close(file);
    ASSERT_OK(safetensors_write_begin(&w, path, &sorted, &err));
    safetensors_write_abort(w);
    ASSERT_OK(safetensors_open(&file, path, &err));
    safetensors_close(file);
}

static void test_empty_and_scalar(void **state)
{
    (void)state;
    const safetensors_tensor two[] = {
        {.name = "loss", .dtype = SAFETENSORS_F32, .rank = 0, .data = floats},
        {.name = "nothing", .dtype = SAFETENSORS_F32, .rank = 2, .shape = {0, 4}},
    };
    safetensors *file = NULL;
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){two, 2, NULL, 0}, &err));
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_find(file, "loss")->count, 1);
    assert_int_equal(safetensors_find(file, "loss")->rank, 0);
    assert_int_equal(safetensors_find(file, "nothing")->bytes, 0);
    safetensors_close(file);
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){0}, &err));
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_count(file), 0);
    safetensors_close(file);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    safetensors_tensor twice[] = {three[0], three[0]};
    ASSERT_FAILS(safetensors_save(path, &(safetensors_layout){twice, 2, NULL, 0}, &err), BE_USAGE,
                 "conv1.weight", "the name is taken");
    twice[1].name = "__metadata__";
    ASSERT_FAILS(safetensors_save(path, &(safetensors_layout){twice, 2, NULL, 0}, &err), BE_USAGE,
                 "the name is taken");
    twice[1].name = "\xff";
    ASSERT_FAILS(safetensors_save(path, &(safetensors_layout){twice, 2, NULL, 0}, &err), BE_USAGE,
                 "UTF-8");
    const safetensors_string bad = {"key", "\xff"};
    ASSERT_FAILS(safetensors_save(path, &(safetensors_layout){three, 3, &bad, 1}, &err), BE_USAGE,
                 "metadata \"key\"", "UTF-8");
    twice[1].name = "huge";
    twice[1].shape[0] = twice[1].shape[1] = INT64_MAX / 2;
    ASSERT_FAILS(safetensors_save(path, &(safetensors_layout){twice, 2, NULL, 0}, &err), BE_USAGE,
                 "huge", "more items than any file");
    assert_false(file_exists(path));
}

static void test_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    ASSERT_OK(safetensors_save(path, &layout, &err));
    for (int room = 0; room < 400; room += 7) {
        file_fail_after(room);
        be_status status = safetensors_save(path, &layout, &err);
        file_fail_after(-1);
        if (status == BE_OK) break;
        assert_int_equal(status, BE_IO);
        assert_non_null(strstr(err.text, "No space left on device"));
        expect_three();
        assert_true(room < 390);
    }
}

/* Put a header and data_bytes of data together and parse them. */
static be_status parse(const char *header, size_t data_bytes, safetensors **file)
{
    size_t length = strlen(header);
    unsigned char *bytes = calloc(1, 8 + length + data_bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    be_status status = safetensors_parse(file, bytes, 8 + length + data_bytes, "F", &err);
    if (status == BE_OK) safetensors_close(*file);
    free(bytes);
    return status;
}

#define ENTRY(name, dtype, shape, from, to)                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to \
    "]}"

static void test_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *text;
    } cases[] = {
        {"[]", 0, "expected a JSON object"},
        {" {}", 0, "expected a JSON object"},
        {"{", 0, "expected a JSON object"},
        {"{} x", 0, "expected a JSON object"},
        {"{\"a\":1}", 0, "expected a dtype"},
        {"{" ENTRY("a", "f31", "[1]", 0, 4) "}", 4, "found \"f31\""},
        {"{" ENTRY("a", "F32", "4", 0, 4) "}", 4, "expected a shape"},
        {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4,
         "at most 8 dimensions, found 9"},
        {"{" ENTRY("a", "F32", "[1.5]", 0, 4) "}", 4, "whole numbers"},
        {"{" ENTRY("a", "F32", "[-1]", 0, 4) "}", 4, "whole numbers"},
        {"{" ENTRY("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4,
         "more items than any memory"},
        {"{" ENTRY("a", "F32", "[4611686018427387904]", 0, 4) "}", 4, "more items than any memory"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "expected data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
         "expected data_offsets"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "}", 3, "found [0, 4]; the file is truncated"},
        {"{" ENTRY("a", "F32", "[1]", 4, 0) "}", 4, "found [4, 0]"},
        {"{" ENTRY("a", "F32", "[1]", -4, 0) "}", 4, "found [-4, 0]"},
        {"{" ENTRY("a", "F32", "[2]", 0, 4) "}", 4,
         "expected 8 bytes for its shape and dtype, found 4"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 2, 6) "}", 6,
         "tensors overlap"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 0, 4) "}", 4,
         "tensors overlap"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 8, 12) "}", 12, "a hole"},
        {"{" ENTRY("a", "F32", "[1]", 4, 8) "}", 8, "a hole"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "}", 5, "something appended"},
        {"{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("a", "F32", "[1]", 4, 8) "}", 8, "duplicate"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ to hold strings"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ to hold strings"},
        {"{\"a\\u0000\":{}}", 0, "expected a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        safetensors *file = NULL;
        ASSERT_FAILS(parse(cases[i].header, cases[i].data_bytes, &file), BE_BAD_DATA,
                     "F: ", cases[i].text);
        assert_null(file);
    }
}

/* Names come from the file; a terminal must not obey them. */
static void test_names_are_shown_as_text(void **state)
{
    (void)state;
    safetensors *file = NULL;
    ASSERT_FAILS(parse("{" ENTRY("\\u001b[2Jname", "f31", "[1]", 0, 4) "}", 4, &file), BE_BAD_DATA,
                 "tensor \"?[2Jname\"");
    ASSERT_FAILS(parse("{\x1b[2J", 0, &file), BE_BAD_DATA, "expected a JSON object");
    assert_null(strchr(err.text, 0x1b));
}

static void test_bad_lengths(void **state)
{
    (void)state;
    safetensors *file = NULL;
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0x7f, '{',  '}'};
    static const unsigned char beyond[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    ASSERT_FAILS(safetensors_parse(&file, huge, 16, "F", &err), BE_BAD_DATA,
                 "a header of at most 100000000 bytes", "found a length of 9223372036854775807");
    ASSERT_FAILS(safetensors_parse(&file, beyond, 16, "F", &err), BE_BAD_DATA,
                 "expected a header of 9 bytes, found 8", "truncated");
    for (size_t count = 0; count < 8; count++)
        ASSERT_FAILS(safetensors_parse(&file, huge, count, "F", &err), BE_BAD_DATA,
                     "at least 8 bytes");
    support_write_file(path, "", 0);
    ASSERT_FAILS(safetensors_open(&file, path, &err), BE_BAD_DATA, path, "at least 8 bytes");
    ASSERT_FAILS(safetensors_open(&file, "/nowhere/x", &err), BE_IO, "/nowhere/x",
                 "No such file or directory");
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    void *bytes = NULL;
    size_t count = 0;
    safetensors *file = NULL;
    ASSERT_OK(safetensors_save(path, &layout, &err));
    ASSERT_OK(file_read(&bytes, &count, path, 10000, &err));
    for (size_t cut = 0; cut < count; cut++)
        ASSERT_FAILS(safetensors_parse(&file, bytes, cut, "F", &err), BE_BAD_DATA,
                     "F: ", "expected");
    memory_free(bytes);
}

/* Files of other writers may put data where their items are not aligned. */
static void test_misaligned_data_is_copied(void **state)
{
    (void)state;
    const char *header = "{" ENTRY("a", "U8", "[1]", 0, 1) "," ENTRY(
        "b", "F32", "[1]", 1, 5) "," ENTRY("h", "BF16", "[1]", 5, 7) "}";
    size_t length = strlen(header);
    unsigned char bytes[1000] = {(unsigned char)length};
    safetensors *file = NULL;
    float value = 1.5f;
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length + 1, &value, 4);
    ASSERT_OK(safetensors_parse(&file, bytes, 8 + length + 7, "F", &err));
    const safetensors_tensor *b = safetensors_find(file, "b");
    assert_int_equal((uintptr_t)b->data % 4, 0);
    assert_true(*(const float *)b->data == 1.5f);
    assert_string_equal(safetensors_dtype_name(safetensors_find(file, "h")->dtype), "BF16");
    safetensors_close(file);
}

static void test_expect_says_what_differs(void **state)
{
    (void)state;
    safetensors *file = NULL;
    const void *data = NULL;
    ASSERT_OK(safetensors_save(path, &layout, &err));
    ASSERT_OK(safetensors_open(&file, path, &err));
    safetensors_tensor wanted = three[0];
    wanted.shape[1] = 4;
    ASSERT_FAILS(safetensors_expect(file, &wanted, &data, &err), BE_BAD_DATA, path,
                 "tensor \"conv1.weight\": expected F32 [2, 4], found F32 [2, 3]");
    assert_null(data);
    wanted = three[0];
    wanted.dtype = SAFETENSORS_F64;
    ASSERT_FAILS(safetensors_expect(file, &wanted, &data, &err), BE_BAD_DATA,
                 "expected F64 [2, 3], found F32 [2, 3]");
    wanted.dtype = SAFETENSORS_F32;
    wanted.rank = -1;
    ASSERT_OK(safetensors_expect(file, &wanted, &data, &err));
    wanted.name = "fc.weight";
    ASSERT_FAILS(safetensors_expect(file, &wanted, &data, &err), BE_BAD_DATA,
                 "expected a tensor \"fc.weight\", found none of that name among its 3",
                 "belongs to this model");
    safetensors_close(file);
}

/* A type that is not read here is no reason to refuse the tensors beside it. */
static void test_a_type_that_is_not_read(void **state)
{
    (void)state;
    safetensors *file = NULL;
    const void *data = NULL;
    static const char header[] =
        "{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F8_E4M3", "[3]", 4, 7) "}";
    char bytes[8 + sizeof header - 1 + 7] = {(char)(sizeof header - 1)};
    memcpy(bytes + 8, header, sizeof header - 1);
    ASSERT_OK(safetensors_parse(&file, bytes, sizeof bytes, "F", &err));
    safetensors_tensor wanted = {.name = "a", .dtype = SAFETENSORS_F32, .rank = 1, .shape = {1}};
    ASSERT_OK(safetensors_expect(file, &wanted, &data, &err));
    wanted.name = "b";
    wanted.shape[0] = 3;
    ASSERT_FAILS(safetensors_expect(file, &wanted, &data, &err), BE_BAD_DATA,
                 "tensor \"b\": expected F32 [3], found F8_E4M3 [3], a type that is not read here",
                 "convert the tensor to F32 and save the file again");
    safetensors_close(file);
}

static void test_what_is_no_safetensors_file(void **state)
{
    (void)state;
    safetensors *file = NULL;
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"PK\003\004\0\0\0\0archive/data.pkl", "found a zip archive"},
                 {"\200\002}q\0X\5\0\0\0", "found a Python pickle"},
                 {"<!DOCTYPE html><html>", "found a web page"}};
    for (int i = 0; i < 3; i++)
        ASSERT_FAILS(safetensors_parse(&file, cases[i].bytes, 16, "F", &err), BE_BAD_DATA,
                     "F: expected a safetensors file, ", cases[i].text);
}

static be_status save_and_open(void *context, be_error *error)
{
    (void)context;
    safetensors *file = NULL;
    TRY(safetensors_save(path, &layout, error));
    TRY(safetensors_open(&file, path, error));
    safetensors_close(file);
    return BE_OK;
}

static void test_no_memory(void **state)
{
    (void)state;
    assert_true(support_fail_each_allocation(save_and_open, NULL, 50) >= 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_save_and_open),
        TEST(test_layout_on_disk),
        TEST(test_streamed_in_pieces),
        TEST(test_empty_and_scalar),
        TEST(test_writer_refuses),
        TEST(test_full_disk_keeps_the_old_file),
        TEST(test_bad_headers),
        TEST(test_names_are_shown_as_text),
        TEST(test_bad_lengths),
        TEST(test_every_truncation_is_refused),
        TEST(test_misaligned_data_is_copied),
        TEST(test_expect_says_what_differs),
        TEST(test_a_type_that_is_not_read),
        TEST(test_what_is_no_safetensors_file),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("data_safetensors", tests, NULL, NULL);
}
