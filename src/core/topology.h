/* What the machine's processors are: counts that respect this process's affinity, and names. */
#ifndef CORE_TOPOLOGY_H
#define CORE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct topology {
    int cores;         /* physical cores that this process may use, at least 1 */
    int threads;       /* hardware threads that it may use */
    double quota;      /* processors that its control groups pay for; NAN: no limit */
    int usual_threads; /* that compute side by side: the cores, as far as the quota pays for them */
    /* All caches of the last level, and of the level before it, on this machine; 0: not known. */
    int64_t last_cache_bytes, inner_cache_bytes;
    char cpu_name[96];
} topology;

/* Read once, then cached. */
const topology *topology_get(void);

/* Bind the calling thread, and with it every process that it starts from now on, to as many cores:
 * one hardware thread of each, the fastest kind of core first, and of a kind the last ones, because
 * systems tend to serve interrupts on the first.  `list` gets their numbers as "2" or "8-15".
 * False, with an empty list, if nothing was pinned: there is no choice (as many threads as hardware
 * threads), there are too few cores, or the system binds nothing (macOS). */
bool topology_bind(int threads, char *list, size_t size);

/* The hardware threads that this process may use, as "0-7"; "" where that is not known. */
void topology_allowed(char *list, size_t size);

/* From now on this process is one of `parts` that share what it may use: it gets its equal part of
 * the cores, and is pinned to them where there is at least one for each; else it may use all, and
 * counts one as its own.  Before OpenMP has started threads. */
void topology_share(int part, int parts);

/* Let the calling thread run on all processors that this process may use, also if OpenMP pinned it
 * to one of them before main (OMP_PROC_BIND). */
void topology_unbind(void);

#endif
