/* data/gzip.h, idx.h, cifar.h, tar.h: good files, and one bad file of every kind with its text. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"
#include "data/cifar.h"
#include "data/gzip.h"
#include "data/idx.h"
#include "data/sha256.h"
#include "data/tar.h"

static be_error err;

typedef struct blob {
    unsigned char *bytes;
    size_t count;
} blob;

static blob blob_of(const void *bytes, size_t count)
{
    blob b = {malloc(count + 1), count};
    memcpy(b.bytes, bytes, count);
    return b;
}

static blob gzip_of(const void *bytes, size_t count)
{
    z_stream stream = {0};
    blob b = {malloc(count + 1000), 0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)count;
    stream.next_out = b.bytes;
    stream.avail_out = (uInt)count + 1000;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    b.count = count + 1000 - stream.avail_out;
    deflateEnd(&stream);
    return b;
}

/* Read at most `room` bytes and then expect the end. */
static be_status read_all(const void *bytes, size_t count, void *out, size_t room, size_t *got)
{
    gzip_reader *r = NULL;
    be_status status = gzip_open_memory(&r, bytes, count, "F", &err);
    if (status == BE_OK) status = gzip_read_some(r, out, room, got, &err);
    if (status == BE_OK) status = gzip_end(r, &err);
    gzip_close(r);
    return status;
}

static void test_gzip_and_plain(void **state)
{
    (void)state;
    char out[100];
    size_t got;
    blob packed = gzip_of("hello, world", 12);
    ASSERT_OK(read_all(packed.bytes, packed.count, out, 100, &got));
    assert_int_equal(got, 12);
    assert_memory_equal(out, "hello, world", 12);
    ASSERT_OK(read_all("hello", 5, out, 100, &got));
    assert_int_equal(got, 5);
    ASSERT_OK(read_all("", 0, out, 100, &got));
    assert_int_equal(got, 0);
    /* Two members one after the other are one stream. */
    blob two = {malloc(2 * packed.count), 2 * packed.count};
    memcpy(two.bytes, packed.bytes, packed.count);
    memcpy(two.bytes + packed.count, packed.bytes, packed.count);
    ASSERT_OK(read_all(two.bytes, two.count, out, 100, &got));
    assert_int_equal(got, 24);
    free(packed.bytes);
    free(two.bytes);
}

static void test_gzip_truncated_anywhere(void **state)
{
    (void)state;
    char out[100];
    size_t got;
    blob packed = gzip_of("hello, world", 12);
    for (size_t cut = 2; cut < packed.count; cut++)
        ASSERT_FAILS(read_all(packed.bytes, cut, out, 100, &got), BE_BAD_DATA,
                     "F: ", "expected the end of the gzip stream", "truncated", "fetch it again");
    free(packed.bytes);
}

static void test_gzip_damaged(void **state)
{
    (void)state;
    char out[100];
    size_t got;
    blob packed = gzip_of("hello, world", 12);
    packed.bytes[packed.count - 8] ^= 1; /* the checksum */
    ASSERT_FAILS(read_all(packed.bytes, packed.count, out, 100, &got), BE_BAD_DATA,
                 "F: ", "damaged after 12", "incorrect data check", "fetch the file again");
    packed.bytes[packed.count - 8] ^= 1;
    packed.bytes[packed.count - 4] ^= 1; /* the length */
    ASSERT_FAILS(read_all(packed.bytes, packed.count, out, 100, &got), BE_BAD_DATA,
                 "incorrect length check");
    free(packed.bytes);
    blob random = blob_of("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff", 14);
    ASSERT_FAILS(read_all(random.bytes, random.count, out, 100, &got), BE_BAD_DATA, "damaged");
    free(random.bytes);
}

static void test_gzip_something_appended(void **state)
{
    (void)state;
    char out[100];
    size_t got;
    blob packed = gzip_of("hello", 5);
    packed.bytes = realloc(packed.bytes, packed.count + 2);
    memcpy(packed.bytes + packed.count, "\0\0", 2);
    ASSERT_FAILS(read_all(packed.bytes, packed.count + 2, out, 100, &got), BE_BAD_DATA,
                 "expected nothing after the gzip stream", "appended");
    ASSERT_FAILS(read_all(packed.bytes, packed.count, out, 4, &got), BE_BAD_DATA,
                 "expected the end of the data after 4 bytes", "oversized");
    free(packed.bytes);
}

/* 200 MB of zeros in 200 KB: the end is refused after one byte too many. */
static void test_gzip_bomb_is_not_inflated(void **state)
{
    (void)state;
    enum { PIECE = 1 << 20 };
    unsigned char *zeros = calloc(1, PIECE);
    z_stream stream = {0};
    blob bomb = {malloc(PIECE), 0};
    char out[16];
    size_t got;
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    stream.next_out = bomb.bytes;
    stream.avail_out = PIECE;
    for (int i = 0; i < 200; i++) {
        stream.next_in = zeros;
        stream.avail_in = PIECE;
        deflate(&stream, i < 199 ? Z_NO_FLUSH : Z_FINISH);
    }
    bomb.count = PIECE - stream.avail_out;
    deflateEnd(&stream);
    memory_fail_at(0);
    ASSERT_FAILS(read_all(bomb.bytes, bomb.count, out, 16, &got), BE_BAD_DATA, "oversized");
    idx_array array;
    gzip_reader *r = NULL;
    ASSERT_OK(gzip_open_memory(&r, bomb.bytes, bomb.count, "F", &err));
    ASSERT_FAILS(idx_read(r, 1, 0, &array, &err), BE_BAD_DATA, "found 0x00000000");
    gzip_close(r);
    free(zeros);
    free(bomb.bytes);
}

static void put_extent(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* An IDX file of rank 3: count pictures of 2 × 3, their bytes counting up. */
static blob idx_of(uint32_t count)
{
    blob b = {calloc(1, 16 + 6 * count + 1), 16 + 6 * count};
    b.bytes[2] = 8;
    b.bytes[3] = 3;
    put_extent(b.bytes + 4, count);
    put_extent(b.bytes + 8, 2);
    put_extent(b.bytes + 12, 3);
    for (size_t i = 0; i < 6 * count; i++) b.bytes[16 + i] = (unsigned char)i;
    return b;
}

static be_status read_idx(const blob *b, int rank, int64_t limit, idx_array *out)
{
    gzip_reader *r = NULL;
    be_status status = gzip_open_memory(&r, b->bytes, b->count, "F", &err);
    if (status == BE_OK) status = idx_read(r, rank, limit, out, &err);
    gzip_close(r);
    return status;
}

static void test_idx(void **state)
{
    (void)state;
    idx_array array;
    blob plain = idx_of(5), packed = gzip_of(plain.bytes, plain.count);
    const blob *both[] = {&plain, &packed};
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(read_idx(both[i], 3, 0, &array));
        assert_int_equal(array.shape[0], 5);
        assert_int_equal(array.shape[1], 2);
        assert_int_equal(array.shape[2], 3);
        assert_memory_equal(array.bytes, plain.bytes + 16, 30);
        memory_free(array.bytes);
        ASSERT_OK(read_idx(both[i], 3, 2, &array));
        assert_int_equal(array.shape[0], 2);
        assert_int_equal(array.file_count, 5);
        assert_memory_equal(array.bytes, plain.bytes + 16, 12);
        memory_free(array.bytes);
        ASSERT_OK(read_idx(both[i], 3, 9, &array));
        assert_int_equal(array.shape[0], 5);
        memory_free(array.bytes);
    }
    free(plain.bytes);
    free(packed.bytes);
}

static void test_idx_refuses(void **state)
{
    (void)state;
    idx_array array;
    blob b = idx_of(5);
    ASSERT_FAILS(read_idx(&b, 1, 0, &array), BE_BAD_DATA,
                 "F: expected the IDX magic number 0x00000801 (unsigned bytes, 1 dimensions), "
                 "found 0x00000803",
                 "check that it is the right file");
    b.bytes[2] = 13; /* floats */
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "found 0x00000d03");
    b.bytes[2] = 8;
    b.count++; /* one byte too many */
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "expected the end of the data after 46",
                 "oversized");
    ASSERT_FAILS(read_idx(&b, 3, 2, &array), BE_BAD_DATA, "oversized");
    assert_null(array.bytes);
    for (b.count = 0; b.count < 46; b.count++)
        ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "F: ", "truncated");
    b.count = 46;
    put_extent(b.bytes + 4, 6); /* a count that the file does not have */
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "promises 6 items", "36 bytes",
                 "can hold 30 at most");
    free(b.bytes);
}

static void test_idx_bombs(void **state)
{
    (void)state;
    idx_array array;
    blob b = idx_of(5);
    for (int i = 4; i < 16; i++) b.bytes[i] = 0xff; /* 2^96 bytes */
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "promises 4294967295 items of more than");
    put_extent(b.bytes + 4, 4); /* 2^64, which would be 0 */
    put_extent(b.bytes + 8, 1u << 31);
    put_extent(b.bytes + 12, 1u << 31);
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "promises 4 items of more than");
    put_extent(b.bytes + 8, 1 << 14); /* 2^56 bytes: no overflow, no such file */
    put_extent(b.bytes + 12, 1 << 14);
    put_extent(b.bytes + 4, 1 << 28);
    ASSERT_FAILS(read_idx(&b, 3, 0, &array), BE_BAD_DATA, "can hold 30 at most");
    blob packed = gzip_of(b.bytes, b.count);
    ASSERT_FAILS(read_idx(&packed, 3, 0, &array), BE_BAD_DATA, "promises 268435456 items",
                 "can hold");
    free(packed.bytes);
    /* A promise that the ratio allows, but that the stream does not keep. */
    put_extent(b.bytes + 8, 1);
    put_extent(b.bytes + 12, 1);
    put_extent(b.bytes + 4, 20000);
    packed = gzip_of(b.bytes, b.count);
    ASSERT_FAILS(read_idx(&packed, 3, 0, &array), BE_BAD_DATA, "(20000 bytes), found the end");
    free(packed.bytes);
    free(b.bytes);
}

static blob cifar_of(int records)
{
    blob b = {malloc((size_t)records * CIFAR_RECORD_BYTES + 1),
              (size_t)records * CIFAR_RECORD_BYTES};
    for (size_t i = 0; i < b.count; i++)
        b.bytes[i] = (unsigned char)(i % CIFAR_RECORD_BYTES == 0 ? i / CIFAR_RECORD_BYTES % 10
                                                                 : i / CIFAR_RECORD_BYTES + i);
    return b;
}

static be_status read_cifar(const blob *b, int64_t limit, cifar_records *records)
{
    gzip_reader *r = NULL;
    be_status status = gzip_open_memory(&r, b->bytes, b->count, "F", &err);
    if (status == BE_OK) status = cifar_append(r, limit, records, &err);
    gzip_close(r);
    return status;
}

static void test_cifar(void **state)
{
    (void)state;
    cifar_records records = {0};
    blob plain = cifar_of(40), packed = gzip_of(plain.bytes, plain.count);
    ASSERT_OK(read_cifar(&plain, 0, &records));
    ASSERT_OK(read_cifar(&packed, 50, &records));
    assert_int_equal(records.count, 50);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(records.labels[i], i % 40 % 10);
        assert_memory_equal(records.images + i * CIFAR_IMAGE_BYTES,
                            plain.bytes + i % 40 * CIFAR_RECORD_BYTES + 1, CIFAR_IMAGE_BYTES);
    }
    cifar_free(&records);
    free(plain.bytes);
    free(packed.bytes);
}

static void test_cifar_refuses(void **state)
{
    (void)state;
    cifar_records records = {0};
    blob b = cifar_of(20);
    b.count++;
    ASSERT_FAILS(read_cifar(&b, 0, &records), BE_BAD_DATA,
                 "F: expected whole records of 3073 bytes, found 1 bytes after record 19");
    b.count -= 2;
    ASSERT_FAILS(read_cifar(&b, 0, &records), BE_BAD_DATA, "found 3072 bytes after record 18",
                 "truncated");
    b.count = 0;
    ASSERT_FAILS(read_cifar(&b, 0, &records), BE_BAD_DATA, "found an empty file");
    b.count = 20 * CIFAR_RECORD_BYTES;
    b.bytes[17 * CIFAR_RECORD_BYTES] = 10;
    ASSERT_FAILS(read_cifar(&b, 0, &records), BE_BAD_DATA,
                 "F: record 17: expected a label from 0 to 9, found 10");
    ASSERT_FAILS(read_cifar(&b, 5, &records), BE_BAD_DATA, "record 17");
    free(b.bytes);
    b = cifar_of(CIFAR_FILE_RECORDS + 1);
    ASSERT_FAILS(read_cifar(&b, 1, &records), BE_BAD_DATA, "expected at most 10000 records",
                 "oversized");
    cifar_free(&records);
    free(b.bytes);
}

/* One tar header for a file of that many bytes. */
static void put_tar_header(unsigned char *block, const char *name, unsigned bytes, char type)
{
    memset(block, 0, 512);
    strcpy((char *)block, name);
    sprintf((char *)block + 124, "%011o", bytes);
    memset(block + 148, ' ', 8);
    block[156] = (unsigned char)type;
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += block[i];
    sprintf((char *)block + 148, "%06o", sum);
}

static void test_tar(void **state)
{
    (void)state;
    unsigned char archive[512 * 8] = {0};
    char out[1000];
    size_t got;
    bool found;
    gzip_reader *r = NULL;
    tar_member member = {0};
    put_tar_header(archive, "folder/", 0, '5');
    put_tar_header(archive + 512, "folder/a.bin", 600, '0');
    memset(archive + 1024, 'a', 600);
    put_tar_header(archive + 2048, "../../b", 3, 0);
    memcpy(archive + 2560, "bbb", 3);
    ASSERT_OK(gzip_open_memory(&r, archive, sizeof archive, "F", &err));
    ASSERT_OK(tar_next(r, &member, &found, &err));
    assert_true(found && !member.regular);
    ASSERT_OK(tar_next(r, &member, &found, &err));
    assert_true(found && member.regular);
    assert_string_equal(member.name, "a.bin");
    ASSERT_OK(tar_read(r, &member, out, 100, &got, &err));
    assert_int_equal(got, 100);
    ASSERT_OK(tar_next(r, &member, &found, &err)); /* passes over the rest */
    assert_string_equal(member.name, "b");
    ASSERT_OK(tar_read(r, &member, out, 1000, &got, &err));
    assert_int_equal(got, 3);
    assert_memory_equal(out, "bbb", 3);
    ASSERT_OK(tar_read(r, &member, out, 1000, &got, &err));
    assert_int_equal(got, 0);
    ASSERT_OK(tar_next(r, &member, &found, &err));
    assert_false(found);
    gzip_close(r);
}

static void test_tar_refuses(void **state)
{
    (void)state;
    unsigned char archive[1024];
    bool found;
    gzip_reader *r = NULL;
    tar_member member = {0};
    put_tar_header(archive, "a", 600, '0');
    ASSERT_OK(gzip_open_memory(&r, archive, 1024, "F", &err));
    ASSERT_OK(tar_next(r, &member, &found, &err));
    ASSERT_FAILS(tar_next(r, &member, &found, &err), BE_BAD_DATA, "F: expected the data",
                 "truncated");
    gzip_close(r);
    archive[3] ^= 1;
    member = (tar_member){0};
    ASSERT_OK(gzip_open_memory(&r, archive, 1024, "F", &err));
    ASSERT_FAILS(tar_next(r, &member, &found, &err), BE_BAD_DATA, "right checksum");
    gzip_close(r);
    ASSERT_OK(gzip_open_memory(&r, archive, 100, "F", &err));
    ASSERT_FAILS(tar_next(r, &member, &found, &err), BE_BAD_DATA, "expected a tar header (512");
    gzip_close(r);
}

static void test_sha256(void **state)
{
    (void)state;
    char *folder = support_make_folder(), path[FILE_PATH_BYTES], text[SHA256_TEXT_BYTES];
    int64_t bytes;
    blob packed = gzip_of("abc", 3);
    support_write_file(support_path(path, sizeof path, folder, "abc"), "abc", 3);
    /* FIPS 180-2, appendix B.1 */
    const char *expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    ASSERT_OK(sha256_file(path, text, &err));
    assert_string_equal(text, expected);
    support_write_file(path, packed.bytes, packed.count);
    ASSERT_OK(sha256_unpacked(path, 3, text, &bytes, &err));
    assert_string_equal(text, expected);
    assert_int_equal(bytes, 3);
    ASSERT_FAILS(sha256_unpacked(path, 2, text, &bytes, &err), BE_BAD_DATA, path, "at most 2");
    file_inject((file_faults){.fail_read = true});
    ASSERT_FAILS(sha256_file(path, text, &err), BE_IO, "cannot read", path);
    file_inject((file_faults){0});
    free(packed.bytes);
    support_remove_folder(folder);
}

static be_status read_everything(void *context, be_error *error)
{
    const blob *const *blobs = context;
    gzip_reader *r = NULL;
    idx_array array;
    cifar_records records = {0};
    TRY(gzip_open_memory(&r, blobs[0]->bytes, blobs[0]->count, "F", error));
    be_status status = idx_read(r, 3, 0, &array, error);
    gzip_close(r);
    memory_free(array.bytes);
    TRY(status);
    TRY(gzip_open_memory(&r, blobs[1]->bytes, blobs[1]->count, "F", error));
    status = cifar_append(r, 0, &records, error);
    gzip_close(r);
    cifar_free(&records);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    blob idx = idx_of(5), cifar = cifar_of(20);
    const blob *both[] = {&idx, &cifar};
    assert_true(support_fail_each_allocation(read_everything, both, 20) >= 5);
    free(idx.bytes);
    free(cifar.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip_and_plain),
        cmocka_unit_test(test_gzip_truncated_anywhere),
        cmocka_unit_test(test_gzip_damaged),
        cmocka_unit_test(test_gzip_something_appended),
        cmocka_unit_test(test_gzip_bomb_is_not_inflated),
        cmocka_unit_test(test_idx),
        cmocka_unit_test(test_idx_refuses),
        cmocka_unit_test(test_idx_bombs),
        cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_cifar_refuses),
        cmocka_unit_test(test_tar),
        cmocka_unit_test(test_tar_refuses),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("data_formats", tests, NULL, NULL);
}
