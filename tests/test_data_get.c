/* data/get.h, download.h: fetching from a server that behaves well and badly. */
#include "fake_clock.h"
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "core/file.h"
#include "core/memory.h"
#include "core/rng.h"
#include "data/cifar.h"
#include "data/get.h"
#include "data/sha256.h"

#define FILE_BYTES 300000
#define RECORDS 100

static char *served, *folder; /* what the server serves, and where the files go */
static pid_t server;
static int server_input, port;
static be_error err;

static catalog_set files_set = {.kind = DATASET_MNIST,
                                .format = FORMAT_IDX,
                                .name = "small",
                                .folders = {"small"},
                                .url = "http://127.0.0.1:1/",
                                .file_count = 2,
                                .files = {{.name = "a"}, {.name = "b"}}};
static catalog_set archive_set = {.kind = DATASET_CIFAR10,
                                  .format = FORMAT_CIFAR,
                                  .name = "packed",
                                  .folders = {"packed"},
                                  .archive = {.name = "packed.tar.gz"},
                                  .file_count = 2,
                                  .files = {{.name = "one.bin"}, {.name = "two.bin"}}};
static char sums[8][SHA256_TEXT_BYTES];

static const char *path_in(const char *where, const char *name)
{
    static char paths[16][FILE_PATH_BYTES];
    static int next;
    return support_path(paths[next++ % 16], FILE_PATH_BYTES, where, name);
}

static int64_t put_gzip(const char *path, const void *bytes, unsigned count)
{
    void *read = NULL;
    size_t size = 0;
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, count), count);
    assert_int_equal(gzclose(file), Z_OK);
    ASSERT_OK(file_read(&read, &size, path, 10000000, &err));
    memory_free(read);
    return (int64_t)size;
}

static const char *sum_of(const char *path, bool unpacked, int index)
{
    int64_t bytes;
    if (unpacked)
        ASSERT_OK(sha256_unpacked(path, 10000000, sums[index], &bytes, &err));
    else
        ASSERT_OK(sha256_file(path, sums[index], &err));
    return sums[index];
}

/* Random bytes, which do not shrink. */
static void make_files(void)
{
    static unsigned char bytes[FILE_BYTES];
    for (int f = 0; f < 2; f++) {
        catalog_file *file = &files_set.files[f];
        char name[10];
        rng r = {.key = {.seed = (uint64_t)f, .stream = RNG_TEST}};
        for (int i = 0; i < FILE_BYTES; i++) bytes[i] = (unsigned char)rng_next(&r);
        snprintf(name, sizeof name, "%s.gz", file->name);
        file->bytes = FILE_BYTES;
        file->packed_bytes = put_gzip(path_in(served, name), bytes, FILE_BYTES);
        file->packed_sha256 = sum_of(path_in(served, name), false, 2 * f);
        file->sha256 = sum_of(path_in(served, name), true, 2 * f + 1);
    }
}

static void put_tar_header(unsigned char *block, const char *name, unsigned bytes)
{
    memset(block, 0, 512);
    strcpy((char *)block, name);
    sprintf((char *)block + 124, "%011o", bytes);
    memset(block + 148, ' ', 8);
    block[156] = '0';
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += block[i];
    sprintf((char *)block + 148, "%06o", sum);
}

static void make_archive(const char *second)
{
    enum { DATA = RECORDS * CIFAR_RECORD_BYTES, PADDED = (DATA + 511) / 512 * 512 };
    static unsigned char tar[1024 + 512 + 2 * PADDED + 1024];
    char inner[100];
    memset(tar, 0, sizeof tar);
    put_tar_header(tar, "folder/one.bin", DATA);
    put_tar_header(tar + 512 + PADDED, "folder/readme.txt", 0);
    snprintf(inner, sizeof inner, "folder/%s", second);
    put_tar_header(tar + 1024 + PADDED, inner, DATA);
    for (int i = 0; i < RECORDS; i++) {
        tar[512 + i * CIFAR_RECORD_BYTES] = (unsigned char)(i % 10);
        tar[1536 + PADDED + i * CIFAR_RECORD_BYTES] = (unsigned char)(9 - i % 10);
    }
    archive_set.files[0].bytes = archive_set.files[1].bytes = DATA;
    archive_set.archive.bytes = put_gzip(path_in(served, "packed.tar.gz"), tar, sizeof tar);
    archive_set.archive.sha256 = sum_of(path_in(served, "packed.tar.gz"), false, 4);
}

static void start_server(void)
{
    int to_server[2], from_server[2];
    char script[FILE_PATH_BYTES], text[32] = "";
    const char *source = getenv("BREAKEVEN_SOURCE");
    assert_int_equal(pipe(to_server), 0);
    assert_int_equal(pipe(from_server), 0);
    snprintf(script, sizeof script, "%s/tests/data_server.py", source ? source : ".");
    server = fork();
    if (server == 0) {
        dup2(to_server[0], 0);
        dup2(from_server[1], 1);
        close(to_server[1]); /* or the server would never see the end of its input */
        execlp("python3", "python3", script, served, (char *)NULL);
        _exit(127);
    }
    close(to_server[0]);
    close(from_server[1]);
    server_input = to_server[1];
    if (read(from_server[0], text, sizeof text - 1) <= 0) fail_msg("the server did not start");
    close(from_server[0]);
    port = atoi(text);
    assert_true(port > 0);
}

static int begin_all(void **state)
{
    (void)state;
    setenv("no_proxy", "*", 1);
    served = support_make_folder();
    make_files();
    make_archive("two.bin");
    start_server();
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    close(server_input);
    waitpid(server, NULL, 0);
    support_remove_folder(served);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    folder = support_make_folder();
    unlink(path_in(served, "requests"));
    return 0;
}

static int end(void **state)
{
    (void)state;
    file_inject((file_faults){0});
    support_remove_folder(folder);
    return 0;
}

/* The server in one of its modes. */
static const char *mirror_of(const char *mode)
{
    static char mirror[100];
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/%s", port, mode);
    return mirror;
}

static be_status get(const catalog_set *set, const char *mode, get_result *result)
{
    get_options options = {.folder = folder, .mirror = mirror_of(mode), .stall_seconds = 60};
    return get_data_set(set, &options, result, &err);
}

/* What was asked of the server since the test began. */
static const char *requests(void)
{
    static char text[4096];
    void *bytes = NULL;
    size_t count = 0;
    text[0] = 0;
    if (file_exists(path_in(served, "requests"))) {
        ASSERT_OK(file_read(&bytes, &count, path_in(served, "requests"), sizeof text - 1, &err));
        memcpy(text, bytes, count + 1);
        memory_free(bytes);
    }
    return text;
}

static void expect_fetched(const char *name)
{
    char found[SHA256_TEXT_BYTES], expected[SHA256_TEXT_BYTES];
    ASSERT_OK(sha256_file(path_in(folder, name), found, &err));
    ASSERT_OK(sha256_file(path_in(served, name), expected, &err));
    assert_string_equal(found, expected);
    assert_false(file_exists(path_in(folder, "a.gz.part")));
}

static void expect_part(int64_t bytes)
{
    const void *mapped = NULL;
    size_t count = 0;
    ASSERT_OK(file_map(&mapped, &count, path_in(folder, "a.gz.part"), &err));
    file_unmap(mapped, count);
    assert_int_equal(count, bytes);
    assert_false(file_exists(path_in(folder, "a.gz")));
}

static void test_good(void **state)
{
    (void)state;
    get_result result;
    ASSERT_OK(get(&files_set, "good", &result));
    assert_int_equal(result.fetched, 2);
    assert_int_equal(result.kept, 0);
    assert_string_equal(result.folder, folder);
    expect_fetched("a.gz");
    expect_fetched("b.gz");
    assert_string_equal(requests(), "good a.gz -\ngood b.gz -\n");
    /* A second time there is nothing to do; a damaged file is fetched again. */
    ASSERT_OK(get(&files_set, "none", &result));
    assert_int_equal(result.kept, 2);
    support_write_file(path_in(folder, "a.gz"), "damaged", 7);
    ASSERT_OK(get(&files_set, "good", &result));
    assert_int_equal(result.fetched, 1);
    expect_fetched("a.gz");
}

static char *keep(const char *name)
{
    return getenv(name) ? strdup(getenv(name)) : NULL;
}

static void put_back(const char *name, char *kept)
{
    if (kept)
        setenv(name, kept, 1);
    else
        unsetenv(name);
    free(kept);
}

/* Where sets are looked for is where they are put: BREAKEVEN_DATA, else the XDG data folder. */
static void test_default_folder_and_mirror(void **state)
{
    (void)state;
    get_result result;
    catalog_place place;
    char mirror[100];
    char *kept_xdg = keep("XDG_DATA_HOME"), *kept_data = keep("BREAKEVEN_DATA");
    unsetenv("BREAKEVEN_DATA");
    setenv("XDG_DATA_HOME", folder, 1);
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/moved/", port);
    setenv("BREAKEVEN_MIRROR", mirror, 1);
    be_status status = get_data_set(&files_set, NULL, &result, &err);
    setenv("BREAKEVEN_DATA", path_in(folder, "named"), 1);
    get_result named;
    if (status == BE_OK) status = get_data_set(&files_set, NULL, &named, &err);
    be_status located = catalog_locate(&files_set, NULL, &place, &err);
    unsetenv("BREAKEVEN_MIRROR");
    put_back("XDG_DATA_HOME", kept_xdg);
    put_back("BREAKEVEN_DATA", kept_data);
    ASSERT_OK(status);
    ASSERT_OK(located);
    assert_string_equal(result.folder, path_in(folder, "breakeven/small"));
    assert_true(file_exists(path_in(folder, "breakeven/small/b.gz")));
    assert_string_equal(named.folder, path_in(folder, "named/small"));
    assert_string_equal(place.folder, named.folder);
    assert_true(file_exists(path_in(folder, "named/small/b.gz")));
}

/* Files that lie there under another name of the folder are completed there. */
static void test_completes_the_folder_that_is_there(void **state)
{
    (void)state;
    get_result result;
    get_options options = {.data_dir = folder, .mirror = mirror_of("moved"), .stall_seconds = 60};
    ASSERT_OK(get_data_set(&files_set, &options, &result, &err));
    assert_int_equal(result.kept, 0);
    assert_int_equal(rename(path_in(folder, "small"), path_in(folder, "SMALL")), 0);
    ASSERT_OK(file_remove(path_in(folder, "SMALL/b.gz"), &err));
    ASSERT_OK(get_data_set(&files_set, &options, &result, &err));
    assert_string_equal(result.folder, path_in(folder, "SMALL"));
    assert_int_equal(result.fetched, 1);
    assert_true(result.kept > 0 && file_exists(path_in(folder, "SMALL/b.gz")));
}

static void test_cut_is_resumed(void **state)
{
    (void)state;
    get_result result;
    int64_t bytes = files_set.files[0].packed_bytes, half = bytes / 2;
    char expected[200];
    /* Three attempts, each gets half of what is left. */
    ASSERT_FAILS(get(&files_set, "cut", &result), BE_IO, "/cut/small/a.gz: the transfer failed",
                 "bytes are kept", "run the same command again to go on");
    expect_part(bytes -
                (bytes - half - (bytes - half) / 2 - (bytes - half - (bytes - half) / 2) / 2));
    ASSERT_OK(get(&files_set, "good", &result));
    expect_fetched("a.gz");
    snprintf(expected, sizeof expected, "cut a.gz -\ncut a.gz bytes=%ld-\n", (long)half);
    assert_non_null(strstr(requests(), expected));
    assert_non_null(strstr(requests(), "good a.gz bytes="));
}

static void test_flaky_needs_no_second_command(void **state)
{
    (void)state;
    get_result result;
    ASSERT_OK(get(&files_set, "flaky", &result));
    expect_fetched("a.gz");
    expect_fetched("b.gz");
}

static void put_part(const char *name, int64_t bytes, int flip)
{
    void *content = NULL;
    size_t count = 0;
    char part[100];
    ASSERT_OK(file_read(&content, &count, path_in(served, name), 10000000, &err));
    ((char *)content)[100] ^= (char)flip;
    snprintf(part, sizeof part, "%s.part", name);
    support_write_file(path_in(folder, part), content, (size_t)bytes);
    memory_free(content);
}

static void test_parts_of_earlier_runs(void **state)
{
    (void)state;
    get_result result;
    int64_t bytes = files_set.files[0].packed_bytes;
    put_part("a.gz", 1000, 0); /* a server without ranges: from the start */
    ASSERT_OK(get(&files_set, "norange", &result));
    expect_fetched("a.gz");
    assert_non_null(strstr(requests(), "norange a.gz bytes=1000-"));
    unlink(path_in(folder, "a.gz"));
    put_part("a.gz", bytes, 0); /* complete: nothing is asked for */
    unlink(path_in(served, "requests"));
    ASSERT_OK(get(&files_set, "none", &result));
    assert_string_equal(requests(), "");
    expect_fetched("a.gz");
    unlink(path_in(folder, "a.gz"));
    put_part("a.gz", 1000, 1); /* a damaged part: found by the sum, and fetched anew */
    ASSERT_OK(get(&files_set, "good", &result));
    expect_fetched("a.gz");
    unlink(path_in(folder, "a.gz"));
    put_part("a.gz", bytes, 1); /* the same, complete */
    ASSERT_OK(get(&files_set, "good", &result));
    expect_fetched("a.gz");
    unlink(path_in(folder, "a.gz"));
    char *long_part = calloc(1, (size_t)bytes + 1); /* more than there should be */
    support_write_file(path_in(folder, "a.gz.part"), long_part, (size_t)bytes + 1);
    free(long_part);
    ASSERT_OK(get(&files_set, "good", &result));
    expect_fetched("a.gz");
}

static void test_wrong_bytes(void **state)
{
    (void)state;
    get_result result;
    ASSERT_FAILS(get(&files_set, "wrong", &result), BE_BAD_DATA, "/wrong/small/a.gz",
                 "expected the SHA-256", files_set.files[0].packed_sha256, "found");
    assert_false(file_exists(path_in(folder, "a.gz")));
    assert_false(file_exists(path_in(folder, "a.gz.part")));
    assert_string_equal(requests(), "wrong a.gz -\n");
}

static void test_wrong_sizes(void **state)
{
    (void)state;
    get_result result;
    ASSERT_FAILS(get(&files_set, "long", &result), BE_BAD_DATA, "/long/small/a.gz: expected",
                 "bytes, found more", "another file");
    ASSERT_FAILS(get(&files_set, "short", &result), BE_BAD_DATA, "/short/small/a.gz: expected",
                 "bytes, found 299113; the server has another file");
    assert_false(file_exists(path_in(folder, "a.gz")));
}

static void test_refusals(void **state)
{
    (void)state;
    get_result result;
    ASSERT_FAILS(get(&files_set, "none", &result), BE_IO,
                 "expected the file, found HTTP status 404", "check the address");
    assert_string_equal(requests(), "none a.gz -\n");
    assert_false(file_exists(path_in(folder, "a.gz.part")));
    ASSERT_FAILS(get(&files_set, "busy", &result), BE_IO, "HTTP status 503", "try again later");
    assert_non_null(strstr(requests(), "busy a.gz -\nbusy a.gz -\nbusy a.gz -\n"));
    ASSERT_FAILS(get(&files_set, "loop", &result), BE_IO, "the transfer failed", "redirects");
    ASSERT_FAILS(get(&files_set, "silent", &result), BE_IO, "the transfer failed");
    put_part("a.gz", 1000, 0);
    ASSERT_FAILS(get(&files_set, "badrange", &result), BE_IO, "expected the bytes from 1000",
                 "sends those from 0", "a.gz.part");
    expect_part(1000); /* an error page or a wrong range adds nothing */
    ASSERT_FAILS(get(&files_set, "none", &result), BE_IO, "404");
    expect_part(1000);
}

static void test_no_server(void **state)
{
    (void)state;
    get_result result;
    ASSERT_FAILS(get_data_set(&files_set, &(get_options){.folder = folder}, &result, &err), BE_IO,
                 "http://127.0.0.1:1/a.gz: the transfer failed", "check the network connection");
    catalog_set other = files_set;
    char url[FILE_PATH_BYTES]; /* no other protocol, even where it would work */
    snprintf(url, sizeof url, "file://%s/", served);
    other.url = url;
    ASSERT_FAILS(get_data_set(&other, &(get_options){.folder = folder}, &result, &err), BE_IO,
                 "the transfer failed");
    ASSERT_FAILS(get_data_set(catalog_get(DATASET_SHAPES), NULL, &result, &err), BE_USAGE,
                 "expected a set that is published, found shapes");
}

/* An hour passes whenever somebody looks after the first bytes have come. */
static bool pass_an_hour(void *context, const get_progress *progress)
{
    fake_clock *clock = context;
    if (progress->bytes > 0) clock->now_ns += 3600000000000;
    return true;
}

static void test_stall(void **state)
{
    (void)state;
    get_result result;
    fake_clock clock = {.now_ns = 1};
    get_options options = {.folder = folder, .mirror = mirror_of("stall"), .stall_seconds = 60};
    options.progress = pass_an_hour;
    options.context = &clock;
    fake_clock_use(&clock);
    be_status status = get_data_set(&files_set, &options, &result, &err);
    fake_clock_end();
    ASSERT_FAILS(status, BE_IO, "/stall/small/a.gz: expected data, found none for 60 seconds",
                 "bytes are kept");
    assert_true(file_exists(path_in(folder, "a.gz.part")));
}

static bool stop_soon(void *context, const get_progress *progress)
{
    get_progress *last = context;
    *last = *progress;
    return progress->bytes == 0;
}

static void test_stopped(void **state)
{
    (void)state;
    get_result result;
    get_progress last = {0};
    const get_options options = {
        .folder = folder, .mirror = mirror_of("stall"), .progress = stop_soon, .context = &last};
    ASSERT_FAILS(get_data_set(&files_set, &options, &result, &err), BE_INTERRUPTED, "stopped",
                 "bytes are kept, run the same command again");
    assert_string_equal(last.file, "a.gz");
    assert_int_equal(last.count, 2);
    assert_int_equal(last.total_bytes, files_set.files[0].packed_bytes);
    assert_in_range(last.bytes, 1, last.total_bytes);
    assert_true(file_exists(path_in(folder, "a.gz.part")));
}

static void test_full_disk(void **state)
{
    (void)state;
    get_result result;
    file_fail_after(100000);
    ASSERT_FAILS(get(&files_set, "good", &result), BE_IO, "a.gz.part", "No space left on device");
    file_fail_after(-1);
    ASSERT_OK(get(&files_set, "good", &result));
    expect_fetched("a.gz");
    assert_non_null(strstr(requests(), "good a.gz bytes="));
}

static void test_two_at_once(void **state)
{
    (void)state;
    get_result result;
    int fd;
    ASSERT_OK(file_open_locked(&fd, path_in(folder, "a.gz.part"), &err));
    ASSERT_FAILS(get(&files_set, "good", &result), BE_IO, "a.gz.part", " is writing it;");
    close(fd);
}

static void test_plain_file_in_the_way(void **state)
{
    (void)state;
    get_result result;
    support_write_file(path_in(folder, "a"), "damaged", 7);
    ASSERT_FAILS(get(&files_set, "good", &result), BE_BAD_DATA, path_in(folder, "a"),
                 "move the file away");
}

static void test_archive(void **state)
{
    (void)state;
    get_result result;
    ASSERT_OK(get(&archive_set, "flaky", &result));
    assert_int_equal(result.fetched, 2);
    assert_true(file_exists(path_in(folder, "one.bin")));
    assert_false(file_exists(path_in(folder, "readme.txt")));
    assert_false(file_exists(path_in(folder, "packed.tar.gz")));
    ASSERT_OK(get(&archive_set, "none", &result));
    assert_int_equal(result.kept, 2);
    /* A file of good records, but not all of them. */
    unsigned char record[CIFAR_RECORD_BYTES] = {1};
    support_write_file(path_in(folder, "one.bin"), record, sizeof record);
    ASSERT_OK(get(&archive_set, "good", &result));
    assert_int_equal(result.fetched, 2);
    /* Stopped while unpacking: the archive is there, one file is not right. */
    void *bytes = NULL;
    size_t count = 0;
    ASSERT_OK(file_read(&bytes, &count, path_in(served, "packed.tar.gz"), 10000000, &err));
    support_write_file(path_in(folder, "packed.tar.gz"), bytes, count);
    memory_free(bytes);
    support_write_file(path_in(folder, "two.bin"), "half", 4);
    ASSERT_OK(get(&archive_set, "none", &result));
    assert_int_equal(result.fetched, 2);
    ASSERT_OK(get(&archive_set, "none", &result));
    assert_int_equal(result.kept, 2);
}

static void test_archive_with_other_content(void **state)
{
    (void)state;
    get_result result;
    make_archive("three.bin");
    ASSERT_FAILS(get(&archive_set, "good", &result), BE_BAD_DATA, "packed.tar.gz",
                 "expected two.bin in it, found none");
    make_archive("two.bin");
    archive_set.files[1].bytes--;
    ASSERT_FAILS(get(&archive_set, "good", &result), BE_BAD_DATA, "two.bin: expected 307299 bytes",
                 "found 307300");
    archive_set.files[1].bytes++;
}

static be_status get_good(void *context, be_error *error)
{
    (void)context;
    get_result result;
    get_options options = {.folder = folder, .mirror = mirror_of("good")};
    TRY(get_data_set(&files_set, &options, &result, error));
    return get_data_set(&archive_set, &options, &result, error);
}

static void test_no_memory(void **state)
{
    (void)state;
    assert_true(support_fail_each_allocation(get_good, NULL, 30) >= 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_default_folder_and_mirror),
        TEST(test_completes_the_folder_that_is_there),
        TEST(test_cut_is_resumed),
        TEST(test_flaky_needs_no_second_command),
        TEST(test_parts_of_earlier_runs),
        TEST(test_wrong_bytes),
        TEST(test_wrong_sizes),
        TEST(test_refusals),
        TEST(test_no_server),
        TEST(test_stall),
        TEST(test_stopped),
        TEST(test_full_disk),
        TEST(test_two_at_once),
        TEST(test_plain_file_in_the_way),
        TEST(test_archive),
        TEST(test_archive_with_other_content),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("data_get", tests, begin_all, end_all);
}
