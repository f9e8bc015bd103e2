/* See topology.h. */
#include "core/topology.h"

#include <hwloc.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "core/memory.h"

static topology found;
static hwloc_topology_t
    machine;                   /* NULL: hwloc cannot read this one; lives as long as the process */
static hwloc_bitmap_t allowed; /* what this process may use; NULL unknown */
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

/* Where OMP_PROC_BIND or OMP_PLACES ask for it, OpenMP binds the thread that starts a program to
 * its first place, before main.  What the process may use is all places together. */
static void add_places(void)
{
    for (int place = 0; place < omp_get_num_places(); place++) {
        void *memory = NULL;
        int count = omp_get_place_num_procs(place);
        if (count < 1 || memory_alloc(&memory, (size_t)count * sizeof(int), "places", NULL)) return;
        int *processors = memory;
        omp_get_place_proc_ids(place, processors);
        for (int i = 0; i < count; i++) hwloc_bitmap_set(allowed, (unsigned)processors[i]);
        memory_free(memory);
    }
}

static void read_allowed(hwloc_topology_t t)
{
    allowed = hwloc_bitmap_alloc();
    if (!allowed || hwloc_get_cpubind(t, allowed, HWLOC_CPUBIND_PROCESS) != 0) {
        hwloc_bitmap_free(allowed);
        allowed = NULL;
        return;
    }
    add_places();
    int cores = hwloc_get_nbobjs_inside_cpuset_by_type(t, allowed, HWLOC_OBJ_CORE);
    int threads = hwloc_get_nbobjs_inside_cpuset_by_type(t, allowed, HWLOC_OBJ_PU);
    if (threads > 0) found.threads = threads;
    found.cores = cores > 0 ? cores : found.threads;
}

static void read_topology(void)
{
    hwloc_topology_t t;
    found.cores = found.threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (hwloc_topology_init(&t) == 0) {
        if (hwloc_topology_load(t) == 0) {
            machine = t;
            read_allowed(t);
            read_caches(t);
            hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
            const char *name = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
            if (name) snprintf(found.cpu_name, sizeof found.cpu_name, "%.90s", name);
        } else {
            hwloc_topology_destroy(t);
        }
    }
    if (!found.cpu_name[0]) name_from_kernel();
    if (!found.cpu_name[0]) strcpy(found.cpu_name, "unknown processor");
    if (found.cores < 1) found.cores = 1;
    found.quota = cgroup_read("").processors;
    found.usual_threads = cgroup_threads(found.cores, found.quota);
}

const topology *topology_get(void)
{
    pthread_once(&once, read_topology);
    return &found;
}

/* Kinds of cores, and where `kind` lies among them: hwloc ranks them from slow to fast. */
static int count_kinds(void)
{
    int kinds = hwloc_cpukinds_get_nr(machine, 0), efficiency = -1;
    if (kinds > 1 && hwloc_cpukinds_get_info(machine, 0, NULL, &efficiency, NULL, NULL, 0) == 0 &&
        efficiency >= 0)
        return kinds;
    return 1;
}

static bool is_of_kind(hwloc_obj_t unit, int kind, int kinds)
{
    return kinds == 1 || hwloc_cpukinds_get_by_cpuset(machine, unit->cpuset, 0) == kind;
}

/* Add the first usable hardware thread of the last cores of a kind until there are `wanted`. */
static int choose_of_kind(hwloc_bitmap_t set, int kind, int kinds, int cores)
{
    int count = 0;
    for (hwloc_obj_t core = NULL; count < cores;) {
        core = core ? core->prev_cousin
                    : hwloc_get_obj_by_type(
                          machine, HWLOC_OBJ_CORE,
                          (unsigned)hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) - 1);
        if (!core) break;
        for (int unit = hwloc_bitmap_first(core->cpuset); unit >= 0;
             unit = hwloc_bitmap_next(core->cpuset, unit)) {
            hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(machine, (unsigned)unit);
            if (!pu || !hwloc_bitmap_isset(allowed, (unsigned)unit)) continue;
            if (!is_of_kind(pu, kind, kinds)) break;
            hwloc_bitmap_set(set, (unsigned)unit);
            count++;
            break;
        }
    }
    return count;
}

bool topology_bind(int threads, char *list, size_t size)
{
    *list = 0;
    const topology *t = topology_get();
    if (!machine || !allowed || threads < 1 || threads >= t->threads || threads > t->cores)
        return false;
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set) return false;
    int count = 0, kinds = count_kinds();
    for (int kind = kinds - 1; kind >= 0; kind--)
        count += choose_of_kind(set, kind, kinds, threads - count);
    bool is_pinned = count == threads && hwloc_set_cpubind(machine, set, HWLOC_CPUBIND_THREAD) == 0;
    if (is_pinned) hwloc_bitmap_list_snprintf(list, size, set);
    hwloc_bitmap_free(set);
    return is_pinned;
}

void topology_unbind(void)
{
    (void)topology_get();
    if (machine && allowed) (void)hwloc_set_cpubind(machine, allowed, HWLOC_CPUBIND_THREAD);
}

void topology_allowed(char *list, size_t size)
{
    *list = 0;
    (void)topology_get();
    if (machine && allowed) hwloc_bitmap_list_snprintf(list, size, allowed);
}

/* The part of the allowed cores, whole ones with what is allowed of them. */
static void choose_part(hwloc_bitmap_t set, int part, int parts)
{
    int from = (int)((int64_t)found.cores * part / parts), at = 0;
    int end = (int)((int64_t)found.cores * (part + 1) / parts);
    for (hwloc_obj_t core = NULL;
         (core = hwloc_get_next_obj_inside_cpuset_by_type(machine, allowed, HWLOC_OBJ_CORE, core));
         at++)
        if (at >= from && at < end) hwloc_bitmap_or(set, set, core->cpuset);
    hwloc_bitmap_and(set, set, allowed);
}

void topology_share(int part, int parts)
{
    (void)topology_get();
    hwloc_bitmap_t set = machine && allowed && found.cores >= parts ? hwloc_bitmap_alloc() : NULL;
    int units = found.threads / parts;
    if (set) choose_part(set, part, parts);
    if (set && !hwloc_bitmap_iszero(set) &&
        hwloc_set_cpubind(machine, set, HWLOC_CPUBIND_PROCESS) == 0) {
        units = hwloc_bitmap_weight(set);
        hwloc_bitmap_copy(allowed, set);
    }
    hwloc_bitmap_free(set);
    int64_t end = (int64_t)found.cores * (part + 1) / parts;
    found.cores = (int)(end - (int64_t)found.cores * part / parts);
    if (found.cores < 1) found.cores = 1;
    found.threads = units < found.cores ? found.cores : units;
    found.quota /= parts; /* NAN stays */
    found.usual_threads = cgroup_threads(found.cores, found.quota);
}
