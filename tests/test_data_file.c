/* core/file.h: what stands on the disk after every way in which a write can go wrong. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/memory.h"
#ifdef __linux__
#include <sys/sysmacros.h>
#endif

static char *folder;
static be_error err;

static int begin(void **state)
{
    (void)state;
    folder = support_make_folder();
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

static const char *path_of(const char *name)
{
    static char paths[32][FILE_PATH_BYTES];
    static int next;
    return support_path(paths[next++ % 32], FILE_PATH_BYTES, folder, name);
}

static void expect_content(const char *path, const char *expected)
{
    void *bytes = NULL;
    size_t count = 0;
    ASSERT_OK(file_read(&bytes, &count, path, 1000, &err));
    assert_int_equal(count, strlen(expected));
    assert_string_equal(bytes, expected);
    memory_free(bytes);
}

static void test_write_replaces(void **state)
{
    (void)state;
    const char *path = path_of("a");
    ASSERT_OK(file_write_whole(path, "old", 3, &err));
    expect_content(path, "old");
    ASSERT_OK(file_write_whole(path, "newer", 5, &err));
    expect_content(path, "newer");
    assert_false(file_exists(path_of("a.tmp")));
}

static void test_full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    const char *path = path_of("a");
    ASSERT_OK(file_write_whole(path, "old", 3, &err));
    for (int room = 0; room < 5; room++) {
        file_fail_after(room);
        ASSERT_FAILS(file_write_whole(path, "newer", 5, &err), BE_IO, "cannot write", path,
                     "No space left on device", "free some space");
        file_fail_after(-1);
        expect_content(path, "old");
        assert_false(file_exists(path_of("a.tmp")));
    }
    file_fail_after(5);
    ASSERT_OK(file_write_whole(path, "newer", 5, &err));
    file_fail_after(-1);
    expect_content(path, "newer");
}

static void test_short_writes_are_continued(void **state)
{
    (void)state;
    file_inject((file_faults){.write_at_most = 1});
    ASSERT_OK(file_write_whole(path_of("a"), "piecewise", 9, &err));
    file_inject((file_faults){0});
    expect_content(path_of("a"), "piecewise");
}

static void test_failed_sync_or_rename_keeps_the_old_file(void **state)
{
    (void)state;
    static const file_faults faults[] = {{.fail_sync = true}, {.fail_rename = true}};
    const char *path = path_of("a");
    ASSERT_OK(file_write_whole(path, "old", 3, &err));
    for (int i = 0; i < 2; i++) {
        file_inject(faults[i]);
        ASSERT_FAILS(file_write_whole(path, "new", 3, &err), BE_IO, path, "Input/output error");
        file_inject((file_faults){0});
        expect_content(path, "old");
        assert_false(file_exists(path_of("a.tmp")));
    }
}

static void test_killed_writer_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = path_of("a");
    ASSERT_OK(file_write_whole(path, "old", 3, &err));
    pid_t child = fork();
    if (child == 0) {
        file_writer w;
        if (file_write_begin(&w, path, &err) || file_write(&w, "half of the", 11, &err)) _exit(1);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    expect_content(path, "old");
    expect_content(path_of("a.tmp"), "half of the");
    ASSERT_OK(file_write_whole(path, "new", 3, &err));
    expect_content(path, "new");
    assert_false(file_exists(path_of("a.tmp")));
}

static void test_two_writers_of_one_file(void **state)
{
    (void)state;
    const char *path = path_of("a");
    file_writer first, second;
    ASSERT_OK(file_write_begin(&first, path, &err));
    char holder[80];
    FILE *locks = fopen("/proc/locks", "re"); /* where there is none, nobody can tell */
    snprintf(holder, sizeof holder, locks ? ": process %ld is writing it" : "another process",
             (long)getpid());
    if (locks) fclose(locks);
    ASSERT_FAILS(file_write_begin(&second, path, &err), BE_IO, path, holder, "wait for it");
    ASSERT_OK(file_write(&first, "first", 5, &err));
    ASSERT_OK(file_write_commit(&first, &err));
    expect_content(path, "first");
    ASSERT_OK(file_write_begin(&second, path, &err));
    file_write_abort(&second);
    expect_content(path, "first");
}

/* ---------------------------------------------------------------- no regular files */

static int kind_of(const char *path)
{
    struct stat found;
    return lstat(path, &found) ? 0 : (int)(found.st_mode & S_IFMT);
}

/* What is read of `fd` until its end, checked by the child's exit code. */
static pid_t expect_read(int (*open_reader)(const void *), const void *context, const char *text)
{
    pid_t reader = fork();
    if (reader) return reader;
    char bytes[100] = "";
    size_t used = 0;
    int fd = open_reader(context);
    for (ssize_t got; (got = read(fd, bytes + used, sizeof bytes - 1 - used)) > 0;)
        used += (size_t)got;
    _exit(strcmp(bytes, text) != 0);
}

static void expect_exit(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int open_path(const void *path)
{
    return open(path, O_RDONLY);
}

static int accept_one(const void *listening)
{
    return accept(*(const int *)listening, NULL, NULL);
}

static void test_a_fifo_is_written_to(void **state)
{
    (void)state;
    const char *path = path_of("fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t reader = expect_read(open_path, path, "all of it");
    ASSERT_OK(file_check_output(path, &err)); /* the reader does not see it */
    ASSERT_OK(file_write_whole(path, "all of it", 9, &err));
    expect_exit(reader);
    assert_int_equal(kind_of(path), S_IFIFO);
    assert_false(file_exists(path_of("fifo.tmp")));
}

static void test_a_socket_is_written_to(void **state)
{
    (void)state;
    const char *path = path_of("s");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    ASSERT_FAILS(file_write_whole(path, "all", 3, &err), BE_IO, path, "start its reader");
    assert_int_equal(listen(listening, 1), 0);
    pid_t reader = expect_read(accept_one, &listening, "all");
    ASSERT_OK(file_write_whole(path, "all", 3, &err));
    expect_exit(reader);
    close(listening);
    assert_int_equal(kind_of(path), S_IFSOCK);
}

/* Through a link, so that a writer that replaces devices replaces the link and no device. */
static void test_a_device_is_written_to(void **state)
{
    (void)state;
    const char *path = path_of("null");
    assert_int_equal(symlink("/dev/null", path), 0);
    ASSERT_OK(file_check_output(path, &err));
    ASSERT_OK(file_write_whole(path, "gone", 4, &err));
    assert_int_equal(kind_of(path), S_IFLNK);
    assert_int_equal(kind_of("/dev/null"), S_IFCHR);
    if (geteuid() != 0) return; /* only root makes devices, and only root may replace them */
    const char *device = path_of("device");
    if (mknod(device, S_IFCHR | 0666, makedev(1, 3))) return; /* nor in every container */
    ASSERT_OK(file_write_whole(device, "gone", 4, &err));
    assert_int_equal(kind_of(device), S_IFCHR);
}

static void test_a_descriptor_is_written_where_it_stands(void **state)
{
    (void)state;
    char name[32];
    const char *path = path_of("a");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "before ", 7), 7);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    ASSERT_OK(file_check_output(name, &err));
    ASSERT_OK(file_write_whole(name, "all", 3, &err));
    const char *link = path_of("link");
    assert_int_equal(symlink(name, link), 0);
    ASSERT_OK(file_write_whole(link, " of", 3, &err));
    assert_int_equal(write(fd, " it", 3), 3);
    close(fd);
    expect_content(path, "before all of it");
    ASSERT_FAILS(file_write_whole(name, "x", 1, &err), BE_IO, "not open for writing");
    ASSERT_FAILS(file_check_output(name, &err), BE_IO, "not open for writing");
}

static void test_the_file_behind_links_is_replaced(void **state)
{
    (void)state;
    const char *file = path_of("below/file"), *first = path_of("first"),
               *second = path_of("second");
    ASSERT_OK(file_make_folders(path_of("below"), &err));
    assert_int_equal(symlink("second", first), 0);
    assert_int_equal(symlink("below/file", second), 0);
    ASSERT_OK(file_check_output(first, &err));
    assert_int_equal(kind_of(file), 0);
    ASSERT_OK(file_write_whole(first, "made", 4, &err)); /* it dangled */
    expect_content(file, "made");
    ASSERT_OK(file_write_whole(first, "replaced", 8, &err));
    expect_content(file, "replaced");
    assert_int_equal(kind_of(first), S_IFLNK);
    assert_int_equal(kind_of(second), S_IFLNK);
    assert_int_equal(kind_of(file), S_IFREG);
    const char *circle = path_of("circle");
    assert_int_equal(symlink("circle", circle), 0);
    ASSERT_FAILS(file_write_whole(circle, "x", 1, &err), BE_IO, circle, "its links lead nowhere");
    ASSERT_FAILS(file_write_whole(folder, "x", 1, &err), BE_IO, folder, "it is a folder");
}

static void test_permissions_stay(void **state)
{
    (void)state;
    struct stat found;
    const char *path = path_of("a");
    ASSERT_OK(file_write_whole(path, "old", 3, &err));
    assert_int_equal(chmod(path, 0640), 0);
    ASSERT_OK(file_write_whole(path, "new", 3, &err));
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0640);
}

/* Nobody can make us write elsewhere by a link in the temporary file's place. */
static void test_the_temporary_file_is_no_link(void **state)
{
    (void)state;
    const char *path = path_of("a"), *victim = path_of("victim");
    support_write_file(victim, "kept", 4);
    assert_int_equal(symlink(victim, path_of("a.tmp")), 0);
    ASSERT_FAILS(file_write_whole(path, "x", 1, &err), BE_IO, "a.tmp", "found a link",
                 "remove it or choose another name");
    expect_content(victim, "kept");
}

static void test_write_where_it_cannot(void **state)
{
    (void)state;
    ASSERT_FAILS(file_write_whole(path_of("none/a"), "x", 1, &err), BE_IO, "none/a",
                 "No such file or directory", "check the path");
    char *deep = malloc(5001);
    memset(deep, 'x', 5000);
    deep[5000] = 0;
    ASSERT_FAILS(file_write_whole(deep, "x", 1, &err), BE_USAGE, "too long", "shorter");
    char out[FILE_PATH_BYTES];
    ASSERT_FAILS(file_format_path(out, &err, "%s", deep), BE_USAGE, "too long", "shorter");
    free(deep);
}

static void test_read_refuses(void **state)
{
    (void)state;
    void *bytes = NULL;
    size_t count = 0;
    ASSERT_FAILS(file_read(&bytes, &count, path_of("none"), 10, &err), BE_IO, "cannot open",
                 path_of("none"), "No such file or directory", "check the path");
    ASSERT_FAILS(file_read(&bytes, &count, folder, 10, &err), BE_IO, "Is a directory",
                 "name a file");
    support_write_file(path_of("a"), "0123456789", 10);
    ASSERT_OK(file_read(&bytes, &count, path_of("a"), 10, &err));
    memory_free(bytes);
    ASSERT_FAILS(file_read(&bytes, &count, path_of("a"), 9, &err), BE_BAD_DATA, "at most 9 bytes");
    assert_null(bytes);
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    ASSERT_FAILS(file_read(&bytes, &count, path_of("pipe"), 9, &err), BE_IO, "regular file");
}

static void test_read_faults(void **state)
{
    (void)state;
    void *bytes = NULL;
    size_t count = 0;
    support_write_file(path_of("a"), "0123456789", 10);
    for (int after = 0; after < 10; after++) {
        file_inject((file_faults){.fail_read = true, .read_after = after});
        ASSERT_FAILS(file_read(&bytes, &count, path_of("a"), 10, &err), BE_IO, "cannot read",
                     path_of("a"), "Input/output error");
        assert_null(bytes);
    }
}

static void test_read_of_unknown_size(void **state)
{
    (void)state;
    void *bytes = NULL;
    size_t count = 0;
    ASSERT_OK(file_read(&bytes, &count, "/proc/self/status", 100000, &err));
    assert_int_equal(count, strlen(bytes));
    assert_non_null(strstr(bytes, "Pid:"));
    memory_free(bytes);
    support_write_file(path_of("empty"), "", 0);
    expect_content(path_of("empty"), "");
}

static void test_map(void **state)
{
    (void)state;
    const void *bytes = NULL;
    size_t count = 0;
    support_write_file(path_of("a"), "mapped", 6);
    ASSERT_OK(file_map(&bytes, &count, path_of("a"), &err));
    assert_int_equal(count, 6);
    assert_memory_equal(bytes, "mapped", 6);
    file_unmap(bytes, count);
    support_write_file(path_of("empty"), "", 0);
    ASSERT_OK(file_map(&bytes, &count, path_of("empty"), &err));
    assert_null(bytes);
    assert_int_equal(count, 0);
    file_unmap(bytes, count);
}

static void test_folders(void **state)
{
    (void)state;
    ASSERT_OK(file_make_folders(path_of("a/b/c"), &err));
    ASSERT_OK(file_make_folders(path_of("a/b/c/"), &err));
    assert_true(file_is_folder(path_of("a/b/c")));
    support_write_file(path_of("a/file"), "x", 1);
    ASSERT_FAILS(file_make_folders(path_of("a/file/d"), &err), BE_IO, "a/file", "Not a directory",
                 "check the path");
    ASSERT_OK(file_remove(path_of("a/file"), &err));
    ASSERT_OK(file_remove(path_of("a/file"), &err));
    ASSERT_FAILS(file_remove(path_of("a/b"), &err), BE_IO, "cannot remove");
}

static void test_publish(void **state)
{
    (void)state;
    support_write_file(path_of("from"), "new", 3);
    support_write_file(path_of("to"), "old", 3);
    file_inject((file_faults){.fail_rename = true});
    ASSERT_FAILS(file_publish(path_of("from"), path_of("to"), &err), BE_IO, path_of("to"));
    file_inject((file_faults){0});
    expect_content(path_of("to"), "old");
    ASSERT_OK(file_publish(path_of("from"), path_of("to"), &err));
    expect_content(path_of("to"), "new");
    assert_false(file_exists(path_of("from")));
}

static void test_xdg(void **state)
{
    (void)state;
    char out[FILE_PATH_BYTES];
    char *kept = getenv("XDG_DATA_HOME") ? strdup(getenv("XDG_DATA_HOME")) : NULL;
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    setenv("XDG_DATA_HOME", "/somewhere", 1);
    ASSERT_OK(file_xdg(out, FILE_DATA, &err));
    assert_string_equal(out, "/somewhere/breakeven");
    setenv("XDG_DATA_HOME", "relative", 1);
    setenv("HOME", "/somewhere/x", 1);
    ASSERT_OK(file_xdg(out, FILE_DATA, &err));
    assert_string_equal(out, "/somewhere/x/.local/share/breakeven");
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CACHE_HOME");
    ASSERT_OK(file_xdg(out, FILE_STATE, &err));
    assert_string_equal(out, "/somewhere/x/.local/state/breakeven");
    ASSERT_OK(file_xdg(out, FILE_CACHE, &err));
    assert_string_equal(out, "/somewhere/x/.cache/breakeven");
    unsetenv("HOME");
    ASSERT_OK(file_xdg(out, FILE_DATA, &err)); /* the user database knows a home */
    assert_true(out[0] == '/');
    if (home) setenv("HOME", home, 1);
    if (kept)
        setenv("XDG_DATA_HOME", kept, 1);
    else
        unsetenv("XDG_DATA_HOME");
    free(home);
    free(kept);
}

static be_status write_and_read(void *context, be_error *error)
{
    (void)context;
    void *bytes = NULL;
    size_t count = 0;
    TRY(file_write_whole(path_of("a"), "x", 1, error));
    TRY(file_read(&bytes, &count, path_of("a"), 1, error));
    memory_free(bytes);
    return BE_OK;
}

static void test_no_memory(void **state)
{
    (void)state;
    assert_true(support_fail_each_allocation(write_and_read, NULL, 10) >= 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_replaces),
        TEST(test_full_disk_keeps_the_old_file),
        TEST(test_short_writes_are_continued),
        TEST(test_failed_sync_or_rename_keeps_the_old_file),
        TEST(test_killed_writer_leaves_the_old_file),
        TEST(test_two_writers_of_one_file),
        TEST(test_a_fifo_is_written_to),
        TEST(test_a_socket_is_written_to),
        TEST(test_a_device_is_written_to),
        TEST(test_a_descriptor_is_written_where_it_stands),
        TEST(test_the_file_behind_links_is_replaced),
        TEST(test_permissions_stay),
        TEST(test_the_temporary_file_is_no_link),
        TEST(test_write_where_it_cannot),
        TEST(test_read_refuses),
        TEST(test_read_faults),
        TEST(test_read_of_unknown_size),
        TEST(test_map),
        TEST(test_folders),
        TEST(test_publish),
        TEST(test_xdg),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests_name("data_file", tests, NULL, NULL);
}
