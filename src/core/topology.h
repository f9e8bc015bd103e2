/* What the machine's processors are: counts that respect this process's affinity, and names. */
#ifndef CORE_TOPOLOGY_H
#define CORE_TOPOLOGY_H

#include <stdint.h>

typedef struct topology {
    int cores;   /* physical cores that this process may use, at least 1 */
    int threads; /* hardware threads that it may use */
    /* All caches of the last level, and of the level before it, on this machine; 0: not known. */
    int64_t last_cache_bytes, inner_cache_bytes;
    char cpu_name[96];
} topology;

/* Read once, then cached. */
const topology *topology_get(void);

#endif
