/* Fuzzes the reading of control groups: the process's groups, its mounts, and the one number file
 * of every group, divided by bytes 0. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "core/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The limits of both versions, each at the top and in one group. */
static const char *const files[][9] = {
    {"proc/self/cgroup"},
    {"proc/self/mountinfo"},
    {"sys/cpu.max", "sys/memory.max", "sys/a/cpu.max", "sys/a/memory.max", "sys/cpu.cfs_quota_us",
     "sys/cpu.cfs_period_us", "sys/a/memory.limit_in_bytes", "sys/memory.limit_in_bytes"},
};

static char root[100];

static void make_folders(void)
{
    static const char *const folders[] = {"proc/self", "sys/a"};
    be_error err = {0};
    if (*root) return;
    snprintf(root, sizeof root, "/tmp/breakeven-fuzz-%ld/", (long)getpid());
    for (size_t i = 0; i < 2; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s%s", root, folders[i]);
        MUST(file_make_folders(path, &err) == BE_OK);
    }
}

static void write_piece(size_t piece, const uint8_t *data, size_t size)
{
    for (const char *const *name = files[piece]; *name; name++) {
        char path[200];
        snprintf(path, sizeof path, "%s%s", root, *name);
        FILE *file = fopen(path, "we");
        MUST(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    }
}

static void remove_all(void)
{
    char path[200];
    for (size_t piece = 0; piece < 3; piece++)
        for (const char *const *name = files[piece]; *name; name++) {
            snprintf(path, sizeof path, "%s%s", root, *name);
            (void)unlink(path);
        }
    static const char *const folders[] = {"proc/self", "proc", "sys/a", "sys", ""};
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s%s", root, folders[i]);
        (void)rmdir(path);
    }
    *root = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_folders();
    for (size_t piece = 0; piece < 3; piece++) {
        const uint8_t *end = size && piece < 2 ? memchr(data, 0, size) : NULL;
        size_t length = end ? (size_t)(end - data) : size;
        write_piece(piece, data, length);
        data += length;
        size -= length;
        if (size) {
            data++;
            size--;
        }
    }
    cgroup_limits limits = cgroup_read(root);
    MUST(isnan(limits.processors) || (limits.processors > 0 && isfinite(limits.processors)));
    MUST(limits.memory_bytes == -1 || limits.memory_bytes > 0);
    int threads = cgroup_threads(8, limits.processors);
    MUST(threads >= 1 && threads <= 8);
    remove_all();
    return 0;
}
