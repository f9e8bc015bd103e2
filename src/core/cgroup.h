/* What the control groups of this process allow it, version 1, version 2 or both at once. */
#ifndef CORE_CGROUP_H
#define CORE_CGROUP_H

#include <stdint.h>

/* The tightest limit on the way from the process's group up to the root of what it can see.  `root`
 * is put before the paths of /proc and /sys, for tests; "" for the real ones. */
typedef struct cgroup_limits {
    double processors;    /* processor time a time; NAN: no limit, or not known */
    int64_t memory_bytes; /* -1: no limit, or not known */
} cgroup_limits;

cgroup_limits cgroup_read(const char *root);

/* The threads that compute side by side on that many cores within such a quota: no more than it
 * pays for, because one that is stopped in the middle keeps all others waiting; at least 1. */
int cgroup_threads(int cores, double processors);

/* The numbers of threads that are worth comparing: what is usual, all cores where a quota leaves
 * fewer, and one.  Returns how many there are, the usual one first. */
#define CGROUP_THREAD_COUNTS 3
int cgroup_thread_counts(int usual, int cores, int out[CGROUP_THREAD_COUNTS]);

#endif
