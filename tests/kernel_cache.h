/* What tests compiled, kept by all that it was made from: builds and runs share it, also at the
 * same time.  tests/run_all removes what nobody has used for a week. */
#ifndef TESTS_KERNEL_CACHE_H
#define TESTS_KERNEL_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* The path of what is made from a source (all that matters is in its text: the flags, the version
 * of the compiler), "KERNEL_CACHE/kind-HASH"; "" where the environment names no KERNEL_CACHE.  True
 * if it is there. */
bool kernel_cache_find(const char *source, const char *kind, char *path, size_t size);

/* Put the file `made` at that path, whole or not at all; it must lie in the same folder. */
bool kernel_cache_keep(const char *made, const char *path);

#endif
