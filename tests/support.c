/* See support.h. */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"

void support_assert_ok(be_status found, const be_error *err, const char *call, const char *file,
                       int line)
{
    if (found == BE_OK) return;
    print_error("%s: %s: %s\n  raised at %s:%d\n", call, be_status_text(found), err->text,
                err->file ? err->file : "?", err->line);
    _fail(file, line);
}

void support_assert_fails(be_status found, be_status expected, const be_error *err,
                          const char *const *pieces, const char *file, int line)
{
    if (found != expected) {
        print_error("expected the status \"%s\", found \"%s\": %s\n", be_status_text(expected),
                    be_status_text(found), found == BE_OK ? "" : err->text);
        _fail(file, line);
    }
    for (; *pieces; pieces++) {
        if (strstr(err->text, *pieces)) continue;
        print_error("expected \"%s\" in the error text, found: %s\n", *pieces, err->text);
        _fail(file, line);
    }
}

char *support_make_folder(void)
{
    const char *temporary = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/breakeven-test-XXXXXX", temporary ? temporary : "/tmp") < 0 ||
        !mkdtemp(folder))
        fail_msg("expected to make a folder in %s", temporary ? temporary : "/tmp");
    return folder;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void support_remove_folder(char *folder)
{
    if (!folder) return;
    if (nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        print_error("could not remove %s\n", folder);
    free(folder);
}

char *support_path(char *out, size_t room, const char *folder, const char *name)
{
    int length = snprintf(out, room, "%s/%s", folder, name);
    assert_true(length > 0 && (size_t)length < room);
    return out;
}

void support_quick_kernels(void)
{
    const char *set = getenv("POCL_EXTRA_BUILD_FLAGS");
    char *flags = NULL;
    if (asprintf(&flags, "%s -cl-opt-disable", set ? set : "") < 0 ||
        setenv("POCL_EXTRA_BUILD_FLAGS", flags, 1) != 0)
        abort();
    free(flags);
}

void support_write_file(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, count, file) != count) fail_msg("cannot write %s", path);
    if (fclose(file) != 0) fail_msg("cannot close %s", path);
}

int support_fail_each_allocation(be_status (*attempt)(void *context, be_error *err), void *context,
                                 int limit)
{
    for (int failures = 0; failures <= limit; failures++) {
        be_error err = {0};
        memory_fail_at((size_t)failures + 1);
        be_status status = attempt(context, &err);
        memory_fail_at(0);
        if (status == BE_OK) return failures;
        if (status != BE_NO_MEMORY)
            fail_msg("with allocation %d failing: expected \"out of memory\", found \"%s\": %s",
                     failures + 1, be_status_text(status), err.text);
    }
    fail_msg("it still failed with allocation %d failing", limit + 1);
    return limit;
}
