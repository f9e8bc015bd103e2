/* Facts on machine, system and build, from hwloc, /proc, /sys and the build itself. */
#include "machine/environment.h"

#include <hwloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#if defined __x86_64__ || defined __i386__
#include <cpuid.h>
#endif

#include "build_info.h"
#include "core/cgroup.h"
#include "core/text.h"
#include "core/topology.h"
#include "machine/load.h"

static void environment_copy(char out[ENVIRONMENT_TEXT], const char *text)
{
    snprintf(out, ENVIRONMENT_TEXT, "%.*s", (int)strcspn(text, "\r\n"), text);
}

/* ------------------------------------------------------------------- files */

static FILE *environment_open(const char *root, const char *path)
{
    char whole[4096];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    return length < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

/* The first line of a file, "" without one. */
static void environment_line(const char *root, const char *path, char out[ENVIRONMENT_TEXT])
{
    char line[ENVIRONMENT_TEXT] = "";
    FILE *file = environment_open(root, path);
    if (file && !fgets(line, sizeof line, file)) line[0] = 0;
    if (file) fclose(file);
    environment_copy(out, line);
}

/* The rest of the first line that begins with `key`, after blanks, '=', ':' and quotes. */
static void environment_value(const char *root, const char *path, const char *key,
                              char out[ENVIRONMENT_TEXT])
{
    char line[4096];
    FILE *file = environment_open(root, path);
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        char *value = line + strlen(key);
        value += strspn(value, " \t=:\"");
        value[strcspn(value, "\"\n")] = 0;
        environment_copy(out, value);
        break;
    }
    if (file) fclose(file);
}

/* --------------------------------------------------------------- processor */

static void environment_topology(environment *out)
{
    hwloc_topology_t t;
    if (hwloc_topology_init(&t) != 0) return;
    hwloc_topology_set_flags(t, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(t) == 0) {
        static const hwloc_obj_type_t caches[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1CACHE,
                                                  HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE};
        for (int level = 1; level <= 3; level++) {
            hwloc_obj_t cache = hwloc_get_obj_by_type(t, caches[level], 0);
            if (cache && cache->attr->cache.size > 0)
                out->cache_bytes[level] = (int64_t)cache->attr->cache.size;
        }
        int cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
        int threads = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
        if (cores > 0) out->machine_cores = cores;
        if (threads > 0) out->machine_threads = threads;
        out->numa_nodes = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
        hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
        const char *vendor = package ? hwloc_obj_get_info_by_name(package, "CPUVendor") : NULL;
        if (vendor) environment_copy(out->cpu_vendor, vendor);
    }
    hwloc_topology_destroy(t);
    /* Not hwloc's sum over the nodes: a virtual machine's grows later than they say. */
    int64_t pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page_bytes > 0) out->memory_bytes = pages * page_bytes;
}

static void environment_isa(char out[ENVIRONMENT_TEXT])
{
    text_buffer all = text_begin(out, ENVIRONMENT_TEXT);
    const struct {
        const char *name;
        int present;
    } sets[] = {
#if defined __x86_64__ || defined __i386__
        {"sse4.2", __builtin_cpu_supports("sse4.2")},
        {"avx", __builtin_cpu_supports("avx")},
        {"avx2", __builtin_cpu_supports("avx2")},
        {"fma", __builtin_cpu_supports("fma")},
        {"avx512f", __builtin_cpu_supports("avx512f")},
        {"avx512bw", __builtin_cpu_supports("avx512bw")},
        {"avx512vl", __builtin_cpu_supports("avx512vl")},
        {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
#elif defined __aarch64__
        {"neon", 1},
#endif
        {"", 0},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (sets[i].present) text_add(&all, "%s%s", all.used ? " " : "", sets[i].name);
}

/* ------------------------------------------------------------------ system */

static void environment_system(const char *root, environment *out)
{
    struct utsname name;
    if (uname(&name) == 0) {
        snprintf(out->kernel, sizeof out->kernel, "%.60s %.64s", name.sysname, name.release);
        environment_copy(out->machine, name.machine);
    }
#ifdef __APPLE__
    char release[64];
    size_t size = sizeof release;
    if (sysctlbyname("kern.osproductversion", release, &size, NULL, 0) == 0)
        snprintf(out->system, sizeof out->system, "macOS %s", release);
#else
    environment_value(root, "/etc/os-release", "PRETTY_NAME", out->system);
#endif
    if (!out->system[0]) environment_copy(out->system, out->kernel);
}

static void environment_limits(const char *root, environment *out)
{
    cgroup_limits limits = cgroup_read(root);
    out->quota = limits.processors;
    out->memory_limit_bytes = limits.memory_bytes;
    out->usual_threads = cgroup_threads(out->cores, out->quota);
}

static bool environment_exists(const char *root, const char *path)
{
    FILE *file = environment_open(root, path);
    if (file) fclose(file);
    return file != NULL;
}

/* The name that a hypervisor gives itself to its guests, as in "KVMKVMKVM". */
static void environment_hypervisor(char out[ENVIRONMENT_TEXT])
{
#if defined __x86_64__ || defined __i386__
    unsigned words[4] = {0};
    char name[3 * sizeof *words + 1] = "";
    __cpuid(0x40000000, words[0], words[1], words[2], words[3]);
    memcpy(name, words + 1, sizeof name - 1);
    environment_copy(out, name);
#else
    out[0] = 0;
#endif
}

static void environment_virtual(const char *root, environment *out)
{
    char flags[ENVIRONMENT_TEXT] = "", vendor[ENVIRONMENT_TEXT];
    if (environment_exists(root, "/.dockerenv"))
        environment_copy(out->container, "docker");
    else if (environment_exists(root, "/run/.containerenv"))
        environment_copy(out->container, "podman");
    else
        environment_line(root, "/run/systemd/container", out->container);
    environment_line(root, "/sys/hypervisor/type", out->virtual_machine);
    if (out->virtual_machine[0]) return;
    char line[4096];
    FILE *file = environment_open(root, "/proc/cpuinfo");
    while (file && !flags[0] && fgets(line, sizeof line, file))
        if (!strncmp(line, "flags", 5) && strstr(line, " hypervisor"))
            environment_copy(flags, "hypervisor");
    if (file) fclose(file);
    if (!flags[0]) return;
    environment_line(root, "/sys/class/dmi/id/sys_vendor", vendor);
    if (!vendor[0]) environment_hypervisor(vendor);
    environment_copy(out->virtual_machine, vendor[0] ? vendor : "unknown kind");
}

const char *environment_build_warning(void)
{
    if (strcmp(BUILD_SANITIZERS, "none") != 0)
        return "this program was built with sanitizers, which slow it down several times; measure "
               "with a release build";
    if (!strncmp(BUILD_TYPE, "debug", 5) && strcmp(BUILD_TYPE, "debugoptimized") != 0)
        return "this program was built for debugging, without optimisation; measure with a "
               "release build";
    return NULL;
}

static void environment_warn(environment *out)
{
    int count = 0;
    const char *build = environment_build_warning();
    if (build) out->warnings[count++] = build;
    if (!strcmp(out->governor, "powersave") || !strcmp(out->governor, "conservative"))
        out->warnings[count++] = "the processor's governor saves power: its clock may not be at "
                                 "its highest; choose the governor 'performance' to be sure";
    if (out->quota > 0 && out->quota < out->threads)
        out->warnings[count++] = "a control group allows this process fewer processors than it "
                                 "sees: more threads than that are stopped in turn";
}

void environment_read(const char *root, bool with_gpus, environment *out)
{
    const topology *t = topology_get();
    if (!root) root = "";
    *out = (environment){
        .cores = t->cores,
        .threads = t->threads,
        .machine_cores = -1,
        .machine_threads = -1,
        .numa_nodes = -1,
        .quota = NAN,
        .cache_bytes = {-1, -1, -1, -1},
        .memory_bytes = -1,
        .memory_limit_bytes = -1,
        .version = BUILD_VERSION,
        .commit = BUILD_COMMIT,
        .compiler = BUILD_COMPILER,
        .build_type = BUILD_TYPE,
        .sanitizers = BUILD_SANITIZERS,
    };
    environment_copy(out->cpu_model, t->cpu_name);
    environment_isa(out->isa);
    environment_topology(out);
    environment_line(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", out->governor);
    environment_system(root, out);
    environment_limits(root, out);
    environment_virtual(root, out);
    load_averages(out->load);
    sensors_read(root, with_gpus, &out->sensors);
    environment_warn(out);
}
