#include "core/topology.h"

#include <hwloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static topology found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* hwloc has no name for some processors; the kernel's text is the next best. */
static void name_from_kernel(void)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    while (!found.cpu_name[0] && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon)
            snprintf(found.cpu_name, sizeof found.cpu_name, "%.90s", colon + 2);
    }
    fclose(file);
    found.cpu_name[strcspn(found.cpu_name, "\n")] = 0;
}

/* The last level is the highest that there is. */
static void read_caches(hwloc_topology_t t)
{
    static const hwloc_obj_type_t levels[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
                                              HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE};
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        int64_t bytes = 0;
        hwloc_obj_t cache = NULL;
        while ((cache = hwloc_get_next_obj_by_type(t, levels[l], cache)) != NULL)
            bytes += (int64_t)cache->attr->cache.size;
        if (bytes == 0) continue;
        found.inner_cache_bytes = found.last_cache_bytes;
        found.last_cache_bytes = bytes;
    }
}

static void read_topology(void)
{
    hwloc_topology_t t;
    found.cores = found.threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (hwloc_topology_init(&t) == 0) {
        if (hwloc_topology_load(t) == 0) {
            hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
            if (allowed && hwloc_get_cpubind(t, allowed, HWLOC_CPUBIND_PROCESS) == 0) {
                int cores = hwloc_get_nbobjs_inside_cpuset_by_type(t, allowed, HWLOC_OBJ_CORE);
                int threads = hwloc_get_nbobjs_inside_cpuset_by_type(t, allowed, HWLOC_OBJ_PU);
                if (threads > 0) found.threads = threads;
                found.cores = cores > 0 ? cores : found.threads;
            }
            hwloc_bitmap_free(allowed);
            read_caches(t);
            hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
            const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
            if (name) snprintf(found.cpu_name, sizeof found.cpu_name, "%.90s", name);
        }
        hwloc_topology_destroy(t);
    }
    if (!found.cpu_name[0]) name_from_kernel();
    if (!found.cpu_name[0]) strcpy(found.cpu_name, "unknown processor");
    if (found.cores < 1) found.cores = 1;
}

const topology *topology_get(void)
{
    pthread_once(&once, read_topology);
    return &found;
}
