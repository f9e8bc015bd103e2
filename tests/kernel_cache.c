/* See kernel_cache.h. */
#include "kernel_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/sha256.h"

bool kernel_cache_find(const char *source, const char *kind, char *path, size_t size)
{
    char hash[SHA256_TEXT_BYTES];
    be_error err;
    const char *folder = getenv("KERNEL_CACHE");
    *path = 0;
    if (!folder || !*folder || sha256_file(source, hash, &err) != BE_OK) return false;
    mkdir(folder, 0777); /* if it is not there yet */
    if ((size_t)snprintf(path, size, "%s/%s-%s", folder, kind, hash) >= size) {
        *path = 0;
        return false;
    }
    /* The time of the last use is what run_all goes by. */
    return access(path, R_OK) == 0 && utimensat(AT_FDCWD, path, NULL, 0) == 0;
}

bool kernel_cache_keep(const char *made, const char *path)
{
    if (rename(made, path) == 0) return true;
    unlink(made);
    return false;
}
